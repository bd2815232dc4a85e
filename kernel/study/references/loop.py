"""Images and the loop of training for libraries whose users wrote both by themselves: Pillow in threads, two batches ahead.

A library has `learn` and `evaluate`, which return the loss and the hits of a batch, `predict`, which returns an array, and
`wait`, which returns when all that was asked for has been computed.
"""

import collections
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL
from PIL import Image

from common import CLOCK, JOB, NET, RECORD, Progress, chunks, listed, part, test_files

SIZE = tuple(reversed(NET["input"][1:]))
# Subtracted and divided by, of pixels 0 to 255 of the channels in the preprocessing's order.
SCALES = {
    "rescaled": ([0.0] * 3, [255.0] * 3),
    "torchvision": ([255 * mean for mean in (0.485, 0.456, 0.406)], [255 * scale for scale in (0.229, 0.224, 0.225)]),
    "caffe": ([103.939, 116.779, 123.68], [1.0] * 3),
}
MEANS, DEVIATIONS = (np.array(values, np.float32).reshape(3, 1, 1) for values in SCALES[JOB["preprocessing"]])


def decoded(path):
    """Values [3, rows, columns]."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize(SIZE, Image.Resampling.BILINEAR), np.float32)
    if JOB["preprocessing"] == "caffe":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray((pixels.transpose(2, 0, 1) - MEANS) / DEVIATIONS)


class Loop:
    def __init__(self):
        self.threads, self.trained = ThreadPoolExecutor(JOB["loader_threads"]), 0

    def batches(self, lists):
        """Values [batch, 3, rows, columns] of lists of paths."""
        waiting = collections.deque()
        for paths in itertools.chain(lists, [None, None]):
            if paths is not None:
                waiting.append([self.threads.submit(decoded, path) for path in paths])
            if waiting and (paths is None or len(waiting) > 2):
                yield np.stack([image.result() for image in waiting.popleft()])

    def load(self):
        with part("load_parts", "list"):
            self.training, self.validation = listed("train"), listed("validation")
        with part("load_parts", "first_batch"):
            next(self.batches(JOB["order"][0][:1]))

    def one_pass(self, batches, lists, labels, compute, epoch=0, progress=None):
        """One pass: loss, accuracy, images, and the seconds that it waited for images."""
        total, right, seen, waited, began = 0.0, 0, 0, 0.0, CLOCK()
        for step, paths in enumerate(lists, 1):
            waiting = CLOCK()
            pixels = next(batches)
            waited += CLOCK() - waiting
            loss, hits = compute(pixels, np.array([labels[path] for path in paths], np.int64))
            total, right, seen = total + loss * len(paths), right + hits, seen + len(paths)
            if progress and (epoch, step) == (1, 1):
                self.wait()
                RECORD["build_parts"]["first_step"] = CLOCK() - began
            if progress:
                self.trained += 1
                progress.step(epoch, step, len(lists), total / seen, right / seen)
        return float(total / seen), float(right / seen), seen, waited

    def train(self):
        progress, order = Progress(), JOB["order"]
        batches = self.batches(itertools.chain.from_iterable(order))
        validation = chunks(list(self.validation), JOB["batch_size"])
        for number, lists in enumerate(order, 1):
            began = CLOCK()
            loss, accuracy, seen, waited = self.one_pass(batches, lists, self.training, self.learn, number, progress)
            self.wait()
            epoch = {"epoch": number, "loss": loss, "accuracy": accuracy, "training_images": seen}
            epoch["input_wait_seconds"] = waited
            epoch["training_seconds"], began = CLOCK() - began, CLOCK()
            if JOB["validate"]:
                found = self.one_pass(self.batches(validation), validation, self.validation, self.evaluate)
                epoch["val_loss"], epoch["val_accuracy"], epoch["validation_images"], _ = found
                epoch["validation_seconds"] = CLOCK() - began
            progress.epoch(epoch)

    def test(self):
        files = self.batches(chunks(test_files(), JOB["test_batch_size"]))
        return sum(len(self.predict(pixels)) for pixels in files)

    def steps(self):
        return self.trained

    def held(self, pixels, labels):
        """In the processor's memory, on which these libraries compute."""
        return pixels, labels

    def parts(self):
        return {"build": self.built_with(), "pillow": PIL.__version__}

    def count(self):
        """From the description, by the names of the values that the library has."""
        sizes = {name: value.size for name, value in self.weights().items()}
        return sum(sizes.values()), sum(size for name, size in sizes.items() if name in self.trains())

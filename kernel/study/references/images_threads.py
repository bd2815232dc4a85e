"""Images by torchvision in threads, two batches ahead, for Keras on JAX and on PyTorch, so that neither needs TensorFlow.

https://keras.io/api/utils/python_utils/ (`PyDataset`, which `fit` takes on every engine)

torch's DataLoader would start processes by forking this one, in which JAX has threads already; JAX warns of the deadlocks.
torchvision decodes and resizes without Python's lock, so threads do the same work. They are this file's own, since those
of `PyDataset` start again at every epoch. A generator would not do: Keras looks at its first batches, and shows those again
at the beginning of each validation.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import torch

from common import JOB, chunks
from images_torchvision import decoded, transform, versions

__all__ = ["first", "test", "training", "validation", "versions"]

THREADS, TRANSFORM = ThreadPoolExecutor(max(JOB["loader_threads"], 1)), transform()
if JOB["variant"]["engine"] != "torch":
    # As in the processes of torch's DataLoader. Where torch trains, the number would be that of its training, too.
    torch.set_num_threads(1)


def image(path):
    """Floats [rows, columns, 3]."""
    with torch.inference_mode():
        return TRANSFORM(decoded(path)).permute(1, 2, 0).numpy()


class Batches(keras.utils.PyDataset):
    """Pixels [batch, rows, columns, 3] and classes of lists of paths, which are read in order."""

    def __init__(self, lists, labels):
        super().__init__(workers=1)
        self.lists, self.labels, self.waiting = list(lists), labels, {}

    def __len__(self):
        return len(self.lists)

    def __getitem__(self, index):
        for ahead in range(index, min(index + 3, len(self))):
            if ahead not in self.waiting:
                self.waiting[ahead] = [THREADS.submit(image, path) for path in self.lists[ahead]]
        pixels = np.stack([image.result() for image in self.waiting.pop(index)])
        return pixels, np.array([self.labels[path] for path in self.lists[index]])


def first(labels):
    """Decodes the first batch; `labels` holds the class of each path, here and below."""
    Batches([list(labels)[: JOB["batch_size"]]], labels)[0]


def training(labels):
    """The batches of all epochs."""
    return Batches(itertools.chain.from_iterable(JOB["order"]), labels)


def validation(labels):
    """What `fit` validates with."""
    return {"validation_data": Batches(chunks(list(labels), JOB["batch_size"]), labels)}


def test(paths):
    """What `predict` takes."""
    return {"x": Batches(chunks(paths, JOB["test_batch_size"]), dict.fromkeys(paths, 0))}

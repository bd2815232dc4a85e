"""What all references share: the job, the order of its phases, the trace of what they compute, and the record.

JOB is `benchbook_study::references::Job`. Its record states what was requested, and the reference adds what it did and
how long that took. A reference is a class with the methods that `run` and `trace` call; its interpreter of the graph is
a file of its own.
"""

import contextlib
import ctypes
import functools
import glob
import json
import math
import os
import platform
import signal
import sys
import time
from pathlib import Path

import numpy
from safetensors.numpy import load_file, save_file

JOB = json.loads(Path(sys.argv[1]).read_text())
NET, RECORD, TRACE, CLASSES = JOB["net"], JOB["record"], JOB["trace"], JOB["class_names"]
CLOCK = time.perf_counter
# This process among those that train together. The first one prints and writes files.
RANKS, RANK = JOB["ranks"], int(os.environ["RANK"]) if JOB["ranks"] > 1 else 0
if RANK > 0:
    sys.stdout = open(os.devnull, "w")
if RANKS > 1:
    # PR_SET_PDEATHSIG of prctl(2). torchrun starts each rank in a session of its own and, when it is killed, ends none.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
# The extensions of images, as `benchbook-data` lists folders.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def run(library):
    """Runs the job: the four phases, and after them the trace that the job asks for; or the trace alone.

    The phases are `load`, `build`, `train` and `test`, which returns the number of its images; `count` returns the
    numbers of all and of the trained values, `steps` the number of training steps, and `parts` the library's build and
    the versions of what it loads images with. `graph` is the phase in which it prepares its graph, or `none`.
    """
    if TRACE and not TRACE["before"]:
        library.build()
        return trace(library)
    if len(NET["input"]) != 3 or NET["input"][0] != 3:
        sys.exit(f"the input of `{NET['name']}` must be [3, height, width] for image files, got {NET['input']}")
    for name in ("load", "build", "train"):
        with phase(name):
            getattr(library, name)()
    with phase("test"):
        tested = library.test()
    parameters, trainable = library.count()
    facts = {"/library/version": library.version, "/library/language": "Python", "/library/device": JOB["device"]}
    facts |= {"/library/threads": JOB["threads"], "/library/parts/python": platform.python_version()}
    facts["/library/parts/graph"] = library.graph
    facts |= {f"/library/parts/{name}": version for name, version in library.parts().items()}
    facts |= {"/net/parameters": parameters, "/net/trainable_parameters": trainable}
    facts |= {"/library/ranks": RANKS} if RANKS > 1 else {}
    state(facts | {"/steps": library.steps(), "/images_seen/test": tested})
    write(RECORD, JOB["output"])
    if JOB["profile"]:
        announce("check")
        library.profile(JOB["profile"])
        announce("end")
    if TRACE:
        trace(library)


def state(facts):
    """Fills in the conditions that the job leaves to this process; exits if one is missing or unknown."""
    missing = [place for place, optional in JOB["states"].items() if not optional and facts.get(place) is None]
    unknown = [place for place in facts if place not in JOB["states"]]
    if missing or unknown:
        sys.exit(f"the record must state {list(JOB['states'])}; missing: {missing}, unknown: {unknown}")
    for place, value in facts.items():
        *way, name = place.split("/")[1:]
        functools.reduce(dict.__getitem__, way, RECORD)[name] = value


def trace(library):
    """Writes what the model and the optimiser at hand compute of the common batches from the common weights.

    `deviations` lists what differs from the job in the library's own objects; `dropped` feeds ones to each dropout layer;
    `weights` returns all values by their names; `start_from` sets them and empties the optimiser's memory; `scale_rate`
    multiplies the optimiser's learning rate, and `start_from` follows; `set_masks` makes dropout layers multiply by these
    arrays; `logits` computes in inference mode, `gradients` in training mode; `held` copies a batch to the device, and
    `step` is the step that trains on it. A study asks no other program than PyTorch's for its `profile`.
    """
    announce("check")
    start, batches = load_file(TRACE["start"]), load_file(TRACE["batches"])
    pixels, labels = batches["pixels"], batches["labels"].astype(numpy.int64)
    masks = [batches[f"factors.{number}"] for number in range(len(dropouts()))]
    said = {"version": library.version, "omitted": library.omitted, "deviations": library.deviations(), "losses": []}
    said["deviations"] += [words for dropped in map(dropout_deviations, dropouts(), library.dropped()) for words in dropped]
    if TRACE["before"]:
        before, after = load_file(TRACE["before"]), library.weights()
        said["unchanged"] = [name for name, value in after.items() if numpy.array_equal(value, before[name])]
        announce("steps")
        said["step_seconds"] = alone(library, pixels[0], labels[0])
        announce("check")
    library.start_from(start)
    arrays = {"logits": library.logits(pixels[0])}
    library.set_masks([numpy.ones_like(mask[0]) for mask in masks])
    arrays |= {f"gradient.{name}": value for name, value in library.gradients(pixels[0], labels[0]).items()}
    library.scale_rate(TRACE["rate_share"])
    # The running statistics of batch normalisation have moved.
    library.start_from(start)
    for step in range(TRACE["steps"]):
        library.set_masks([mask[step] for mask in masks])
        said["losses"].append(library.step(*library.held(pixels[step], labels[step])))
        if step + 1 == TRACE["changes_after"]:
            arrays |= {f"change.{name}": value - start[name] for name, value in library.weights().items()}
    arrays = {name: numpy.ascontiguousarray(sample(value), numpy.float32) for name, value in arrays.items()}
    if RANK == 0:
        save_file(arrays, TRACE["arrays"])
    write(said, TRACE["output"])
    announce("end")


def alone(library, pixels, labels):
    """Seconds of training steps on one batch that is on the device already: two that do not count, then ten, or fewer if
    ten seconds are over."""
    size, began, seconds = JOB["batch_size"], CLOCK(), []
    batch = library.held(numpy.resize(pixels, (size, *pixels.shape[1:])), numpy.resize(labels, size))
    # Ranks have to agree on the number of steps, which their clocks would not.
    while len(seconds) < 7 if RANKS > 1 else len(seconds) < 12 and (len(seconds) < 3 or CLOCK() - began < 10):
        start = CLOCK()
        library.step(*batch)
        seconds.append(CLOCK() - start)
    return seconds[2:]


def sample(value):
    """Some 65,536 of an array's values, as `benchbook_study::agreement::sample` takes them."""
    values = value.reshape(-1)
    stride = values.size // 65536 + 1
    while math.gcd(stride, 6) != 1:
        stride += 1
    return values[::stride]


def share(batch):
    """This rank's part of a list or an array: neighbours, as `benchbook_ranks::Rank::share` takes them."""
    return batch[RANK * len(batch) // RANKS : (RANK + 1) * len(batch) // RANKS]


def learned():
    """The names of the parameters that the job trains, sorted."""
    fixed = {value["name"] for value in NET["parameters"] if JOB["freeze"] and value["in_base"]}
    return sorted({value["name"] for value in NET["parameters"] if value["learned"]} - fixed)


def dropouts():
    """The dropout layers in order."""
    return [layer for layer in NET["layers"] if layer["operation"]["type"] == "dropout"]


def dropout_deviations(layer, passes):
    """What is wrong with a dropout layer that was fed the same ones in two passes of training."""
    rate, (first, second) = layer["operation"]["rate"], passes
    zeros, kept = float((first == 0).mean()), first[first != 0]
    # Six standard deviations of the share of zeros.
    if abs(zeros - rate) > 6 * math.sqrt(rate * (1 - rate) / first.size):
        yield f"dropout layer {layer['name']} drops {zeros:.3f} of its values, the job {rate}"
    if not numpy.allclose(kept, 1 / (1 - rate), rtol=1e-2):
        yield f"dropout layer {layer['name']} multiplies what it keeps by {kept.mean():.3f}, the job by {1 / (1 - rate):.3f}"
    if rate and numpy.array_equal(first, second):
        yield f"dropout layer {layer['name']} drops the same values in each step"


def different(what, found, expected):
    """One deviation in words, or none."""
    same = math.isclose(found, expected, rel_tol=1e-6) if isinstance(expected, float) else found == expected
    return [] if same else [f"{what} must be {expected} (got {found})"]


@contextlib.contextmanager
def phase(name):
    """Announces a phase and its end, and measures its duration."""
    announce(name)
    began = CLOCK()
    yield
    RECORD["phases"][name] = CLOCK() - began
    announce("end")


def announce(phase):
    """Announces a phase, which ends the one before, to the study that watches this process."""
    print(f"@phase {phase}", flush=True)


@contextlib.contextmanager
def part(parts, name):
    """Measures the duration of a part of a phase."""
    began = CLOCK()
    yield
    RECORD[parts][name] = CLOCK() - began


class Progress:
    """A line on standard output that the next one replaces, at most ten times a second."""

    def __init__(self):
        self.printed = 0.0

    def step(self, epoch, step, steps, loss, accuracy):
        """Prints the running means of an epoch."""
        if CLOCK() - self.printed >= 0.1:
            self.printed = CLOCK()
            line = f"Epoch {epoch}/{JOB['epochs']}: {step}/{steps} - loss: {float(loss):.4f} - acc: {float(accuracy):.4f}"
            print(line, end="\r", flush=True)

    def epoch(self, epoch):
        """Records an epoch and prints its line; exits if its loss is not finite."""
        RECORD["epochs"].append(epoch)
        if not math.isfinite(epoch["loss"]):
            rate = JOB["learning_rate"]
            sys.exit(f"the training loss of epoch {epoch['epoch']} is {epoch['loss']}; a rate below {rate} may help")
        line = f"Epoch {epoch['epoch']}/{JOB['epochs']} - {epoch['training_seconds']:.1f}s - loss: {epoch['loss']:.4f}"
        line += f" - acc: {epoch['accuracy']:.4f}"
        if "val_loss" in epoch:
            line += f" - val_loss: {epoch['val_loss']:.4f} - val_acc: {epoch['val_accuracy']:.4f}"
        print(line, flush=True)


def is_image(path):
    """Whether a file is an image by its name, as `benchbook-data` decides: not hidden, with the extension of an image."""
    name = os.path.basename(path)
    return not name.startswith(".") and name.lower().endswith(EXTENSIONS)


def listed(split):
    """The class of each path of a split, sorted by classes and names."""
    folders = (f"{glob.escape(JOB['data'])}/{split}/{glob.escape(name)}/*" for name in CLASSES)
    return {path: label for label, folder in enumerate(folders) for path in sorted(filter(is_image, glob.glob(folder)))}


def test_files():
    """The images of the phase test, and of its folders: those of the folder `test` or `test1`, or of `validation` if there are none."""
    for folder in ("test", "test1", "validation"):
        found = (path for pattern in ("*", "*/*") for path in (Path(JOB["data"]) / folder).glob(pattern))
        if files := sorted(str(path) for path in found if is_image(path) and not path.parent.name.startswith(".")):
            return files
    sys.exit(f"{JOB['data']} has no images in test, test1 or validation")


def chunks(paths, size):
    return [paths[start : start + size] for start in range(0, len(paths), size)]


def write(value, path):
    """Writes JSON to a file that the study named; only the first rank does. JSON has no number that is not finite: `null` stands for it."""

    def finite(value):
        if isinstance(value, dict):
            return {key: finite(of) for key, of in value.items()}
        if isinstance(value, list):
            return [finite(of) for of in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    if RANK == 0:
        Path(path).write_text(json.dumps(finite(value)))

"""What all references share: the job, the order of its phases or its check, and the record.

JOB is `benchbook_study::references::Job`. Its record states what was requested, and the reference adds what it did and
how long that took. A reference is a class with the methods that `run` calls; its interpreter of the graph is a file of
its own.
"""

import contextlib
import functools
import json
import math
import platform
import sys
import time
from pathlib import Path

import numpy
from safetensors.numpy import load_file, save_file

JOB = json.loads(Path(sys.argv[1]).read_text())
NET, RECORD, CHECK, CLASSES = JOB["net"], JOB["record"], JOB["check"], JOB["class_names"]
CLOCK = time.perf_counter


def run(library):
    """Runs the job: the four phases, or the check.

    The phases are `load`, `build`, `train` and `test`, which returns the number of its images; `count` returns the
    numbers of all and of the trained values, `steps` the number of training steps, and `parts` the library's build and
    the versions of what it loads images with. For a check, `build` makes dropout layers that multiply by the masks that
    `step` takes, for batches of `check_batch`; `first_loss` computes the loss in inference mode, `gradients` those of
    training mode without dropout, by name.
    """
    RECORD["library"]["name"] = library.name
    if CHECK:
        return check(library)
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
    facts |= {f"/library/parts/{name}": version for name, version in library.parts().items()}
    facts |= {"/net/parameters": parameters, "/net/trainable_parameters": trainable}
    state(facts | {"/steps": library.steps(), "/images_seen/test": tested})
    write(RECORD)


def state(facts):
    """Fills in the conditions that the job leaves to this process; exits if one is missing or unknown."""
    missing = [place for place, optional in JOB["states"].items() if not optional and facts.get(place) is None]
    unknown = [place for place in facts if place not in JOB["states"]]
    if missing or unknown:
        sys.exit(f"the record must state {list(JOB['states'])}; missing: {missing}, unknown: {unknown}")
    for place, value in facts.items():
        *way, name = place.split("/")[1:]
        functools.reduce(dict.__getitem__, way, RECORD)[name] = value


def check(library):
    """Writes the losses and gradients that the library computes of the common batches from the common start."""
    batches = load_file(CHECK["batches"])
    pixels, labels = batches["pixels"], batches["labels"].astype(numpy.int64)
    masks = [batches[f"factors.{number}"] for number in range(len(dropouts()))]
    library.check_batch = labels.shape[1]
    library.build()
    losses = [library.first_loss(pixels[0], labels[0])]
    save_file(library.gradients(pixels[0], labels[0]), CHECK["gradients"])
    # The running statistics of batch normalisation have moved.
    library.set_weights(load_file(JOB["start"]))
    for step in range(CHECK["steps"]):
        losses.append(library.step(pixels[step], labels[step], [mask[step] for mask in masks]))
    write({"version": library.version, "losses": losses})


def dropouts():
    """The dropout layers in order."""
    return [layer for layer in NET["layers"] if layer["operation"]["type"] == "dropout"]


@contextlib.contextmanager
def phase(name):
    """Announces a phase to the study that watches this process, and measures its duration."""
    print(f"@phase {name}", flush=True)
    began = CLOCK()
    yield
    RECORD["phases"][name] = CLOCK() - began
    print("@phase end", flush=True)


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
            line = f"Epoch {epoch}/{JOB['epochs']}: {step}/{steps} - loss: {loss:.4f} - acc: {accuracy:.4f}"
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


def test_files():
    """The images of the phase test: those of the folder `test`, or of `validation` if there is none."""
    root = Path(JOB["data"])
    root = root / "test" if (root / "test").is_dir() else root / "validation"
    return sorted(str(path) for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def write(value):
    """Writes JSON to the file that the study named. JSON has no number that is not finite: `null` stands for it."""

    def finite(value):
        if isinstance(value, dict):
            return {key: finite(of) for key, of in value.items()}
        if isinstance(value, list):
            return [finite(of) for of in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    Path(JOB["output"]).write_text(json.dumps(finite(value)))

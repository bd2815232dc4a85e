"""What both references share: the job that they are given, the phases that they announce, the record that they leave.

JOB is `benchbook_study::references::Job`; the record in it states what was asked for, and the reference fills in what
it did and what that took.
"""

import contextlib
import json
import math
import sys
import time
from pathlib import Path

JOB = json.loads(Path(sys.argv[1]).read_text())
RECORD = JOB["record"]
CLOCK = time.perf_counter
CLASSES = sorted(folder.name for folder in (Path(JOB["data"]) / "train").glob("*/")) if "data" in JOB else []


@contextlib.contextmanager
def phase(name):
    """Announces a phase to the study that watches this process, and takes its time."""
    print(f"@phase {name}", flush=True)
    began = CLOCK()
    yield
    RECORD["phases"][name] = CLOCK() - began
    print("@phase end", flush=True)


@contextlib.contextmanager
def part(parts, name):
    """Takes the time of a part of a phase."""
    began = CLOCK()
    yield
    RECORD[parts][name] = CLOCK() - began


class Progress:
    """A line on standard output that the next one replaces, ten times a second at most."""

    def __init__(self):
        self.told = 0.0

    def step(self, epoch, step, steps, loss, accuracy):
        if CLOCK() - self.told >= 0.1:
            self.told = CLOCK()
            line = f"Epoch {epoch}/{JOB['epochs']}: {step}/{steps} - loss: {loss:.4f} - acc: {accuracy:.4f}"
            print(line, end="\r", flush=True)

    def epoch(self, epoch):
        """Keeps an epoch, and its line."""
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
    """The pictures of the phase test: those of the folder test, or of validation where there is none."""
    root = Path(JOB["data"])
    root = root / "test" if (root / "test").is_dir() else root / "validation"
    return sorted(str(path) for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def begin(library, version, device, threads):
    """States who computes; the classes and counts are looked at again, since a mistake there would be silent."""
    RECORD["library"] |= {"name": library, "version": version, "language": "Python", "device": device, "threads": threads}
    if len(CLASSES) != 2:
        sys.exit(f"expected two class folders in {JOB['data']}/train, found {CLASSES}")


def finish():
    """Leaves the record in the file that the study named."""
    Path(JOB["output"]).write_text(json.dumps(as_json(RECORD)))


def leave_losses(version, losses):
    """Leaves what a check computed, and by which version."""
    Path(JOB["output"]).write_text(json.dumps(as_json({"version": version, "losses": losses})))


def as_json(value):
    """JSON has no number that is none."""
    if isinstance(value, dict):
        return {key: as_json(of) for key, of in value.items()}
    if isinstance(value, list):
        return [as_json(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Training steps of the TensorFlow backend against Keras' own train_on_batch, with the same library.

VGG16 with each of the report's heads, all layers learning. Both sides get the same threads and the same settings of
TensorFlow and take turns step by step, so that the machine's moods meet both. Each round has fresh processes, since
the steps of one process share how its memory happens to lie: a round's ratio is that of the medians of its steps, and
the ratio is the median over rounds, with its bootstrap interval over rounds. Peak memory is the largest of all rounds.
Needs `.venv-references` (environment/references), or BENCHBOOK_REFERENCES: a Python environment with TensorFlow and
Keras.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cells.statistics import quartiles, ratio_interval

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCES = Path(os.environ.get("BENCHBOOK_REFERENCES") or REPOSITORY / ".venv-references")
HERE = Path(__file__).with_suffix("")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
# The backend would set the second by itself, and Keras neither.
SETTINGS = {"TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"), "TF_DETERMINISTIC_OPS": "0"}


class Side:
    """A process that runs training steps when it is asked to."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | SETTINGS | environment
        )
        self.ready = self.answer()["ready"]

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with status {self.process.wait()}: its words are above")
        return json.loads(line)

    def steps(self, count: int) -> dict[str, Any]:
        assert self.process.stdin
        print(count, file=self.process.stdin, flush=True)
        return self.answer()

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Result:
    """What one side needed in all rounds of one combination."""

    # Of each round its steps.
    seconds: list[list[float]] = field(default_factory=list)
    cpu: float = 0
    peak_bytes: int = 0
    first_step: list[float] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def rounds(self) -> list[float]:
        return [statistics.median(steps) for steps in self.seconds]

    def line(self) -> str:
        middle, (low, high) = statistics.median(self.rounds()), quartiles(self.rounds())
        steps = sum(map(len, self.seconds))
        return (
            f"{middle * 1000:8.0f} ms ({low * 1000:.0f} to {high * 1000:.0f}), {self.cpu / steps:.2f} CPU s,"
            f" peak {self.peak_bytes / 1e6:.0f} MB, first step {statistics.median(self.first_step):.1f} s"
        )


def measure(settings: dict[str, Any], rounds: int, pairs: int) -> tuple[Result, Result]:
    text = json.dumps(settings)
    sides = [
        # The library of the very package that Keras uses.
        ([str(TARGET / "release/examples/vgg16"), text], {"BENCHBOOK_TENSORFLOW": str(REFERENCES)}),
        ([str(REFERENCES / "bin/python"), "-B", str(HERE / "with_keras.py"), text], {}),
    ]
    results = (Result(), Result())
    for number in range(rounds):
        running = [Side(*side) for side in sides]
        for side, result in zip(running, results):
            result.about = side.ready
            result.first_step.append(side.ready["first_step"])
            result.seconds.append([])
        for pair in range(pairs):
            # Who begins changes, too.
            for index in (0, 1) if (number + pair) % 2 == 0 else (1, 0):
                answer = running[index].steps(1)
                results[index].seconds[-1] += answer["seconds"]
                results[index].cpu += answer["cpu"]
                results[index].peak_bytes = max(results[index].peak_bytes, answer["peak_bytes"])
        for side in running:
            side.end()
    return results


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--heads", nargs="+", default=["keras", "pytorch"], choices=["keras", "pytorch"])
    words.add_argument("--size", type=int, default=224, help="side of the pictures in pixels")
    words.add_argument("--batch", type=int, default=8)
    words.add_argument("--threads", type=int, default=os.cpu_count())
    words.add_argument("--optimizer", default="adam", choices=["adam", "sgd", "rmsprop"])
    words.add_argument("--rounds", type=int, default=6, help="fresh pairs of processes; an interval needs six")
    words.add_argument("--pairs", type=int, default=4, help="pairs of steps in a round")
    chosen = words.parse_args()
    if not (REFERENCES / "bin/python").exists():
        raise SystemExit(f"there is no {REFERENCES}: environment/references makes it")
    build = ["cargo", "build", "--locked", "--release", "--quiet", "-p", "benchbook-tensorflow", "--example", "vgg16"]
    subprocess.run(build, cwd=REPOSITORY, check=True)

    rows = []
    for head in chosen.heads:
        settings = {"head": head, "size": chosen.size, "batch": chosen.batch, "threads": chosen.threads,
                    "optimizer": chosen.optimizer}
        ours, keras = measure(settings, chosen.rounds, chosen.pairs)
        ratio, low, high = ratio_interval(ours.rounds(), keras.rounds())
        memory = ours.peak_bytes / keras.peak_bytes
        print(f"VGG16, {head} head, {chosen.size}², batch {chosen.batch}, {chosen.optimizer}, {chosen.threads} threads")
        print(f"  Rust   {ours.line()}")
        print(f"  Keras  {keras.line()}")
        print(
            f"  Rust / Keras: step {ratio:.3f} ({low:.3f} to {high:.3f}, {len(ours.seconds)} rounds),"
            f" CPU {ours.cpu / keras.cpu:.3f}, peak memory {memory:.3f}", flush=True,
        )
        rows.append({"settings": settings | SETTINGS, "rust": asdict(ours), "keras": asdict(keras),
                     "ratio": [ratio, low, high], "memory_ratio": memory})
    results = REPOSITORY / "results"
    results.mkdir(exist_ok=True)
    report = {
        "benchmark": "tensorflow-steps",
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "processors": os.cpu_count()},
        "rows": rows,
    }
    path = results / "tensorflow-steps.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"figures: {path.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()

"""Training steps of the TensorFlow backend against Keras' own train_on_batch, with the same library.

VGG16 with each of the report's heads, all layers learning. Both sides get the same threads and the same settings of
TensorFlow and take turns step by step, so that load on the machine affects both equally. Each round has fresh processes, since
the steps of one process share its memory layout: a round's ratio is that of the medians of its steps, and
the ratio is the median over rounds, with its bootstrap interval over rounds. Peak memory is the largest of all rounds.
Needs `.venv-references` (environment/references), or BENCHBOOK_REFERENCES: a Python environment with TensorFlow and
Keras.
"""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cells.statistics import quartiles, ratio_interval
from shared import PYTHON, REFERENCES, RELEASE, Side, cargo_build, need_references, parser, write

HERE = Path(__file__).with_suffix("")
# The backend would set the second by itself, and Keras neither.
SETTINGS = {"TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"), "TF_DETERMINISTIC_OPS": "0"}


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
        ([RELEASE / "examples/vgg16", text], SETTINGS | {"BENCHBOOK_TENSORFLOW": str(REFERENCES)}),
        ([PYTHON, "-B", HERE / "with_keras.py", text], SETTINGS),
    ]
    results = (Result(), Result())
    for number in range(rounds):
        running = []
        for side, result in zip(sides, results):
            # One after the other: the first step of each has the machine to itself.
            running.append(Side(*side))
            result.about = running[-1].answer()["ready"]
        for side, result in zip(running, results):
            result.first_step.append(result.about["first_step"])
            result.seconds.append([])
        for pair in range(pairs):
            # Who begins changes, too.
            for index in (0, 1) if (number + pair) % 2 == 0 else (1, 0):
                answer = running[index].ask(1)
                results[index].seconds[-1] += answer["seconds"]
                results[index].cpu += answer["cpu"]
                results[index].peak_bytes = max(results[index].peak_bytes, answer["peak_bytes"])
        for side in running:
            side.stop()
    return results


def main() -> None:
    words = parser("tensorflow-steps", __doc__)
    words.add_argument("--heads", nargs="+", default=["keras", "pytorch"], choices=["keras", "pytorch"])
    words.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    words.add_argument("--batch", type=int, default=8)
    words.add_argument("--threads", type=int, default=os.cpu_count())
    words.add_argument("--optimizer", default="adam", choices=["adam", "sgd", "rmsprop"])
    words.add_argument("--rounds", type=int, default=6, help="fresh pairs of processes; an interval needs six")
    words.add_argument("--pairs", type=int, default=4, help="pairs of steps in a round")
    chosen = words.parse_args()
    need_references()
    cargo_build("--quiet", "-p", "benchbook-tensorflow", "--example", "vgg16")

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
    write(chosen.output, rows=rows)
    print(f"figures: {chosen.output}")


if __name__ == "__main__":
    main()

"""Training steps of the TensorFlow backend against Keras' own train_on_batch, with the same library.

VGG16 with each of the report's heads. Both sides get the same threads and take turns of a few steps, so that the
machine's moods meet both; each round has fresh processes, so that peak memory is its own. Needs `.venv-references`
(environment/references), or BENCHBOOK_REFERENCES: a Python environment with TensorFlow and Keras.
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

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCES = Path(os.environ.get("BENCHBOOK_REFERENCES") or REPOSITORY / ".venv-references")
HERE = Path(__file__).with_suffix("")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")


class Side:
    """A process that runs training steps when it is asked to."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
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

    seconds: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)
    cpu: float = 0
    peak_bytes: int = 0
    first_step: list[float] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        low, middle, high = statistics.quantiles(self.seconds, n=4)
        return (
            f"{middle * 1000:8.0f} ms ({low * 1000:.0f} to {high * 1000:.0f}), {self.cpu / len(self.seconds):.2f} CPU s,"
            f" peak {self.peak_bytes / 1e6:.0f} MB, first step {statistics.median(self.first_step):.1f} s"
        )


def measure(settings: dict[str, Any], rounds: int, turns: int, steps: int) -> tuple[Result, Result]:
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
        taken: tuple[list[float], list[float]] = ([], [])
        for turn in range(turns):
            # Who begins changes, too.
            for index in (0, 1) if (number + turn) % 2 == 0 else (1, 0):
                answer = running[index].steps(steps)
                taken[index].extend(answer["seconds"])
                results[index].cpu += answer["cpu"]
                results[index].peak_bytes = max(results[index].peak_bytes, answer["peak_bytes"])
        for side, result, seconds in zip(running, results, taken):
            result.seconds.extend(seconds)
            result.rounds.append(statistics.median(seconds))
            side.end()
    return results


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--heads", nargs="+", default=["keras", "pytorch"], choices=["keras", "pytorch"])
    words.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    words.add_argument("--batch", type=int, default=8)
    words.add_argument("--threads", type=int, default=os.cpu_count())
    words.add_argument("--optimizer", default="adam", choices=["adam", "sgd", "rmsprop"])
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--turns", type=int, default=4)
    words.add_argument("--steps", type=int, default=4, help="steps in a turn")
    chosen = words.parse_args()
    if not (REFERENCES / "bin/python").exists():
        raise SystemExit(f"there is no {REFERENCES}: environment/references makes it")
    build = ["cargo", "build", "--locked", "--release", "--quiet", "-p", "benchbook-tensorflow", "--example", "vgg16"]
    subprocess.run(build, cwd=REPOSITORY, check=True)

    rows = []
    for head in chosen.heads:
        settings = {"head": head, "size": chosen.size, "batch": chosen.batch, "threads": chosen.threads,
                    "optimizer": chosen.optimizer}
        ours, keras = measure(settings, chosen.rounds, chosen.turns, chosen.steps)
        ratios = [a / b for a, b in zip(ours.rounds, keras.rounds)]
        memory = ours.peak_bytes / keras.peak_bytes
        print(f"VGG16, {head} head, {chosen.size}², batch {chosen.batch}, {chosen.optimizer}, {chosen.threads} threads")
        print(f"  Rust   {ours.line()}")
        print(f"  Keras  {keras.line()}")
        print(
            f"  Rust / Keras: step {statistics.median(ours.seconds) / statistics.median(keras.seconds):.3f}"
            f" (rounds {', '.join(f'{ratio:.3f}' for ratio in ratios)}), CPU {ours.cpu / keras.cpu:.3f},"
            f" peak memory {memory:.3f}", flush=True,
        )
        rows.append({"settings": settings, "rust": asdict(ours), "keras": asdict(keras), "ratios": ratios,
                     "memory_ratio": memory})
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

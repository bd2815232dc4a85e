"""A training step against the same step in PyTorch's Python, with the same libtorch.

VGG16 with each of the report's heads, a trainable and a frozen base, at several batch sizes. Both sides get the same
threads and take turns step by step, so that load on the machine affects both equally; each combination has fresh processes, so
that its peak memory is its own, and one step of each side before those that count. Ours runs in cells of the
installed kernel. Needs `.venv-references`.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared import PYTHON, REPOSITORY, Side, header, need_references, parser, row, write

from driver import Kernel

ORIGINAL = REPOSITORY / "environment" / "originals" / "train_step.py"
# The learning rate.
RATE = 1e-5


@dataclass(frozen=True)
class Settings:
    """One combination."""

    head: str
    base: str
    batch: int
    size: int
    threads: int
    optimizer: str

    def name(self) -> str:
        return f"{'Keras' if self.head == 'keras' else 'PyTorch'} head, {self.base} base, batch {self.batch}"


class Ours:
    """The step in a cell, which then waits for questions: a compilation or the server's own work between two steps
    would take caches and cores from the next one."""

    def __init__(self, settings: Settings) -> None:
        self.kernel = Kernel({"OMP_NUM_THREADS": str(settings.threads)})
        head = {"keras": "Keras", "pytorch": "PyTorch"}[settings.head]
        frozen = {"frozen": "true", "trainable": "false"}[settings.base]
        optimizer = {"adam": "Optimizer::default()", "sgd": "Optimizer::sgd()"}[settings.optimizer]
        self.kernel.good(
            f"""
            use benchbook::backend::{{Input, Step}};
            let mut model = Model::new(
                Vgg16 {{ head: Head::{head}, size: {settings.size}, ..Vgg16::new(2) }},
                Build {{ frozen: {frozen}, device: Some(Device::Cpu), threads: Some({settings.threads}), ..Build::default() }},
            )?;
            model.network().compile({optimizer});
            let count = {settings.batch} * 3 * {settings.size} * {settings.size};
            let values: Vec<f32> = (0..count as u64).map(|at| ((at * 7919) % 1009) as f32 / 1009.0).collect();
            let labels: Vec<i64> = (0..{settings.batch}).map(|at| at % 2).collect();
            """
        )
        info = self.kernel.good('println!("{} {}", model.backend().version, model.backend().threads);').stdout.split()
        self.facts = {"version": info[0], "threads": int(info[1])}
        self.pipes = tempfile.TemporaryDirectory()
        paths = [Path(self.pipes.name, name) for name in ("questions", "answers")]
        for path in paths:
            os.mkfifo(path)
        self.cell = self.kernel.start(
            f"""
            {{ use std::io::{{BufRead, Write}};
            println!("ready");
            let questions = std::io::BufReader::new(std::fs::File::open("{paths[0]}")?);
            let mut answers = std::fs::File::create("{paths[1]}")?;
            for rate in questions.lines() {{
                let rate = rate?.parse()?;
                let began = std::time::Instant::now();
                let outcome = model.network().train_step(Input::Values(&values), &labels, Step::new(rate, 0))?;
                let seconds = began.elapsed().as_secs_f64();
                let status = std::fs::read_to_string("/proc/self/status")?;
                let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
                writeln!(answers, "{{seconds}} {{}} {{}}", outcome.loss, peak.trim().trim_end_matches(" kB"))?;
            }} }}
            """
        ).wait_for_print("ready")
        self.questions, self.answers = paths[0].open("w"), paths[1].open()

    def step(self) -> dict[str, Any]:
        self.questions.write(f"{RATE}\n")
        self.questions.flush()
        line = self.answers.readline()
        if not line:
            raise SystemExit(f"Benchbook's side ended: {self.cell.finish()}")
        seconds, loss, peak = line.split()
        return {"seconds": float(seconds), "loss": float(loss), "peak": int(peak) * 1024}

    def stop(self) -> None:
        self.questions.close()
        self.answers.close()
        self.kernel.stop()
        self.pipes.cleanup()


class Theirs(Side):
    """The step in PyTorch's Python."""

    def __init__(self, settings: Settings) -> None:
        super().__init__([PYTHON, ORIGINAL], {"OMP_NUM_THREADS": str(settings.threads)})
        self.facts = self.ask(asdict(settings))

    def step(self) -> dict[str, Any]:
        return self.ask({"step": RATE})


def measure(settings: Settings, steps: int) -> dict[str, Any]:
    """Both sides, alternating; the side that begins changes from step to step."""
    sides = {"benchbook": Ours(settings), "python": Theirs(settings)}
    try:
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        last: dict[str, dict[str, Any]] = {}
        for side in sides.values():
            # The first step chooses kernels and makes the optimiser's state.
            side.step()
        for turn in range(steps):
            for name in list(sides) if turn % 2 == 0 else list(reversed(sides)):
                last[name] = sides[name].step()
                seconds[name].append(last[name]["seconds"])
        facts = {name: side.facts for name, side in sides.items()}
    finally:
        for side in sides.values():
            side.stop()
    return {
        **asdict(settings),
        "name": settings.name(),
        "facts": facts,
        "seconds": seconds,
        "median": {name: statistics.median(values) for name, values in seconds.items()},
        "loss": {name: answer["loss"] for name, answer in last.items()},
        "peak": {name: answer["peak"] for name, answer in last.items()},
    }


COLUMNS = [
    "VGG16", "steps", "Benchbook [s/step]", "Python [s/step]", "time ratio (range)", "Benchbook [MB]", "Python [MB]",
    "memory ratio",
]


def line(result: dict[str, Any]) -> str:
    """Medians over the steps, and ratios of which less than 1 is in favour of Benchbook; with the smallest and the
    largest ratio of two steps that followed each other."""
    ours, theirs = (result["median"][name] for name in ("benchbook", "python"))
    turns = [a / b for a, b in zip(*(result["seconds"][name] for name in ("benchbook", "python")))]
    our_peak, their_peak = (result["peak"][name] / 1e6 for name in ("benchbook", "python"))
    return row([
        f"{result['name']}, {result['size']}²", len(turns), f"{ours:.4f}", f"{theirs:.4f}",
        f"{ours / theirs:.3f} ({min(turns):.3f} to {max(turns):.3f})",
        f"{our_peak:.0f}", f"{their_peak:.0f}", f"{our_peak / their_peak:.2f}",
    ])


def chart(results: list[dict[str, Any]], path: Path) -> None:
    """The ratios as bars, drawn by Benchbook itself."""
    labels = [f"{r['name'].replace(' head', '').replace(' base', '')}, {r['size']}²" for r in results]
    # Rust knows JSON's strings, but not its escapes.
    names = ", ".join(json.dumps(label, ensure_ascii=False) for label in labels)

    def ratios(what: str) -> str:
        return ", ".join(f"{r[what]['benchbook'] / r[what]['python']:.5f}" for r in results)

    kernel = Kernel()
    try:
        kernel.good(
            f"""
            {{ let chart = BarChart::new("Benchbook / PyTorch's Python, below 1 is better", [{names}])
                .y("ratio").series("time of a step", [{ratios("median")}])?.series("peak memory", [{ratios("peak")}])?
                .size(1100, 420);
            std::fs::write({json.dumps(str(path), ensure_ascii=False)}, chart.svg())?; }}
            """
        )
    finally:
        kernel.stop()


def main() -> None:
    arguments = parser("train", __doc__)
    arguments.add_argument("--size", type=int, default=96, help="height and width of the images")
    arguments.add_argument("--full", action="store_true", help="at 224², as in the report: some ten minutes on two cores")
    arguments.add_argument("--batch", type=int, nargs="+", default=[8, 32], help="batch sizes")
    arguments.add_argument("--head", nargs="+", choices=["keras", "pytorch"], default=["keras", "pytorch"])
    arguments.add_argument("--base", nargs="+", choices=["trainable", "frozen"], default=["trainable", "frozen"])
    arguments.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
    arguments.add_argument("--threads", type=int, default=os.cpu_count(), help="of each side")
    arguments.add_argument("--steps", type=int, help="steps of each side that count; None takes 10, or 3 with --full")
    options = arguments.parse_args()
    need_references()
    size = 224 if options.full else options.size
    steps = options.steps or (3 if options.full else 10)
    results: list[dict[str, Any]] = []
    print(header(COLUMNS), flush=True)
    for base in options.base:
        for head in options.head:
            for batch in options.batch:
                settings = Settings(head, base, batch, size, options.threads, options.optimizer)
                results.append(measure(settings, steps))
                print(line(results[-1]), flush=True)
                # After each, so that a run that is broken off leaves what it has measured.
                write(options.output, steps=steps, results=results)
    chart(results, options.output.with_suffix(".svg"))
    print(f"\n{options.output} and {options.output.with_suffix('.svg').name}")


if __name__ == "__main__":
    main()

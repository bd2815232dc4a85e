"""The same calls in a cell and in a program that is compiled against the same helper library."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from . import statistics
from .session import Session
from .toolchain import Installed

# Each prints the seconds of its calls as a JSON list. All the work is in prebuilt code.
JOBS = {
    "training step": """
fn train() {
    use benchbook::tch::{nn, nn::ModuleT, nn::OptimizerConfig, Device, Kind, Tensor};
    benchbook::tch::manual_seed(1);
    let variables = nn::VarStore::new(Device::Cpu);
    let root = variables.root();
    let network = nn::seq_t()
        .add(nn::conv2d(&root / "a", 3, 32, 3, Default::default()))
        .add_fn(|x| x.relu().max_pool2d_default(2))
        .add(nn::conv2d(&root / "b", 32, 64, 3, Default::default()))
        .add_fn(|x| x.relu().max_pool2d_default(2).flat_view())
        .add(nn::linear(&root / "c", 64 * 14 * 14, 2, Default::default()));
    let mut optimizer = nn::Adam::default().build(&variables, 1e-3).unwrap();
    let images = Tensor::rand([16, 3, 64, 64], (Kind::Float, Device::Cpu));
    let labels = Tensor::zeros([16], (Kind::Int64, Device::Cpu));
    let mut seconds = Vec::new();
    for step in 0..12 {
        let begun = std::time::Instant::now();
        let loss = network.forward_t(&images, true).cross_entropy_for_logits(&labels);
        optimizer.backward_step(&loss);
        std::hint::black_box(loss.double_value(&[]));
        if step >= 2 { seconds.push(begun.elapsed().as_secs_f64()); }
    }
    println!("{seconds:?}");
}
""",
    "plot": """
fn plot_often() {
    use benchbook::display::Rich;
    let values: Vec<f64> = (0..1000).map(|i| (i as f64 * 0.01).sin()).collect();
    let mut seconds = Vec::new();
    for round in 0..22 {
        let begun = std::time::Instant::now();
        let chart = benchbook::chart::plot(&values).unwrap();
        std::hint::black_box(chart.bundle());
        if round >= 2 { seconds.push(begun.elapsed().as_secs_f64()); }
    }
    println!("{seconds:?}");
}
""",
}
# By default glibc gives large blocks back to the system after each step, or not, as it happens to have
# allocated before: the same step then takes 11 or 15 ms. Both sides keep their blocks here.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}

CALLS = {"training step": "train();", "plot": "plot_often();"}


def build(installed: Installed, folder: Path) -> Path:
    """A compiled program that runs a job for each line that it is sent."""
    source = folder / "inside.rs"
    arms = "".join(f'"{name}" => {{ {call} }}\n' for name, call in CALLS.items())
    source.write_text(
        "".join(JOBS.values())
        + "fn main() { for line in std::io::stdin().lines() { match line.unwrap().as_str() {\n"
        + arms
        + "other => panic!(\"{other}\") } } }\n"
    )
    program = folder / "inside"
    template = installed.template
    subprocess.run(
        [installed.rustc, "--edition", "2024", "-O", "-C", "prefer-dynamic", source, "-o", program]
        + ["--extern", f"benchbook={template}/lib/libbenchbook.so"]
        + ["-L", f"dependency={template}/deps", "-L", f"native={installed.libtorch}"]
        + ["-C", "link-arg=-Wl,--allow-shlib-undefined"],
        check=True,
    )
    return program


class Program:
    """A running one."""

    def __init__(self, installed: Installed, program: Path) -> None:
        self.process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ALLOCATOR, "LD_LIBRARY_PATH": installed.libraries},
        )

    def run(self, name: str) -> list[float]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(
    installed: Installed, processes: int, rounds: int
) -> dict[str, dict[str, object]]:
    """Runs each job alternating in a cell and in the program, several rounds in each of several fresh pairs of
    processes. The memory layout of a process makes its steps faster or slower for as long as it
    lives, so a pair of processes, and not a round, is one observation."""
    cells: dict[str, list[float]] = {name: [] for name in CALLS}
    programs: dict[str, list[float]] = {name: [] for name in CALLS}
    with tempfile.TemporaryDirectory() as folder:
        path = build(installed, Path(folder))
        for _ in range(processes):
            with Session(installed.argv, ALLOCATOR) as session:
                for job in JOBS.values():
                    session.run(job)
                program = Program(installed, path)
                try:
                    for name in CALLS:
                        cell, compiled = alternate(session, program, name, rounds)
                        cells[name].append(cell)
                        programs[name].append(compiled)
                finally:
                    program.stop()
    found: dict[str, dict[str, object]] = {}
    for name in CALLS:
        ratio, low, high = statistics.ratio_interval(cells[name], programs[name])
        found[name] = {
            "cell_s": cells[name],
            "program_s": programs[name],
            "ratio": ratio,
            "interval": [low, high],
        }
    return found


def alternate(session: Session, program: Program, name: str, rounds: int) -> tuple[float, float]:
    """The medians of a job's calls in a session and in a program."""
    cells, programs = [], []
    for round in range(rounds):
        # Which is first changes, so that neither gains by a machine that warms or tires.
        for turn in (round, round + 1):
            if turn % 2 == 0:
                cells.extend(json.loads(session.printed(f"{CALLS[name]} // {round}")))
            else:
                programs.extend(program.run(name))
    return statistics.median(cells), statistics.median(programs)

"""One long session: many cells, then kills and interrupts at random moments.

What is promised is kept in `Soak.kept` and looked at after every disturbance: after an interrupt
every variable is there, and so is the model with what it has learned; after the death of the worker
the kernel has said which variables are lost, functions are still there, and cells run.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from driver import Cell, Kernel, descendants

MOMENTS = ("idle", "build", "helper loop", "user loop")

# Rounds of a loop in a constant, about a second of a compiler's time.
BUILD_STEPS = 2_000_000

# Names that cells use over and over, as people do; each new value replaces the one before.
NAMES = [f"value_{letter}" for letter in "abcdefghij"]


@dataclass
class Memory:
    """What the kernel's processes hold at one moment."""

    server_mb: float
    worker_mb: float
    server_files: int
    server_threads: int
    session_mb: float

    @staticmethod
    def of(kernel: Kernel) -> Memory:
        return Memory(
            server_mb=resident_mb(kernel.process),
            worker_mb=resident_mb(worker(kernel)),
            server_files=len(os.listdir(f"/proc/{kernel.process}/fd")),
            server_threads=len(os.listdir(f"/proc/{kernel.process}/task")),
            session_mb=folder_mb(session_folder(kernel)),
        )


def resident_mb(process: int) -> float:
    """The resident memory of a process in MB (10⁶ bytes)."""
    status = Path(f"/proc/{process}/status").read_text()
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return round(int(kilobytes) * 1024 / 1e6, 1)


def session_folder(kernel: Kernel) -> Path:
    """The folder of the session's own files."""
    (folder,) = Path(os.environ["TMPDIR"]).glob(f"benchbook-session-*{kernel.process}-*")
    return folder


def folder_mb(folder: Path) -> float:
    sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_file()]
    return round(sum(sizes) / 1e6, 1)


def worker(kernel: Kernel) -> int:
    """The process that runs the cells; there is one."""
    workers = [
        number
        for number, name in descendants(kernel.process).items()
        if name.startswith("benchbook-work") and is_alive(number)
    ]
    assert len(workers) == 1, workers
    return workers[0]


def is_alive(process: int) -> bool:
    """Whether a process still has memory; one that has ended and was not waited for has none."""
    try:
        return "VmRSS:" in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


@dataclass
class Soak:
    """The session, what it was promised, and what was counted."""

    kernel: Kernel
    dice: Random
    pictures: Path
    kept: dict[str, str] = field(default_factory=dict)
    cell_seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    answers: dict[str, list[float]] = field(default_factory=dict)
    steps: int = 0
    # Kills while a compiler was at work.
    in_builds: int = 0

    # Cells

    def cells(self, count: int) -> None:
        """Runs `count` cells, every second one with an output, and looks at what each says."""
        for number in range(count):
            kinds = SILENT if number % 2 else LOUD
            code, outputs = self.dice.choice(kinds)(self, number)
            begun = time.monotonic()
            cell = self.kernel.good(code)
            self.cell_seconds.append(time.monotonic() - begun)
            assert cell.events == outputs, f"cell {number}: {code}\n{cell.events}"

    def set(self, name: str, value: int) -> str:
        self.kept[name] = str(value)
        return f"let mut {name}: i64 = {value};"

    def known(self) -> str | None:
        """Some variable that has a value."""
        return self.dice.choice(sorted(self.kept)) if self.kept else None

    # After a disturbance

    def check_kept(self) -> None:
        """The session answers, and every variable has the value that it was given."""
        if not self.kept:
            assert self.kernel.value("6 * 7") == "42"
            return
        names = sorted(self.kept)
        expected = f"[{', '.join(self.kept[name] for name in names)}]"
        assert self.kernel.value(f"vec![{', '.join(names)}]") == expected

    def check_lost(self, cell: Cell) -> None:
        """The kernel says in this cell that the worker died, and names every variable."""
        assert cell.ename == "WorkerDied", cell.problem
        unnamed = [name for name in self.kept if name not in cell.evalue]
        assert not unnamed, f"{unnamed} are lost without a word: {cell.evalue}"
        if name := self.known():
            assert self.kernel.run(name).ename == "CompileError", "a lost variable is unknown"
        self.kept.clear()
        assert self.kernel.value("doubled(21)") == "42", "functions are kept"
        self.refill()

    def refill(self) -> None:
        """Variables for the next disturbance to keep or to lose."""
        values = {name: self.dice.randrange(1000) for name in self.dice.sample(NAMES, 3)}
        self.kernel.good(" ".join(self.set(name, value) for name, value in values.items()))
        self.steps = 0

    # Moments

    def begin(self, moment: str) -> Cell | None:
        """Brings the kernel to a moment; returns the cell that runs then.

        Where in it the disturbance comes is left to chance, so these waits are for time to pass.
        """
        match moment:
            case "idle":
                return None
            case "build":
                cell = self.kernel.start(self.long_build())
                self.kernel.wait(lambda: self.is_building() or cell.idle, "the compiler")
                time.sleep(self.dice.uniform(0, 0.6))
            case "helper loop":
                self.make_model()
                cell = self.kernel.start(TRAINING)
                self.kernel.wait(lambda: bool(cell.of("update_display_data")) or cell.idle, "a step")
                time.sleep(self.dice.uniform(0, 0.6))
            case _:
                cell = self.kernel.start('println!("running"); loop { rounds += 1; }')
                cell.wait_for_print("running")
                time.sleep(self.dice.uniform(0, 0.3))
        return cell

    def long_build(self) -> str:
        """A cell whose compilation takes about a second on any machine of today and whose run takes none.

        The compiler evaluates the constant by itself, some millions of steps a second.
        """
        steps = BUILD_STEPS + self.dice.randrange(1000)
        return f"""
            #[allow(long_running_const_eval)]
            const STEPS: u64 = {{ let mut steps = 0; while steps < {steps} {{ steps += 1; }} steps }};
            STEPS
        """

    def is_building(self) -> bool:
        """Whether a compiler works."""
        return "rustc" in descendants(self.kernel.process).values()

    def make_model(self) -> None:
        """A model and pictures, unless the session has them still."""
        if self.kernel.run("model.history().steps").status == "error":
            self.kernel.good(f'let pictures = ImageFolder::open("{self.pictures}")?;')
            self.kernel.good(
                "let mut model = Vgg { size: 32, batch_norm: true, ..Vgg::default() }.build()?;"
            )
            self.steps = 0

    # Disturbances

    def interrupts(self, count: int) -> None:
        self.kernel.good("let mut rounds = 0u64;")
        for moment in self.moments(count):
            cell = self.begin(moment)
            begun = time.monotonic()
            self.kernel.interrupt()
            if cell is not None:
                cell.finish()
                self.count("interrupt", moment, self.interrupted(cell, moment))
            else:
                self.count("interrupt", moment, "nothing to stop")
            self.answers.setdefault(f"interrupt, {moment}", []).append(time.monotonic() - begun)
            self.check_kept()
            if moment == "helper loop":
                steps = int(self.kernel.value("model.history().steps"))
                assert steps >= self.steps, "what was learned is lost"
                self.steps = steps

    def interrupted(self, cell: Cell, moment: str) -> str:
        """How an interrupted cell ended. Only one that was being compiled may have been faster."""
        if moment == "build" and cell.status == "ok":
            return "over before"
        assert cell.ename == "KeyboardInterrupt", cell.problem
        assert len(cell.of("error")) == 1
        return "stopped"

    def kills(self, count: int) -> None:
        self.kernel.good("fn doubled(x: i64) -> i64 { 2 * x }")
        for moment in self.moments(count):
            # Also where no loop needs it: a death takes it away.
            self.kernel.good("let mut rounds = 0u64;")
            cell = self.begin(moment)
            if moment == "build":
                self.in_builds += self.is_building()
            os.kill(worker(self.kernel), signal.SIGKILL)
            begun = time.monotonic()
            if cell is not None:
                cell.finish()
            if cell is None or cell.status == "ok":
                # It died with no cell to say so, so the next one does.
                self.count("kill", moment, "told by the next cell")
                cell = self.kernel.run("6 * 7")
            else:
                self.count("kill", moment, "told by the cell")
            self.answers.setdefault(f"kill, {moment}", []).append(time.monotonic() - begun)
            self.check_lost(cell)

    def moments(self, count: int) -> list[str]:
        """As many of each kind, in random order."""
        moments = [MOMENTS[index % len(MOMENTS)] for index in range(count)]
        self.dice.shuffle(moments)
        return moments

    def count(self, disturbance: str, moment: str, outcome: str) -> None:
        self.outcomes[f"{disturbance}, {moment}: {outcome}"] += 1

    def figures(self) -> dict[str, Any]:
        """Seconds of cells at the begin and at the end, and what became of the disturbances."""
        part = max(len(self.cell_seconds) // 10, 1)
        median = statistics.median
        return {
            "first_tenth_median_s": round(median(self.cell_seconds[:part]), 3),
            "last_tenth_median_s": round(median(self.cell_seconds[-part:]), 3),
            "slowest_s": round(max(self.cell_seconds), 3),
            "outcomes": dict(sorted(self.outcomes.items())),
            "kills_while_a_compiler_worked": self.in_builds,
            "median_seconds_to_the_reply": {
                name: round(median(seconds), 3) for name, seconds in sorted(self.answers.items())
            },
        }


TRAINING = (
    "model.fit(&pictures, Fit { epochs: 10_000, steps_per_epoch: Some(2), batch_size: 2, "
    "validation_steps: Some(1), ..Fit::default() })?;"
)

Outputs = list[tuple[str, str]]


def printing(soak: Soak, number: int) -> tuple[str, Outputs]:
    return f'println!("cell {number}");', [("stdout", f"cell {number}\n")]


def printing_much(soak: Soak, number: int) -> tuple[str, Outputs]:
    lines = soak.dice.randrange(1, 500)
    expected = "".join(f"{number} {line}\n" for line in range(lines))
    return f'for i in 0..{lines} {{ println!("{number} {{i}}"); }}', [("stdout", expected)]


def displaying(soak: Soak, number: int) -> tuple[str, Outputs]:
    code = f'let shown = display(&Bundle::text("{number}").html("<b>{number}</b>")); shown.update(&Bundle::text("new"));'
    return code, [("display_data", str(number)), ("update_display_data", "new")]


def reading(soak: Soak, number: int) -> tuple[str, Outputs]:
    name = soak.known()
    if name is None:
        return f"{number} + 1", [("execute_result", str(number + 1))]
    return name, [("execute_result", soak.kept[name])]


def tensor(soak: Soak, number: int) -> tuple[str, Outputs]:
    side = soak.dice.randrange(1, 300)
    code = f"Tensor::ones([{side}, {side}], (Kind::Float, Device::Cpu)).sum(Kind::Int64).int64_value(&[])"
    return code, [("execute_result", str(side * side))]


def setting(soak: Soak, number: int) -> tuple[str, Outputs]:
    return soak.set(soak.dice.choice(NAMES), number), []


def changing(soak: Soak, number: int) -> tuple[str, Outputs]:
    name = soak.known()
    if name is None:
        return setting(soak, number)
    soak.kept[name] = str(int(soak.kept[name]) + number)
    return f"{name} += {number};", []


def defining(soak: Soak, number: int) -> tuple[str, Outputs]:
    return f"fn helper_{number % 10}(x: i64) -> i64 {{ x + {number} }}", []


def looping(soak: Soak, number: int) -> tuple[str, Outputs]:
    return "{ let mut sum = 0u64; for i in 0..100_000u64 { sum ^= i; } std::hint::black_box(sum); }", []


LOUD = (printing, printing_much, displaying, reading, tensor)
SILENT = (setting, changing, defining, looping)

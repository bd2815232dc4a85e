"""The attacks of `environment/soak`, one function a kind.

An attack gets a session, a source of random numbers and how many attacks it is to make. It raises an error if the kernel
did anything but what it promises, and returns the cell that must name the variables as lost, if they are. Whoever calls
it then checks the session: variables are still there or were named as lost, functions are there, and the next cell runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import zmq
from jupyter_client.kernelspec import KernelSpecManager

from driver import NAME, Cell, Kernel, descendants, is_alive, memory_mb, wait_until
from malformed import Client, damage, nonsense, oversized
from test_attack import CONNECTIONS, DEEP, LEFT_BEHIND, LIBC, arms, kernel_in
from test_crash import CRASHES
from test_interrupt import ENDLESS_BUILD, compilers

KEPT = {"kept_number": "7", "kept_text": '"kept"', "kept_vector": "[1.5, 2.5]"}
VARIABLES = 'let kept_number = 7; let kept_text = String::from("kept"); let kept_vector = vec![1.5, 2.5]; let mut rounds = 0u64;'
FUNCTIONS = f"fn kept_double(x: i64) -> i64 {{ 2 * x }}\n{LIBC}\n{CONNECTIONS}"

# What the server may have open beyond what it had after its first cells.
SPARE_FILES = 8
# What the server's memory may grow by in the second half of the plots.
SPARE_MB = 40

# Two kernels that start at the same moment could choose the same port.
STARTING = threading.Lock()


class NotTried(Exception):
    """An attack cannot be made on this machine; the reason."""


def start_kernel(*arguments: Any) -> Kernel:
    with STARTING:
        return Kernel(*arguments)


class Session:
    """A kernel with a folder for its temporary files, and variables that no attack may change without a word."""

    def __init__(self, folder: Path, figures: dict[str, Any]) -> None:
        self.folder, self.figures = folder, figures
        self.kernel = start_kernel({"TMPDIR": str(folder), "BENCHBOOK_LOG": "error"})
        self.begin()

    def begin(self) -> None:
        self.steps = 0
        self.kernel.good(FUNCTIONS)
        self.kernel.good(VARIABLES)
        self.files = self.open_files()

    def open_files(self) -> Counter[str]:
        """What the server has open, by kind: a path, `socket`, `pipe`."""
        found: Counter[str] = Counter()
        for entry in Path(f"/proc/{self.kernel.process}/fd").iterdir():
            with contextlib.suppress(OSError):  # It was closed meanwhile.
                found[os.readlink(entry).split(":")[0]] += 1
        return found

    def check(self, told: Cell | None) -> None:
        """Checks that nothing was lost, or that `told` says so."""
        if told is not None:
            assert told.ename == "WorkerDied", told.problem
            missing = [name for name in KEPT if name not in told.evalue]
            assert not missing, f"{missing} not named as lost: {told.problem}"
            self.kernel.good(VARIABLES)
        assert self.kernel.value("kept_double(21)") == "42"
        assert self.kernel.value(f"({', '.join(f'{name}.clone()' for name in KEPT)})") == f"({', '.join(KEPT.values())})"

    def end(self) -> None:
        """Checks that the session leaves nothing: open files of the server, processes, folders."""
        most = self.files.total() + SPARE_FILES
        # rust-analyzer may be reading files at this moment.
        self.until(lambda: self.open_files().total() <= most, lambda: f"more than {most} files are open: {self.open_files()}")
        self.kernel.stop()
        self.until(lambda: not self.left_over(), lambda: f"left over: {', '.join(self.left_over())}")

    @staticmethod
    def until(condition: Callable[[], bool], problem: Callable[[], str]) -> None:
        try:
            wait_until(condition, "the end of a session")
        except AssertionError:
            raise AssertionError(problem()) from None

    def left_over(self) -> list[str]:
        """Files in the session's folder, and processes that were started with its path in their environment."""
        found = [str(path) for path in self.folder.iterdir()]
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.folder).encode() in (entry / "environ").read_bytes():
                    found.append(f"process {entry.name} ({(entry / 'comm').read_text().strip()})")
            except OSError:
                continue  # It has ended meanwhile.
        return found


Attack = Callable[[Session, Random, int], "Cell | None"]


@dataclass(frozen=True)
class Kind:
    """A kind of attack: how many in the long form and in the short one, and how many a case makes."""

    attack: Attack
    long: int
    short: int
    size: int = 1


# Hostile cells: the code, and how it ends: "ok", the name of an error, or "survives": in whatever way.
HOSTILE = {
    **{name: (code, "refused") for name, code in DEEP.items()},
    **{name: (code, "WorkerDied") for name, (code, _) in CRASHES.items()},
    "a thousand prints": (arms(1000), "ok"),
    "a panic": ('panic!("boom")', "Panic"),
    "closed descriptors": ("for fd in 3..1024 { unsafe { close(fd) }; }", "WorkerDied"),
    "closed standard streams": ("unsafe { close(0); close(1); close(2); }", "ok"),
    "a fork whose child panics": ('if unsafe { fork() } == 0 { panic!("in the child") }', "ok"),
    "a fork whose child returns": ("let child = unsafe { fork() };", "ok"),
    "a signal to its group": ("unsafe { kill(0, 9) }; loop {}", "WorkerDied"),
    "children that are left behind": (LEFT_BEHIND, "ok"),
    "forged completion lines": (
        "{ use std::{io::Write, os::fd::FromRawFd}; for fd in connections() {"
        " let mut file = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(fd) });"
        ' let _ = file.write_all(b"EVCXR_EXECUTION_COMPLETE\\n"); } }',
        "survives",
    ),
}


def hostile_cell(session: Session, dice: Random, count: int) -> Cell | None:
    name = dice.choice(sorted(HOSTILE))
    code, end = HOSTILE[name]
    cell = session.kernel.run(code)
    if end == "refused":
        refused = cell.status == "error" and ("at most" in cell.evalue or "never closed" in cell.evalue)
        assert refused, f"{name}: {cell.problem}"
    elif end != "survives":
        assert (cell.ename or cell.status) == end, f"{name}: {cell.problem}"
    return cell if cell.ename == "WorkerDied" else None


def burst(session: Session, dice: Random, count: int) -> None:
    """Thousands of outputs at once: all arrive, in order."""
    outputs = dice.randrange(1000, 10_000)
    cell = session.kernel.good(f'for i in 0..{outputs} {{ display(&Bundle::text(format!("{{i}}"))); }}')
    assert cell.events == [("display_data", str(number)) for number in range(outputs)], f"{len(cell.events)} of {outputs}"


def malformed_messages(session: Session, dice: Random, count: int) -> None:
    channel = dice.choice(["shell", "control", "stdin"])
    with zmq.Context() as context:
        client = Client(session.kernel, context, channel)
        whole = client.genuine("is_complete_request", {"code": "let x = 1;"})
        for _ in range(count):
            match dice.randrange(50):
                case 0 if channel == "shell":
                    client.send(dice.choice(list(oversized(client).values())))
                case draw if draw < 10:
                    client.send(whole[: dice.randrange(len(whole))] or [b""])
                case draw if draw < 20:
                    client.send(nonsense(client, dice))
                case _:
                    client.send(damage(whole, dice))
        # Nothing is answered on stdin; the next cell shows that all is well.
        if channel != "stdin":
            client.wait_for_answer()
        client.socket.close()


# Interrupts and kills come at a random moment. Where in it is left to chance, so these waits are for time to pass.

MOMENTS = ("idle", "build", "helper loop", "user loop")

# The compiler evaluates it for about a second.
LONG_BUILD = """
#[allow(long_running_const_eval)]
const STEPS: u64 = {{ let mut steps = 0; while steps < {steps} {{ steps += 1; }} steps }};
STEPS
"""

TRAINING = (
    "model.fit(&images, Fit { epochs: 10_000, steps_per_epoch: Some(2), batch_size: 2, "
    "validation_steps: Some(1), ..Fit::default() })?;"
)


def begin(session: Session, dice: Random, moment: str) -> Cell | None:
    """Brings the kernel to a moment; returns the cell that runs then."""
    kernel = session.kernel
    match moment:
        case "idle":
            return None
        case "build":
            cell = kernel.start(LONG_BUILD.format(steps=2_000_000 + dice.randrange(1000)))
            kernel.wait(lambda: bool(compilers(kernel)) or cell.idle, "the compiler")
        case "helper loop":
            make_model(session)
            cell = kernel.start(TRAINING)
            kernel.wait(lambda: bool(cell.of("update_display_data")) or cell.idle, "a training step")
        case _:
            cell = kernel.start('println!("running"); loop { rounds += 1; }').wait_for_print("running")
    time.sleep(dice.uniform(0, 0.5))
    return cell


def make_model(session: Session) -> None:
    """Makes a model and images, unless the session still has them."""
    if session.kernel.run("model.history().steps").status == "ok":
        return
    images = session.folder.parent / f"{session.folder.name}-images"
    for place in ("train/cat", "train/dog", "validation/cat", "validation/dog"):
        (images / place).mkdir(parents=True, exist_ok=True)
        for number in range(4):
            (images / place / f"{number}.png").write_bytes(png(number))
    session.kernel.good(f'let images = ImageFolder::open("{images}")?;')
    net = "Vgg16 { size: 32, batch_norm: true, ..Vgg16::new(images.classes()) }"
    session.kernel.good(f"let mut model = Model::build({net}, &images, Build::default())?;")
    session.steps = 0


def png(shade: int) -> bytes:
    """An image of 32 × 32 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([40 * shade, 99, 200]) * 32) * 32
    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def interrupt(session: Session, dice: Random, count: int, double: bool) -> None:
    kernel, moment = session.kernel, dice.choice(MOMENTS)
    cell = begin(session, dice, moment)
    kernel.interrupt()
    if double:
        time.sleep(dice.uniform(0, 0.05))
        kernel.interrupt()
    if cell is None:
        return
    cell.finish()
    # A build may be over before the interrupt comes.
    if moment != "build" or cell.status != "ok":
        assert cell.ename == "KeyboardInterrupt", f"{moment}: {cell.problem}"
        assert len(cell.of("error")) == 1 and "lost" not in cell.evalue, f"{moment}: {cell.problem}"
    if moment == "helper loop":
        steps = int(kernel.value("model.history().steps"))
        assert steps >= session.steps, f"the model forgot steps: {session.steps} before, {steps} after"
        session.steps = steps


def worker(kernel: Kernel) -> int:
    """The process that runs cells. A child that a cell has forked has the same name, and is a zombie once it has ended."""
    found = [
        number
        for number, name in descendants(kernel.process).items()
        if name.startswith("benchbook-work") and is_alive(number)
    ]
    assert len(found) == 1, f"expected one worker, found {found}"
    return found[0]


def kill_worker(session: Session, dice: Random, count: int) -> Cell:
    cell = begin(session, dice, dice.choice(MOMENTS))
    os.kill(worker(session.kernel), signal.SIGKILL)
    if cell is None or cell.finish().status == "ok":
        # No cell ran that could say so, so the next one does.
        return session.kernel.run("6 * 7")
    return cell


def kill_compiler(session: Session, dice: Random, count: int) -> None:
    kernel = session.kernel
    cell = kernel.start(ENDLESS_BUILD)
    kernel.wait(lambda: bool(compilers(kernel)) or cell.idle, "the compiler")
    time.sleep(dice.uniform(0, 0.5))
    os.kill(compilers(kernel)[0], signal.SIGKILL)
    assert cell.finish().ename == "CompilerDied", cell.problem
    assert "all variables are kept" in cell.evalue, cell.problem


def kill_server(session: Session, dice: Random, count: int) -> None:
    """Nothing runs on after the end of the server, and the front end's restart gives a working session."""
    kernel = session.kernel
    begin(session, dice, dice.choice(MOMENTS))
    left = [kernel.process, *descendants(kernel.process)]
    os.kill(kernel.process, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, left)), f"the end of the processes {left}")
    with STARTING:
        kernel.restart(now=True)
    session.begin()


def full_disk(session: Session, dice: Random, count: int) -> None:
    """The folder for temporary files is full: the error names it, and the session recovers with its variables."""
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /tmp"]
    may = subprocess.run(words, capture_output=True, text=True, check=False)
    if may.returncode != 0:
        raise NotTried(f"a file system cannot be mounted here: {may.stderr.strip()}")
    spec = KernelSpecManager().get_kernel_spec(NAME).to_dict()
    with tempfile.TemporaryDirectory(prefix="full-") as name:
        folder = Path(name) / "tmp"
        kernel = kernel_in(start_kernel, spec, Path(name), folder, "-o size=24m")
        try:
            kernel.good("let kept = vec![1, 2];")
            filler = Path(f"/proc/{kernel.process}/root{folder}/filler")
            room = dice.choice([0, 0, 4096, 65536])
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    file.truncate(max(0, file.tell() - room))
            cell = kernel.run("kept.len() + 1")
            if room == 0 or cell.status != "ok":
                assert str(folder) in cell.evalue and "TMPDIR" in cell.evalue and "full" in cell.evalue, cell.problem
            filler.unlink()
            assert kernel.value("kept.len() + 2") == "4"
        finally:
            kernel.stop()


def plots(session: Session, dice: Random, count: int) -> None:
    """Cells with plots: each shows its plot, and the server's memory does not grow."""
    kernel, measured = session.kernel, []
    for number in range(count):
        if number in (count // 10, count // 2):
            measured.append(memory_mb(kernel.process))
        values = [round(dice.random(), 3) for _ in range(dice.randrange(2, 200))]
        ending = dice.choice(["", ".with_png()"])
        cell = kernel.good(f'println!("{number}"); LineChart::new("Plot {number}").series("values", &{values})?{ending}')
        assert cell.stdout == f"{number}\n", cell.problem
        assert cell.result["image/svg+xml"].startswith("<svg"), cell.problem
        assert ("image/png" in cell.result) == bool(ending), cell.problem
    measured.append(memory_mb(kernel.process))
    session.figures["server_mb"] = dict(zip(["after a tenth of the plots", "half", "all"], measured, strict=True))
    assert measured[2] <= measured[1] + SPARE_MB, f"the server's memory grows: {measured} MB"


KINDS = {
    "plot": Kind(plots, long=1000, short=40, size=1000),
    "hostile-cell": Kind(hostile_cell, long=200, short=8),
    "burst": Kind(burst, long=50, short=2),
    "malformed-message": Kind(malformed_messages, long=5000, short=300, size=50),
    "interrupt": Kind(partial(interrupt, double=False), long=100, short=4),
    "double-interrupt": Kind(partial(interrupt, double=True), long=100, short=4),
    "kill-worker": Kind(kill_worker, long=100, short=4),
    "kill-compiler": Kind(kill_compiler, long=100, short=3),
    "kill-server": Kind(kill_server, long=100, short=2),
    "full-disk": Kind(full_disk, long=20, short=1),
}

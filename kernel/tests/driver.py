"""Drives a kernel over ZeroMQ with Jupyter's own client.

A `Kernel` is one running kernel and one client of it. `Kernel.start` sends a cell and returns at
once; `Kernel.run` waits for its end. What arrives is sorted by the request that it answers, so
that several cells can be on their way at once. Nothing here waits for time to pass: every wait is
for a message or for a change in `/proc`, and fails after `PATIENCE`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

NAME = "benchbook"

# Seconds after which something that has not happened never will. An idle machine needs 6 for the
# first cell and less than one for the others.
PATIENCE = 300

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Cell:
    """A cell that was sent: its outputs so far and, once it has ended, its reply."""

    kernel: Kernel
    code: str
    request: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    # What was shown only while the cell was compiled, of which nothing is left.
    transient: list[dict[str, Any]] = field(default_factory=list)
    idle: bool = False
    answer: dict[str, Any] | None = None

    def finish(self) -> Cell:
        """Waits for the reply and for the kernel to be idle again."""
        self.kernel.wait(lambda: self.idle and self.answer is not None, f"the end of {self}")
        return self

    def wait_for_print(self, text: str) -> Cell:
        """Waits until `text` was printed; the cell may still run."""
        self.kernel.wait(lambda: text in self.stdout or self.idle, f"{text!r} from {self}")
        assert text in self.stdout, f"{self} ended without printing {text!r}"
        return self

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The contents of all outputs of these types, in order."""
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    def stream(self, name: str) -> str:
        """All that was printed to `stdout` or `stderr`."""
        return "".join(content["text"] for content in self.of("stream") if content["name"] == name)

    @property
    def stdout(self) -> str:
        return self.stream("stdout")

    @property
    def stderr(self) -> str:
        return self.stream("stderr")

    @property
    def events(self) -> list[tuple[str, str]]:
        """All outputs in order as (kind, text); neighbouring prints to one stream are joined."""
        found: list[tuple[str, str]] = []
        for message in self.messages:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                if found and found[-1][0] == content["name"]:
                    found[-1] = (content["name"], found[-1][1] + content["text"])
                else:
                    found.append((content["name"], content["text"]))
            elif "data" in content:
                found.append((kind, content["data"].get("text/plain", "")))
            elif kind == "error":
                found.append((kind, content["ename"]))
            elif kind == "clear_output":
                found.append((kind, str(content["wait"])))
        return found

    @property
    def result(self) -> dict[str, Any]:
        """The MIME bundle of the one result of the cell."""
        results = self.of("execute_result")
        assert len(results) == 1, f"{self} has {len(results)} results; {self.problem}"
        return results[0]["data"]

    @property
    def reply(self) -> dict[str, Any]:
        assert self.answer is not None, f"{self} has no reply yet"
        return self.answer["content"]

    @property
    def status(self) -> str:
        return self.reply["status"]

    @property
    def ename(self) -> str:
        return self.reply.get("ename", "")

    @property
    def evalue(self) -> str:
        return self.reply.get("evalue", "")

    @property
    def traceback(self) -> str:
        """The traceback as one text without colours."""
        return ANSI.sub("", "\n".join(self.reply.get("traceback", [])))

    @property
    def problem(self) -> str:
        """What a failing assertion should say about the cell."""
        return f"{self.status} {self.ename}: {self.evalue}\n{self.traceback}\n{self.events}"

    def __str__(self) -> str:
        return f"the cell {self.code[:80]!r}"


class Kernel:
    """A running kernel and a client of it."""

    def __init__(
        self,
        environment: dict[str, str] | None = None,
        specs: Path | None = None,
        name: str = NAME,
        log: Path | None = None,
        **options: Any,
    ) -> None:
        """Starts the kernel with `environment`; `specs` is a folder of kernelspecs, `options` are the manager's, and the
        kernel's own log goes to the file `log`."""
        manager = KernelManager(kernel_name=name, **options)
        if specs is not None:
            manager.kernel_spec_manager = KernelSpecManager(
                kernel_dirs=[str(specs)], ensure_native_kernel=False
            )
        streams = {} if log is None else {"stderr": log.open("w")}
        manager.start_kernel(env={**os.environ, **(environment or {})}, **streams)
        self.manager = manager
        self.cells: dict[str, Cell] = {}
        self.connect()

    def connect(self) -> None:
        """Opens the client's channels; the kernel answers before its first cell can run."""
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    @property
    def process(self) -> int:
        """The process of the server."""
        return self.manager.provisioner.pid

    def start(self, code: str, **options: Any) -> Cell:
        """Sends a cell and does not wait for it."""
        request = self.client.execute(code, **options)
        cell = Cell(self, code, request)
        self.cells[request] = cell
        return cell

    def run(self, code: str, **options: Any) -> Cell:
        """Runs a cell to its end, whatever that is."""
        return self.start(code, **options).finish()

    def good(self, code: str, **options: Any) -> Cell:
        """Runs a cell that must succeed."""
        cell = self.run(code, **options)
        assert cell.status == "ok", f"{cell}: {cell.problem}"
        return cell

    def value(self, expression: str) -> str:
        """The plain text of an expression's value."""
        return self.good(expression).result["text/plain"]

    def interrupt(self) -> None:
        """Interrupts the running cell, and waits until the kernel has taken note."""
        request = self.client.session.msg("interrupt_request", {})
        self.client.control_channel.send(request)
        reply = self.client.get_control_msg(timeout=PATIENCE)
        assert reply["msg_type"] == "interrupt_reply" and reply["content"]["status"] == "ok"

    def ask(self, request: str) -> dict[str, Any]:
        """The content of the reply to a request that was sent on the shell channel."""
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == request:
                return reply["content"]
            self.take_reply(reply)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Takes messages until `condition` holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.manager.is_alive(), f"the kernel ended while waiting for {what}"
            assert time.monotonic() < end, f"waited {PATIENCE} s in vain for {what}"
            self.take_messages()

    def take_messages(self) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=0.2)
        except Empty:
            pass
        else:
            self.take_output(message)
        while self.client.shell_channel.msg_ready():
            self.take_reply(self.client.get_shell_msg(timeout=PATIENCE))

    def take_output(self, message: dict[str, Any]) -> None:
        cell = self.cells.get(message["parent_header"].get("msg_id", ""))
        if cell is None:
            return
        if message["msg_type"] == "status":
            cell.idle = message["content"]["execution_state"] == "idle"
        elif message["metadata"].get("benchbook_transient"):
            cell.transient.append(message)
        else:
            cell.messages.append(message)

    def take_reply(self, message: dict[str, Any]) -> None:
        cell = self.cells.get(message["parent_header"].get("msg_id", ""))
        if cell is not None:
            cell.answer = message

    def restart(self, now: bool = False) -> None:
        """Restarts the kernel as a front end does, and connects again; `now` does not ask the old one to end."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=now)
        self.connect()

    def stop(self) -> None:
        """Ends the kernel as a front end does."""
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=not self.manager.is_alive())


def descendants(process: int) -> dict[int, str]:
    """The processes that a process has started, and theirs: number and name."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            before, _, after = (entry / "stat").read_text().rpartition(")")
        except OSError:
            continue  # It has ended meanwhile.
        number = int(entry.name)
        parents[number] = int(after.split()[1])
        names[number] = before.split("(", 1)[1]
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {number: names[number] for number in found - {process} if number in names}


def is_alive(process: int) -> bool:
    """Whether a process runs or can; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def memory_mb(process: int) -> float:
    """The memory of a process in MB (10⁶ bytes), with its part of what it shares with others (PSS)."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise ValueError(f"/proc/{process}/smaps_rollup has no Pss")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Waits for something outside Jupyter's messages: a process, a file."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE} s in vain for {what}"
        time.sleep(0.05)

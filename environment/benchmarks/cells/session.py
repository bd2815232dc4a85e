"""A running kernel whose cells are timed, and what its processes hold in memory."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

# Seconds after which something that has not happened never will. evcxr_jupyter's first `:dep` takes minutes.
PATIENCE = 1800

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class CellFailed(Exception):
    """A cell did not end as it should."""


class Session:
    """A kernel from its start to its end; a context manager."""

    def __init__(self, argv: list[str], environment: dict[str, str] | None = None) -> None:
        """Starts the process. `argv` is that of a kernelspec."""
        self.manager = KernelManager()
        self.manager._kernel_spec = KernelSpec(argv=argv, display_name=argv[0], language="rust")
        self.begun = time.monotonic()
        self.manager.start_kernel(env={**os.environ, **(environment or {})})
        self.client = self.manager.client()
        self.client.start_channels()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    @property
    def age(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self.begun

    def ready(self) -> float:
        """Seconds from the process's start to the reply to kernel_info_request."""
        self._reply(self.client.kernel_info())
        return self.age

    def send(self, code: str) -> str:
        """Sends a cell and does not wait for it."""
        return self.client.execute(code, store_history=True)

    def finish(self, request: str, status: str = "ok") -> dict[str, Any]:
        """The content of the reply to a cell that was sent."""
        reply = self._reply(request)["content"]
        if reply["status"] != status:
            text = ANSI.sub("", "\n".join(reply.get("traceback", [])))
            raise CellFailed(f"a cell ended with {reply['status']}, expected {status}:\n{text}")
        return reply

    def run(self, code: str, status: str = "ok") -> float:
        """Seconds from sending a cell to its reply."""
        begun = time.monotonic()
        self.finish(self.send(code), status)
        return time.monotonic() - begun

    def printed(self, code: str) -> str:
        """What a cell prints."""
        self._drain()
        request = self.send(code)
        self.finish(request)
        text = ""
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                text += content["text"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return text

    def memory(self) -> dict[str, float]:
        """Proportional set size of the kernel's processes in MB, by their names."""
        found: dict[str, float] = {}
        for process in descendants(self.manager.provisioner.process.pid):
            try:
                rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
                name = Path(f"/proc/{process}/comm").read_text().strip()
            except OSError:
                continue  # It has ended since it was listed.
            share = re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)
            found[name] = found.get(name, 0) + (int(share[1]) / 1000 if share else 0)
        return found

    def _reply(self, request: str) -> dict[str, Any]:
        while True:
            message = self.client.get_shell_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == request:
                return message

    def _drain(self) -> None:
        while self.client.iopub_channel.msg_ready():
            self.client.get_iopub_msg(timeout=PATIENCE)


def descendants(process: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = [process]
    for one in found:
        found.extend(children.get(one, []))
    return found

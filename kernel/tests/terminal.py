"""A program in a pseudo-terminal of its own, seen as a person sees it: as a screen."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable

import pyte
from ptyprocess import PtyProcess

from driver import PATIENCE

COLUMNS, LINES = 100, 200

# What keys send.
ENTER, TAB = "\r", "\t"
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """A running program and its screen, which is high enough never to scroll."""

    def __init__(self, command: Iterable[str], environment: dict[str, str]) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)
        # What a terminal answers when it is asked where its cursor is.
        self.screen.write_process_input = self.type
        self.process = PtyProcess.spawn(
            list(command),
            env={**environment, "TERM": "xterm-256color"},
            dimensions=(LINES, COLUMNS),
        )

    @property
    def text(self) -> str:
        """The lines of the screen without the spaces at their ends."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    @property
    def last_line(self) -> str:
        return self.text.splitlines()[-1] if self.text else ""

    def type(self, keys: str) -> None:
        self.process.write(keys.encode())

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Shows what the program writes until `condition` holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"waited {PATIENCE} s in vain for {what}:\n{self.text}"
            if not select.select([self.process.fd], [], [], 1)[0]:
                continue
            try:
                self.stream.feed(self.process.read(65536))
            except EOFError:
                assert condition(), f"the program ended while waiting for {what}:\n{self.text}"
                return

    def wait_for(self, text: str) -> None:
        """Waits until `text` is on the screen."""
        self.wait(lambda: text in self.text, repr(text))

    def end(self) -> int:
        """Waits for the end of the program; its exit status."""
        while True:
            try:
                self.stream.feed(self.process.read(65536))
            except EOFError:
                break
        self.process.wait()
        return self.process.exitstatus

    def close(self) -> None:
        self.process.close(force=True)

"""A Rust session: the server's process, its sockets, and its cells.

jupyter_client's clients wait on an event loop, and the loop of a Python kernel is busy with the waiting cell. Plain
sockets avoid the loop. They are Unix sockets in a private folder, so that no other program can take a port.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import zmq
from jupyter_client.connect import write_connection_file
from jupyter_client.session import Session as Wire

from benchbook import server

PREFIX = "benchbook-python-"
# Milliseconds between checks that the server still runs. Messages are received without this delay.
LOOK = 200
# Seconds for the server to remove its files.
PATIENCE = 10


class Died(Exception):
    """The server ended unexpectedly."""


class RustSession:
    """A kernel with its own variables."""

    def __init__(self) -> None:
        """Starts the server and returns when it answers.

        Raises `Died` or `server.NotInstalled`.
        """
        command, environment = server.command(), server.environment()
        remove_leftovers()
        self.owner = os.getpid()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{self.owner}-"))
        self.log = self.folder / "log"
        key = secrets.token_hex().encode()
        file, connection = write_connection_file(
            str(self.folder / "connection.json"), transport="ipc", ip=str(self.folder / "socket"), key=key
        )
        self.wire = Wire(key=key)
        self.context = zmq.Context()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--connection-file", file],
                env={**environment, "JPY_PARENT_PID": str(self.owner)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The stop button sends SIGINT to the whole group of the Python kernel.
                start_new_session=True,
            )
        try:
            self.shell, self.stdin, self.control, self.iopub = (
                self._connect(kind, f"ipc://{connection['ip']}-{connection[f'{channel}_port']}")
                for channel, kind in (("shell", zmq.DEALER), ("stdin", zmq.DEALER), ("control", zmq.DEALER), ("iopub", zmq.SUB))
            )
            self.poller = zmq.Poller()
            for socket in (self.shell, self.stdin, self.iopub):
                self.poller.register(socket, zmq.POLLIN)
            while not any(message["msg_type"] == "iopub_welcome" for message in self._received(self.iopub)):
                self._wait()
        except BaseException:
            self.close()
            raise

    def _connect(self, kind: int, address: str) -> zmq.Socket:
        socket = self.context.socket(kind)
        # The server sends its question to the identity that sent the cell.
        socket.identity = self.wire.bsession
        socket.rcvhwm = 0
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(address)
        return socket

    def _received(self, socket: zmq.Socket):
        """Receives the messages that have arrived."""
        while socket.poll(0):
            _, message = self.wire.recv(socket)
            yield message

    def _wait(self) -> None:
        """Waits for a message on any socket."""
        if not self.poller.poll(LOOK) and self.process.poll() is not None:
            raise Died(self.how_it_ended())

    def execute(
        self,
        code: str,
        show: Callable[[dict], None],
        ask: Callable[[dict], str] | None = None,
        silent: bool = False,
    ) -> dict:
        """Runs a cell and returns the content of the reply.

        `show` gets each message that the kernel publishes, when it arrives. `ask` answers a question of the cell;
        without it, questions are not allowed. Raises `Died`. If `show` or `ask` fails, the cell is interrupted first.
        """
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": {},
            "allow_stdin": ask is not None,
            "stop_on_error": True,
        }
        request = self.wire.send(self.shell, "execute_request", content)["header"]["msg_id"]
        reply, idle, failure = None, False, None
        while reply is None or not idle:
            self._wait()
            try:
                for message in self._received(self.iopub):
                    if message["msg_type"] != "status":
                        show(message)
                    elif message["parent_header"].get("msg_id") == request:
                        idle = message["content"]["execution_state"] == "idle"
                for message in self._received(self.stdin):
                    self.wire.send(self.stdin, "input_reply", {"status": "ok", "value": ask(message["content"])})
            except KeyboardInterrupt:
                self.interrupt()
            except Exception as error:
                failure = error
                self.interrupt()
            for message in self._received(self.shell):
                if message["parent_header"].get("msg_id") == request:
                    reply = message["content"]
        if failure:
            raise failure
        return reply

    def interrupt(self) -> None:
        """Interrupts the running cell. A signal handler may call it because nothing else uses this socket."""
        self.wire.send(self.control, "interrupt_request", {})

    def how_it_ended(self) -> str:
        """Describes how the server ended, with the last lines of its log."""
        code = self.process.wait()
        try:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        except ValueError:
            how = f"was killed by signal {-code}"
        words = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text(errors="replace")).strip().splitlines()[-10:]
        return "\n".join([how, *words])

    def terminate(self) -> None:
        """Asks the server to end."""
        if os.getpid() == self.owner:
            self.process.terminate()

    def close(self) -> None:
        """Ends the server and removes its files."""
        if os.getpid() != self.owner:
            return  # A forked process has a copy of this object, not a session.
        self.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.context.destroy(linger=0)
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_leftovers() -> None:
    """Removes the folders of Python processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        process = folder.name[len(PREFIX) :].partition("-")[0]
        if process.isdigit() and not Path("/proc", process).exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def on_interrupt(handler: Callable):
    """Has the stop button call `handler`. Without it a KeyboardInterrupt may come in the middle of a message."""
    if threading.current_thread() is not threading.main_thread():
        yield  # No other thread is interrupted.
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

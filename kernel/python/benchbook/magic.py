"""`%%rust` and `%rust_restart`: Rust cells in a Python notebook.

Everything that the Rust kernel publishes is published by the Python kernel as its own, when it arrives.
"""

import atexit
import getpass
import re
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from benchbook import server
from benchbook.rust import is_variable
from benchbook.session import Died, RustSession, on_interrupt
from benchbook.values import CannotCross, MemoryFile, decode, encode

DEFAULT = "default"
# The sessions by name, whichever shell or copy of the magics started them.
SESSIONS: dict[str, RustSession] = {}


class RustError(Exception):
    """The error of a Rust cell, shown with Rust's traceback and name."""

    def __init__(self, evalue: str, traceback: list[str] | None = None) -> None:
        super().__init__(evalue)
        self.traceback = traceback or [f"{type(self).__name__}: {evalue}"]

    def _render_traceback_(self) -> list[str]:
        return self.traceback


class RustInterrupt(RustError, KeyboardInterrupt):
    """A Rust cell was interrupted; `except Exception` does not catch it."""


def rust_error(ename: str, evalue: str, traceback: list[str] | None = None) -> RustError:
    """Creates an error of a class with this name, which front ends show and nbclient matches."""
    base = RustInterrupt if ename == "KeyboardInterrupt" else RustError
    return type(ename, (base,), {})(evalue, traceback)


class Result:
    """The value of a Rust cell, in the formats that the kernel sent."""

    def __init__(self, data: dict, metadata: dict) -> None:
        self.data, self.metadata = data, metadata

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.data, self.metadata

    def __repr__(self) -> str:
        return self.data.get("text/plain", "")


@magics_class
class RustMagics(Magics):
    @magic_arguments()
    @argument("-i", "--input", metavar="NAMES", action="append", default=[], help="Python variables to copy to Rust: a,b")
    @argument("-o", "--output", metavar="NAMES", action="append", default=[], help="Rust variables to copy to Python: a,b")
    @argument("--name", default=DEFAULT, help="the session; each has its own variables")
    @cell_magic
    def rust(self, line: str, cell: str) -> None:
        """Run the cell in a Rust session, which starts with the first cell."""
        arguments = parse_argstring(self.rust, line)
        inputs, outputs = names(arguments.input, "-i"), names(arguments.output, "-o")
        for name in inputs:
            if name not in self.shell.user_ns:
                raise rust_error("CannotCross", f"-i {name}: Python has no variable `{name}`")
        try:
            values = {name: encode(name, self.shell.user_ns[name]) for name in inputs}
            Run(self.shell, arguments.name).all(values, cell, outputs)
        except CannotCross as problem:
            raise rust_error("CannotCross", str(problem)) from None

    @magic_arguments()
    @argument("--name", default=DEFAULT, help="the session")
    @line_magic
    def rust_restart(self, line: str) -> None:
        """End a Rust session with all its variables, and start a new one."""
        name = parse_argstring(self.rust_restart, line).name
        if name not in SESSIONS and name != DEFAULT:
            raise UsageError(f"no Rust session `{name}`; sessions: {', '.join(SESSIONS) or 'none'}")
        end(name)
        begin(name)


class Run:
    """One `%%rust` cell."""

    def __init__(self, shell, session: str) -> None:
        self.shell = shell
        self.name = session
        self.interrupted = False

    def all(self, values: dict[str, tuple[str, list]], cell: str, outputs: list[str]) -> None:
        """Copies values to Rust, runs the cell, copies values to Python."""
        note = note_of_end(self.name)
        self.session = begin(self.name)
        try:
            with on_interrupt(self.interrupt):
                if values:
                    self.bring(values)
                self.execute(cell, ask=self.ask if self.may_ask() else None)
                if outputs:
                    self.take(outputs)
        except Died as died:
            end(self.name)
            how, *words = str(died).splitlines()
            text = (
                f"the kernel of the Rust session `{self.name}` {how} while the cell ran; all variables, functions and imports of "
                "the session are lost. The next %%rust cell starts a new session"
            )
            raise rust_error("KernelDied", text, [f"KernelDied: {text}", *words]) from None
        finally:
            # After the cell, whose outputs the kernel may clear.
            if note:
                print(note, file=sys.stderr)

    def interrupt(self, *_) -> None:
        self.interrupted = True
        self.session.interrupt()

    def execute(self, code: str, **options) -> None:
        if self.interrupted:
            raise rust_error("KeyboardInterrupt", "the cell was interrupted")
        reply = self.session.execute(code, self.show, **options)
        if reply["status"] == "aborted":
            raise rust_error("KeyboardInterrupt", "the cell was interrupted before it started")
        if reply["status"] != "ok":
            raise rust_error(reply["ename"], reply["evalue"], reply["traceback"])

    def bring(self, values: dict[str, tuple[str, list]]) -> None:
        """Runs a separate silent cell, so that the user's lines keep their numbers."""
        with ExitStack() as stack:
            lines = []
            for name, (kind, chunks) in values.items():
                path = stack.enter_context(MemoryFile(chunks)).path
                lines.append(f'let {name}: {kind} = benchbook::python::receive("{name}", "{path}")?;')
            self.execute("\n".join(lines), silent=True)

    def take(self, names: list[str]) -> None:
        with ExitStack() as stack:
            files = {name: stack.enter_context(MemoryFile()) for name in names}
            lines = [f'Outgoing(&{name}).send("{name}", "{file.path}")?;' for name, file in files.items()]
            code = "{ use benchbook::python::{Outgoing, Refuse as _};\n" + "\n".join(lines) + "\n}"
            try:
                self.execute(code, silent=True)
            except RustError as error:
                unknown = next((name for name in names if f"cannot find value `{name}`" in str(error)), None)
                if unknown is None:
                    raise
                # The server knows whether a crash or a cell removed the variable.
                lost = re.search(rf"`{unknown}` was (?:lost|moved away)[^\n\x1b]*", "\n".join(error.traceback))
                why = lost[0] if lost else f"the Rust session has no variable `{unknown}`"
                raise CannotCross(f"-o {unknown}: {why}") from None
            self.shell.user_ns.update({name: decode(name, file) for name, file in files.items()})

    def show(self, message: dict) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            stream = sys.stderr if content["name"] == "stderr" else sys.stdout
            stream.write(content["text"])
            stream.flush()
        elif kind in ("display_data", "update_display_data"):
            self.shell.display_pub.publish(
                data=content["data"],
                metadata=content["metadata"],
                transient=content.get("transient"),
                update=kind == "update_display_data",
            )
        elif kind == "execute_result":
            sys.displayhook(Result(content["data"], content["metadata"]))
        elif kind == "clear_output":
            self.shell.display_pub.clear_output(wait=content["wait"])

    def may_ask(self) -> bool:
        """Whether the Python kernel's front end answers questions; a terminal always does."""
        return getattr(getattr(self.shell, "kernel", None), "_allow_stdin", True)

    def ask(self, question: dict) -> str:
        with on_interrupt(signal.default_int_handler):
            return getpass.getpass(question["prompt"]) if question["password"] else input(question["prompt"])


def names(lists: list[str], option: str) -> list[str]:
    """The names of `-i a,b -i c`, each once."""
    found = [name.strip() for text in lists for name in text.split(",") if name.strip()]
    for name in found:
        if not is_variable(name):
            raise rust_error("CannotCross", f"{option} {name}: Rust has no variables with this name; use another one")
    return list(dict.fromkeys(found))


def begin(name: str) -> RustSession:
    """Returns the session and starts it if necessary."""
    if name not in SESSIONS:
        try:
            SESSIONS[name] = RustSession()
        except server.NotInstalled as problem:
            raise rust_error("NotInstalled", str(problem)) from None
        except Died as died:
            raise rust_error("KernelDied", f"the kernel of the Rust session `{name}` did not start: it {died}") from None
    return SESSIONS[name]


def note_of_end(name: str) -> str | None:
    """Forgets a session whose kernel has ended since the last cell. Returns a message about it."""
    session = SESSIONS.get(name)
    if session is None or session.process.poll() is None:
        return None
    how = session.how_it_ended()
    end(name)
    return (
        f"The kernel of the Rust session `{name}` {how}\nsince the last cell. All variables, functions and imports of the session "
        "were lost; this cell has started a new one."
    )


def end(name: str) -> None:
    if name in SESSIONS:
        SESSIONS.pop(name).close()


def end_all() -> None:
    for session in SESSIONS.values():
        session.terminate()
    for name in list(SESSIONS):
        end(name)


atexit.register(end_all)


def load(shell) -> None:
    """`%load_ext benchbook`."""
    shell.register_magics(RustMagics)

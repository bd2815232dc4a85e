"""What is installed: the kernel, its template and compiler; and evcxr_jupyter, if it is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

from .session import Session


@dataclass
class Installed:
    """The installed kernel."""

    argv: list[str]
    template: Path
    rustc: str
    host: str
    sysroot: Path
    libtorch: Path
    checkout: Path
    compiler: str

    @classmethod
    def find(cls) -> Installed:
        argv = KernelSpecManager().get_kernel_spec("benchbook").argv
        template = Path(argv[argv.index("--template") + 1])
        manifest = json.loads((template / "template.json").read_text())
        # What the server itself has found.
        machine = json.loads(subprocess.run([argv[0], "machine"], check=True, capture_output=True).stdout)
        rustc = machine["toolchain"]["found"]
        sysroot = subprocess.run([rustc, "--print", "sysroot"], check=True, capture_output=True, text=True).stdout
        return cls(
            argv=argv,
            template=template,
            rustc=rustc,
            host=machine["toolchain"]["host"],
            sysroot=Path(sysroot.strip()),
            libtorch=Path(machine["libtorch"]["found"]) / "lib",
            checkout=Path(manifest["checkout"]),
            compiler=manifest["rustc"].splitlines()[0],
        )

    @property
    def foreign_libraries(self) -> str:
        """The search path with which a program finds libtorch and libstd."""
        return f"{self.libtorch}:{self.sysroot / 'lib/rustlib' / self.host / 'lib'}"

    @property
    def libraries(self) -> str:
        """The same with the helper library."""
        return f"{self.foreign_libraries}:{self.template / 'lib'}"


class BareCompiler:
    """One rustc call that compiles and links a one-line library, new text each time."""

    def __init__(self, installed: Installed) -> None:
        self.rustc = installed.rustc
        self.folder = tempfile.TemporaryDirectory()
        self.calls = 0

    def run(self) -> float:
        self.calls += 1
        source = Path(self.folder.name) / "line.rs"
        source.write_text(f'#[unsafe(no_mangle)] pub extern "C" fn line() -> i32 {{ {self.calls} }}\n')
        words = ["--crate-type", "cdylib", "--edition", "2024", "-C", "prefer-dynamic"]
        begun = time.monotonic()
        subprocess.run(
            [self.rustc, *words, source, "-o", Path(self.folder.name) / "line.so"], check=True
        )
        return time.monotonic() - begun


@dataclass
class Evcxr:
    """evcxr_jupyter, and where the helper library is compiled for it."""

    program: str
    folder: Path
    installed: Installed

    @classmethod
    def find(cls, program: str | None, installed: Installed, cache: Path) -> Evcxr | None:
        found = program or shutil.which("evcxr_jupyter") or str(Path.home() / ".cargo/bin/evcxr_jupyter")
        if not Path(found).exists():
            return None
        # Outside of the checkout, whose workspace cargo would take the crate for a member of.
        return cls(found, cache / "evcxr", installed)

    def start(self) -> Session:
        """Starts it. What it compiles is kept between sessions."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = Path(os.environ.get("CARGO_TARGET_DIR", self.installed.checkout / "target"))
        environment = {
            "EVCXR_TMPDIR": str(self.folder),
            "LIBTORCH": str(target / "helper/libtorch"),
            # Without our helper library, which would be found before the one that evcxr compiled.
            "LD_LIBRARY_PATH": self.installed.foreign_libraries,
        }
        return Session([self.program, "--control_file", "{connection_file}"], environment)

    def add_helper(self, session: Session) -> float:
        """Seconds that `:dep` for the helper library takes; minutes for the first time."""
        path = self.installed.checkout / "kernel/helper"
        return session.run(f':dep benchbook = {{ path = "{path}" }}')

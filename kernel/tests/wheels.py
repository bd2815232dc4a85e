"""The wheel, and environments into which it is installed.

Built once a test run from what is installed here (`environment/wheel.py`), so what is tested is what `environment/wheel` makes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]

# What Colab had in its image of 19 August 2026.
COLAB = ["ipykernel==6.17.1", "ipython==7.34.0", "jupyter_client==7.4.9", "pyzmq==26.2.1"]

# Runs cells one after the other and prints what they gave, one JSON object a line.
CELLS = """
import json, sys, time
from jupyter_client.manager import KernelManager

transport, codes = sys.argv[1], sys.argv[2:]
manager = KernelManager(kernel_name="benchbook", transport=transport)
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
for code in codes:
    shown = []
    reply = client.execute_interactive(code, output_hook=lambda message: shown.append(message), timeout=180)["content"]
    texts = [message["content"]["data"]["text/plain"] for message in shown if message["msg_type"] == "execute_result"]
    print(json.dumps({"status": reply["status"], "error": reply.get("evalue"), "text": "".join(texts)}), flush=True)
client.stop_channels()
manager.shutdown_kernel()
"""


def build(folder: Path) -> Path:
    """The wheel of what is installed in the environment that runs the tests."""
    command = [sys.executable, str(REPOSITORY / "environment/wheel.py"), str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


class Environment:
    """A virtual environment with Jupyter in it, outside the checkout, with a home folder of its own."""

    def __init__(self, folder: Path, packages: Iterable[str], python: str = sys.executable) -> None:
        self.folder = folder
        # Not ASCII, with a space and an apostrophe, as a home folder may have them.
        self.prefix = folder / "Müller's env"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        # Where it is missing, IPython uses a temporary folder, which stays.
        (folder / "jupyter").mkdir(mode=0o777)
        (folder / "jupyter").chmod(0o777)
        # Short: a Unix socket has 107 bytes for its path.
        self.temporary = Path(tempfile.mkdtemp())
        subprocess.run([python, "-m", "venv", str(self.prefix)], check=True)
        self.pip("install", *packages)

    @property
    def python(self) -> Path:
        return self.prefix / "bin/python"

    @property
    def packages(self) -> Path:
        (folder,) = (self.prefix / "lib").glob("python*/site-packages")
        return folder

    def pip(self, *words: str) -> None:
        command = [self.python, "-m", "pip", *words, "--disable-pip-version-check", "--quiet"]
        subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)

    def variables(self, path: str) -> dict[str, str]:
        """Nothing of this process but the search path: tools in `path`, and the system's."""
        jupyter = {
            name: str(self.folder / "jupyter" / name)
            for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
        }
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "PATH": os.pathsep.join(part for part in (path, "/usr/bin", "/bin") if part),
            "LANG": "C.UTF-8",
            **jupyter,
        }

    def run(
        self,
        *words: object,
        path: str,
        more: dict[str, str] | None = None,
        prefix: Iterable[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment in its home folder."""
        return subprocess.run(
            [*prefix, *(str(word) for word in words)],
            env={**self.variables(path), **(more or {})},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def cells(self, *codes: str, path: str, transport: str = "tcp", **options: Any) -> list[dict]:
        """What cells gave, run one after the other in one session."""
        ran = self.run(self.python, "-c", CELLS, transport, *codes, path=path, **options)
        answers = [json.loads(line) for line in ran.stdout.splitlines()]
        assert len(answers) == len(codes), ran.stdout + ran.stderr
        return answers

    def written(self) -> list[str]:
        """What lies in the home folder, two levels down."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.glob("*/*"))


def toolchain() -> Path:
    """The folder of the compiler that is tested."""
    command = ["rustc", "--print", "sysroot"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Path(output.strip())


def seconds(since: float) -> float:
    return round(time.monotonic() - since, 1)


def readable_copy(folder: Path, to: Path) -> Path:
    """A copy that every user can read: of links if it lies on the same file system, which takes no room."""
    try:
        shutil.copytree(folder, to, symlinks=True, copy_function=os.link)
    except OSError:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(folder, to, symlinks=True)
    return to

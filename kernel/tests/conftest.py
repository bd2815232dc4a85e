"""Fixtures of the kernel's tests.

The kernel that is tested is the installed one: the kernelspec `benchbook` on Jupyter's search path
(`JUPYTER_PATH`, or the environment whose Python runs the tests). Its history and its folders for
temporary files are put aside, so that tests neither see nor touch those of other sessions.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from driver import NAME, Kernel

Manifest = dict[str, Any]


# Files that take a minute or more. They start first, so that at the end no process waits for one of them.
LONG = ["study_attacks", "study", "gpu", "libraries", "reports", "ranks", "slurm_study", "remote_study", "study_nets", "agreement"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}.py": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def kernelspec() -> dict[str, Any]:
    """The installed kernel.json."""
    try:
        folder = KernelSpecManager().get_kernel_spec(NAME).resource_dir
    except NoSuchKernel:
        pytest.exit(f"Jupyter knows no kernel {NAME!r}: run `environment/run` first", returncode=2)
    return json.loads((Path(folder) / "kernel.json").read_text())


@pytest.fixture(scope="session")
def program(kernelspec: dict[str, Any]) -> Path:
    """The `benchbook` program."""
    return Path(kernelspec["argv"][0])


@pytest.fixture(scope="session")
def template(kernelspec: dict[str, Any]) -> Path:
    """The folder of what was compiled at installation."""
    words = kernelspec["argv"]
    return Path(words[words.index("--template") + 1])


@pytest.fixture(scope="session")
def draw(program: Path) -> Callable[[Path, int, int, int], Path]:
    """Draws images to train on, to validate and to test on: `draw(folder, 12, 4, 4)` gives the folder."""

    def make(folder: Path, train: int, validation: int, test: int) -> Path:
        counts = ["--train", str(train), "--validation", str(validation), "--test", str(test)]
        subprocess.run([program.with_name("benchbook-drawings"), "--out", folder, *counts], check=True, capture_output=True)
        return folder

    return make


@pytest.fixture(scope="session", autouse=True)
def private_folders(kernelspec: dict[str, Any]) -> Iterator[None]:
    """Points the caches and temporary files of everything that is started into one new folder.

    The folder's path is short on purpose: a Unix socket's is limited to 107 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="bb-"))
    (folder / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHBOOK_CACHE", str(folder / "cache"))
        patch.setenv("TMPDIR", str(folder / "tmp"))
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def kernel(private_folders: None) -> Iterator[Kernel]:
    """A kernel that the tests of one file share. Tests that damage it leave it usable."""
    kernel = Kernel()
    # Whatever the kernel has to say about itself, it says in the first cell.
    first = kernel.run("let ready = true;")
    assert first.status == "ok", first.problem
    yield kernel
    kernel.stop()


@pytest.fixture
def kernels(private_folders: None) -> Iterator[Any]:
    """Starts kernels of a test's own: `kernels(environment, specs)`."""
    started: list[Kernel] = []

    def start(*arguments: Any, **options: Any) -> Kernel:
        started.append(Kernel(*arguments, **options))
        return started[-1]

    yield start
    for kernel in started:
        kernel.stop()


@pytest.fixture
def spoil(tmp_path: Path, template: Path) -> Callable[[Callable[[Manifest], None]], Path]:
    """Makes a copy of the template with a changed description."""

    def copy(change: Callable[[Manifest], None]) -> Path:
        folder = tmp_path / "template"
        folder.mkdir()
        for entry in template.iterdir():
            if entry.name != "template.json":
                (folder / entry.name).symlink_to(entry)
        manifest = json.loads((template / "template.json").read_text())
        change(manifest)
        (folder / "template.json").write_text(json.dumps(manifest))
        return folder

    return copy


@pytest.fixture
def prefix(tmp_path: Path, kernelspec: dict[str, Any]) -> Callable[[Path], Path]:
    """Makes an environment whose kernelspec names another template."""

    def make(template: Path) -> Path:
        prefix = tmp_path / "prefix"
        folder = prefix / "share/jupyter/kernels" / NAME
        folder.mkdir(parents=True)
        words = list(kernelspec["argv"])
        words[words.index("--template") + 1] = str(template)
        (folder / "kernel.json").write_text(json.dumps({**kernelspec, "argv": words}))
        return prefix

    return make

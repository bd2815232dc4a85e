"""The wheel, installed into environments that have neither a checkout nor a cache.

The toolchain and libtorch of this machine are handed over by PATH and by a link in site-packages, as a machine with
Rust and PyTorch has them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

import figures
from wheels import COLAB, REPOSITORY, Environment, build, readable_copy, seconds, toolchain

TENSOR = "let t = Tensor::ones([2, 3], (Kind::Float, Device::Cpu)); t.sum(Kind::Float).double_value(&[])"
MAP = "let m = std::collections::HashMap::from([(1, 2)]); m.len()"


@pytest.fixture(scope="module")
def wheel(private_folders: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def rust() -> str:
    """The folder with rustc and cargo."""
    return str(toolchain() / "bin")


@pytest.fixture(scope="module")
def libtorch(template: Path) -> Path:
    return Path(json.loads((template / "template.json").read_text())["chosen_libtorch"])


@pytest.fixture(scope="module")
def packer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wheel_py", REPOSITORY / "environment/wheel.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, and no toolchain or libtorch anywhere."""
    environment = Environment(tmp_path_factory.mktemp("bare"), ["nbclient", "ipykernel"])
    environment.pip("install", "--no-index", str(wheel))
    return environment


@pytest.fixture(scope="module")
def empty(libtorch: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with libtorch as PyTorch brings it, and without the wheel until the first test installs it."""
    environment = Environment(tmp_path_factory.mktemp("empty"), ["nbclient", "ipykernel"])
    (environment.packages / "torch").symlink_to(libtorch)
    return environment


def new_home(environment: Environment, folder: Path) -> dict[str, str]:
    """Variables for an empty home folder and with it an empty cache."""
    home = folder / "home"
    home.mkdir()
    return {"HOME": str(home)}


# --- What is in it --------------------------------------------------------------------------------------


def test_the_wheel_asks_for_nothing_that_its_platform_lacks(
    wheel: Path, packer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wheel.name.endswith("-py3-none-manylinux_2_35_x86_64.whl")
    assert wheel.stat().st_size < 100e6
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    assert packer.faults(tmp_path) == []
    # The check sees what it looks for: the same files on an older platform.
    monkeypatch.setitem(packer.NEWEST, "GLIBC", (2, 28))
    assert any("bin/benchbook needs GLIBC_2.34" in fault for fault in packer.faults(tmp_path))


def test_the_wheel_names_no_folder_of_the_machine_that_built_it(wheel: Path, template: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {name: archive.read(name) for name in archive.namelist() if name.endswith((".json", ".py"))}
    for folder in (REPOSITORY, template, Path.home(), toolchain()):
        found = [name for name, text in texts.items() if os.fsencode(folder) + b"/" in text]
        assert found == [], folder


def test_the_wheel_brings_neither_torch_nor_versions_of_jupyter(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = archive.read(name).decode()
    needs = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert needs == ["Requires-Dist: jupyter_client"]


# --- Installed ------------------------------------------------------------------------------------------


def test_the_first_tensor_in_an_empty_environment(
    wheel: Path, empty: Environment, rust: str
) -> None:
    environment = empty
    begun = time.monotonic()
    environment.pip("install", "--no-index", str(wheel))
    installed = seconds(begun)
    tensor, types = environment.cells(TENSOR, MAP, path=rust)
    figures.keep("wheel", {"pip_install_s": installed, "first_cells_s": seconds(begun)})
    assert (tensor["status"], tensor["text"]) == ("ok", "6.0"), tensor
    assert (types["status"], types["text"]) == ("ok", "1"), types
    # Nothing but the cache; the session's folder is gone with the session.
    assert environment.written() == [".cache/benchbook"]
    assert list(environment.temporary.iterdir()) == []


def test_the_quickstart_in_an_empty_environment(
    empty: Environment, rust: str, tmp_path: Path
) -> None:
    environment = empty
    drawings = tmp_path / "drawings"
    few = ["--train", 60, "--validation", 20, "--test", 10]
    program = environment.prefix / "bin/benchbook"
    drawn = environment.run(program, "drawings", "--out", drawings, *few, path=rust)
    assert drawn.returncode == 0, drawn.stderr
    notebook = nbformat.read(REPOSITORY / "notebooks/quickstart.ipynb", as_version=4)
    (settings,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    assert 'String::from("auto")' in settings.source
    settings.source = settings.source.replace('String::from("auto")', 'String::from("tiny")')
    nbformat.write(notebook, tmp_path / "quickstart.ipynb")
    ran = environment.run(
        environment.prefix / "bin/jupyter-execute",
        tmp_path / "quickstart.ipynb",
        path=rust,
        more={"BENCHBOOK_DATA": str(drawings)},
    )
    assert ran.returncode == 0, ran.stderr


def nobody(folder: Path) -> tuple[list[str], str]:
    """The words that run a program without root's rights, and a Python that such a user can start."""
    if os.geteuid() != 0:
        return [], sys.executable
    subprocess.run(["chown", "-R", "nobody", str(folder)], check=True)
    base = Path(sys.executable).resolve()
    reachable = subprocess.run(
        ["setpriv", "--reuid=nobody", "--clear-groups", str(base), "-c", ""],
        capture_output=True,
        check=False,
    )
    python = str(base) if reachable.returncode == 0 else "/usr/bin/python3"
    return ["setpriv", "--reuid=nobody", "--clear-groups"], python


def make_reachable(folder: Path) -> None:
    """Lets every user into a folder and those above it."""
    for parent in (folder, *folder.parents):
        if parent.owner() == pwd.getpwuid(os.geteuid()).pw_name:
            parent.chmod(parent.stat().st_mode | 0o055)


def test_colabs_packages_and_transport_read_only_and_without_root(
    wheel: Path, libtorch: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("colab")
    make_reachable(folder)
    _, python = nobody(folder)
    environment = Environment(folder / "c", COLAB, python)
    make_reachable(environment.temporary)
    environment.pip("install", "--no-index", str(wheel))
    rust = readable_copy(toolchain(), folder / "rust")
    shutil.copytree(libtorch / "lib", environment.packages / "torch/lib")
    shutil.copy(libtorch / "build-version", environment.packages / "torch")
    subprocess.run(["chmod", "-R", "a+rX,a-w", str(environment.prefix)], check=True)
    without_root, _ = nobody(environment.home)
    nobody(environment.temporary)
    before = sorted(environment.prefix.rglob("*"))
    who = 'std::fs::write("mine", "")?; std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("mine")?) == 0'
    answers = environment.cells(TENSOR, who, path=f"{rust}/bin", transport="ipc", prefix=without_root)
    assert [answer["text"] for answer in answers] == ["6.0", "false"], answers
    assert sorted(environment.prefix.rglob("*")) == before
    versions = environment.run(environment.python, "-m", "pip", "freeze", path="").stdout
    assert all(pin.lower() in versions.lower() for pin in COLAB), versions


def test_clean_removes_the_cache_and_uninstalling_the_rest(empty: Environment, rust: str) -> None:
    environment = empty
    (answer,) = environment.cells("1 + 1", path=rust)
    assert answer["text"] == "2", answer
    program = environment.prefix / "bin/benchbook"
    asked = environment.run(program, "clean", path=rust)
    assert asked.returncode != 0 and "nothing was removed" in asked.stdout
    cache = environment.home / ".cache/benchbook"
    assert str(cache) in asked.stdout and "MB  together" in asked.stdout
    assert cache.exists()
    cleaned = environment.run(program, "clean", "--yes", path=rust)
    assert cleaned.returncode == 0, cleaned.stderr
    assert environment.written() == []
    environment.pip("uninstall", "--yes", "benchbook")
    left = [path for path in environment.prefix.rglob("*benchbook*") if "torch" not in path.parts]
    assert left == []


# --- Where something is missing -------------------------------------------------------------------------


def refused(answers: list[dict], *words: str) -> str:
    (answer,) = answers
    assert answer["status"] == "error", answer
    for word in words:
        assert word in answer["error"], answer["error"]
    # One sentence.
    assert "\n" not in answer["error"]
    return answer["error"]


@pytest.fixture
def tools(tmp_path: Path) -> Callable[..., str]:
    """A folder with the named programs of the system, to be the whole search path."""

    def make(*names: str) -> str:
        folder = tmp_path / "tools"
        folder.mkdir()
        for name in names:
            (folder / name).symlink_to(shutil.which(name) or "")
        return str(folder)

    return make


def test_without_rustc_and_with_another_one(
    bare: Environment, libtorch: Path, tools: Any, tmp_path: Path
) -> None:
    search = tools("cc", "ld", "as", "sh")
    more = {**new_home(bare, tmp_path), "LIBTORCH": str(libtorch), "PATH": search}
    sentence = refused(bare.cells("1 + 1", path="", more=more), "compiled by rustc 1.", "not found")
    # The command can be copied into a shell, although its path has a space and an apostrophe.
    (command,) = re.findall("run `(.+?)`", sentence)
    assert shlex.split(command) == [f"{bare.prefix}/bin/benchbook", "setup"]
    ran = bare.run("/bin/sh", "-c", f"{command} --dry-run", path="", more=more)
    assert "To be fetched into" in ran.stdout and "Rust 1." in ran.stdout, ran.stdout + ran.stderr
    rustc = Path(search, "rustc")
    rustc.write_text('#!/bin/sh\n[ "$1" = -vV ] && echo "rustc 1.80.0 (x)" || echo /nowhere\n')
    rustc.chmod(0o755)
    Path(search, "cargo").symlink_to("/bin/true")
    refused(bare.cells("1 + 1", path="", more=more), "rustc 1.80.0 at", command)


def test_without_a_linker_until_there_is_one(
    bare: Environment, libtorch: Path, rust: str, tools: Any, tmp_path: Path
) -> None:
    search = tools("ld", "as", "sh", "rm", "cat")
    variables = new_home(bare, tmp_path)
    more = {**variables, "LIBTORCH": str(libtorch), "PATH": f"{rust}:{search}"}
    refused(bare.cells("1 + 1", path="", more=more), "linked by `cc`", "install")
    Path(search, "cc").symlink_to(shutil.which("cc") or "")
    (answer,) = bare.cells("1 + 1", path="", more=more)
    assert answer["text"] == "2", answer


def test_with_pytorch_of_another_release_until_there_is_the_right_one(
    bare: Environment, libtorch: Path, rust: str, tmp_path: Path
) -> None:
    torch = tmp_path / "lib/python3.12/dist-packages/torch"
    (torch / "lib").mkdir(parents=True)
    (torch / "lib/libtorch_cpu.so").touch()
    (torch / "version.py").write_text("__version__ = '2.10.0+cu128'\n")
    more = {**new_home(bare, tmp_path), "VIRTUAL_ENV": str(tmp_path)}
    sentence = refused(bare.cells("1 + 1", path=rust, more=more), str(torch), "2.10.0+cu128", "2.11.0")
    assert "545 MB" in sentence
    assert shlex.split(re.findall("run `(.+?)`", sentence)[0]) == [f"{bare.prefix}/bin/benchbook", "setup"]
    (answer,) = bare.cells("1 + 1", path=rust, more={**more, "LIBTORCH": str(libtorch)})
    assert answer["text"] == "2", answer


def test_a_cache_that_cannot_be_written_is_no_hindrance(
    bare: Environment, libtorch: Path, rust: str, tmp_path: Path
) -> None:
    """A file where the cache belongs: not even root can write there."""
    blocked = tmp_path / "cache"
    blocked.touch()
    more = {"BENCHBOOK_CACHE": str(blocked), "LIBTORCH": str(libtorch)}
    (answer,) = bare.cells("1 + 1", path=rust, more=more)
    assert answer["text"] == "2", answer


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB that is full."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    with (folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"\0" * 4096)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_until_there_is_room(
    bare: Environment, libtorch: Path, rust: str, full_disk: Path, tmp_path: Path
) -> None:
    more = {"TMPDIR": str(full_disk), "LIBTORCH": str(libtorch), **new_home(bare, tmp_path)}
    refused(bare.cells("1 + 1", path=rust, more=more), str(full_disk), "TMPDIR")
    (answer,) = bare.cells("1 + 1", path=rust, more={**more, "TMPDIR": str(bare.temporary)})
    assert answer["text"] == "2", answer

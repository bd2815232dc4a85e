"""Fetches libtorch into the cache: PyTorch with CUDA as pip installs it, or the part of its wheels for the CPU."""

import importlib.util
import os
import shutil
import sys
import zipfile
from pathlib import Path

from benchbook.fetching import SetupError, host, run
from benchbook.folders import complete

# The wheels that contain the part for the CPU, with their checksums.
PINS = Path(__file__).with_name("libtorch.txt")
LIBRARIES = {
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
}
HEADERS = "torch/include/"
VERSION = "torch/version.py"
# The wheel's own libtorch.so links to libtorch_cuda.so, which is omitted. The linker needs no more than this script.
LINKER_SCRIPT = "INPUT(-ltorch_cpu -lc10)\n"
# Settings of pip that would change the target or the packages.
UNWANTED = ("PIP_CONSTRAINT", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PIP_TARGET", "PIP_USER")


def install(cache: Path, version: str, build: str) -> None:
    """Installs `<cache>/libtorch-VERSION-BUILD`, completely or not at all.

    Downloads of an interrupted run are kept until the folder is complete, and are reused.
    """
    downloads = cache / f"downloads-{version}-{build}"
    temporary = downloads / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with complete(cache / f"libtorch-{version}-{build}") as partial:
        if build == "cuda":
            # PyTorch itself is then in the folder's `torch`, the CUDA libraries that it is linked to in `nvidia`.
            pip(downloads, "install", "--target", partial, "--cache-dir", downloads / "pip", "--only-binary=:all:", f"torch=={version}")
        else:
            assemble(partial, download_wheels(downloads))
    shutil.rmtree(downloads)


def source() -> str:
    return host(os.environ.get("PIP_INDEX_URL") or "https://pypi.org")


def pip(downloads: Path, *words: object) -> None:
    programs = [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("pip") is None:
        uv = shutil.which("uv")
        if uv is None:
            raise SetupError(
                f"libtorch is downloaded by pip, which {sys.executable} does not have, and there is no uv on PATH; "
                f"`{sys.executable} -m ensurepip` installs pip"
            )
        programs = [uv, "tool", "run", "--python", sys.executable, "pip"]
    run(
        [*programs, words[0], "--no-input", "--disable-pip-version-check", *map(str, words[1:])],
        "libtorch could not be downloaded; pip's messages are above",
        # Not in /tmp, which may be small.
        TMPDIR=str(downloads / "tmp"),
        **dict.fromkeys(UNWANTED),
    )


def download_wheels(folder: Path) -> list[Path]:
    """Downloads the wheels in `PINS`. pip checks each against its checksum, including existing ones."""
    pin = folder / "pin.txt"
    for line in PINS.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        # One at a time, so that an interruption loses at most one.
        pin.write_text(line + "\n")
        # One wheel for every Python: only its C++ libraries are used. pip's own cache would needlessly keep 530 MB.
        pip(
            folder, "download", "--no-deps", "--no-cache-dir", "--require-hashes", "--only-binary=:all:",
            "--implementation", "cp", "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64",
            "--platform", "manylinux_2_25_x86_64", "--platform", "manylinux2014_x86_64", "--dest", folder, "-r", pin,
        )  # fmt: skip
    return sorted(folder.glob("*.whl"))


def unpack(archive: zipfile.ZipFile, name: str, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, to.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def build_version(version_py: str) -> str:
    """Returns the string after `__version__ = ` in torch/version.py."""
    for line in version_py.splitlines():
        if line.startswith("__version__"):
            return line.split("'")[1]
    raise SetupError(f"{VERSION} in the wheel has no line that starts with __version__")


def assemble(folder: Path, wheels: list[Path]) -> None:
    """Builds a libtorch folder from the wheels' part for the CPU."""
    print("  unpacking the part for the CPU")
    missing = set(LIBRARIES)
    version = None
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name in LIBRARIES:
                    unpack(archive, name, folder / "lib" / Path(name).name)
                    missing.discard(name)
                elif name.startswith(HEADERS) and not name.endswith("/"):
                    unpack(archive, name, folder / "include" / name.removeprefix(HEADERS))
                elif name == VERSION:
                    version = build_version(archive.read(name).decode())
    if missing or version is None:
        wanted = sorted(missing) or [VERSION]
        raise SetupError(f"not found in {', '.join(w.name for w in wheels)}: {', '.join(wanted)}")
    (folder / "lib" / "libtorch.so").write_text(LINKER_SCRIPT)
    (folder / "build-version").write_text(version + "\n")

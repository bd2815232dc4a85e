"""Takes the part of PyTorch's wheels that a CPU needs and makes a libtorch folder of it.

    libtorch.py FOLDER WHEEL...

The wheels are those of libtorch.txt. FOLDER appears complete or not at all: it is put together beside its
place and renamed.
"""

import shutil
import sys
import zipfile
from pathlib import Path

from folders import complete

LIBRARIES = {
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
}
HEADERS = "torch/include/"
VERSION = "torch/version.py"
# The wheel's own libtorch.so asks for libtorch_cuda.so, which is left out; for the linker this is enough.
LINKER_SCRIPT = "INPUT(-ltorch_cpu -lc10)\n"


def unpack(archive: zipfile.ZipFile, name: str, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, to.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def build_version(version_py: str) -> str:
    """The string after `__version__ = ` in torch/version.py."""
    for line in version_py.splitlines():
        if line.startswith("__version__"):
            return line.split("'")[1]
    raise SystemExit(f"{VERSION} in the wheel has no line that starts with __version__")


def assemble(folder: Path, wheels: list[Path]) -> None:
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
        raise SystemExit(f"not found in {', '.join(w.name for w in wheels)}: {', '.join(wanted)}")
    (folder / "lib" / "libtorch.so").write_text(LINKER_SCRIPT)
    (folder / "build-version").write_text(version + "\n")


def main() -> None:
    folder, *wheels = map(Path, sys.argv[1:])
    if not wheels:
        raise SystemExit(__doc__)
    with complete(folder) as partial:
        assemble(partial, wheels)


if __name__ == "__main__":
    main()

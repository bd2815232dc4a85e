"""Takes the C++ library out of TensorFlow's wheel.

    tensorflow_wheel.py FOLDER WHEEL

FOLDER appears complete or not at all: it is put together beside its place and renamed.
"""

import shutil
import sys
import zipfile
from pathlib import Path

from benchbook.folders import complete

LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")


def take(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for library in LIBRARIES:
            name = f"tensorflow/{library}"
            if name not in names:
                raise SystemExit(f"not found in {wheel.name}: {name}")
            with archive.open(name) as source, (folder / library).open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    # tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl
    (folder / "version").write_text(wheel.name.split("-")[1] + "\n")


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    folder, wheel = map(Path, sys.argv[1:])
    with complete(folder) as partial:
        take(wheel, partial)


if __name__ == "__main__":
    main()

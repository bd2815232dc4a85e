"""Packs the kernel that is installed in an environment into a wheel.

    wheel.py FOLDER

Takes the Python package from kernel/python and, by way of the kernelspec of the running Python's environment, the server and the
template. Nothing in the wheel names a path of this machine. Prints the wheel's path.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from flit_core.wheel import make_wheel_in

REPOSITORY = Path(__file__).resolve().parents[1]
PLATFORM = "manylinux_2_35_x86_64"
# What PEP 600's policy for that platform allows (auditwheel's manylinux_2_35).
NEWEST = {"GLIBC": (2, 35), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (12, 0, 0)}
# PyPI refuses larger files unless asked.
LARGEST_BYTES = 100_000_000
# The program in the wheel, from the kernelspec's folder.
SERVER = "{resource_dir}/../../../benchbook/bin/benchbook"
# What a template has that only its own machine can use.
OF_THIS_MACHINE = ("checkout", "chosen_libtorch")


def required(path: Path) -> dict[str, tuple[int, ...]]:
    """The newest version of each system library that a program or library asks for; empty for other files."""
    newest: dict[str, tuple[int, ...]] = {}
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return newest
        for section in ELFFile(file).iter_sections():
            if isinstance(section, GNUVerNeedSection):
                for _, versions in section.iter_versions():
                    for version in versions:
                        name, _, number = version.name.partition("_")
                        if number.replace(".", "").isdigit():
                            newest[name] = max(newest.get(name, ()), tuple(map(int, number.split("."))))
    return newest


def faults(folder: Path) -> list[str]:
    """The files that ask for more than the platform has."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            for library, version in required(path).items():
                if version > NEWEST.get(library, version):
                    found.append(f"{path.relative_to(folder)} needs {library}_{'.'.join(map(str, version))}, newer than {PLATFORM} allows")
    return found


def strip(path: Path) -> None:
    # The dynamic symbols stay; the others only name functions in backtraces.
    subprocess.run(["strip", "--strip-unneeded", path], check=True)


def copy_kernel(data: Path) -> None:
    """The kernelspec, the server and the template, as they lie below an environment's folder."""
    installed = Path(sys.prefix, "share/jupyter/kernels/benchbook")
    spec = json.loads((installed / "kernel.json").read_text())
    words = spec["argv"]
    at = words.index("--template")
    server, template = Path(words[0]), Path(words[at + 1])
    spec["argv"] = [SERVER, *words[1:at], *words[at + 2 :]]
    kernelspec = shutil.copytree(installed, data / "share/jupyter/kernels/benchbook")
    (kernelspec / "kernel.json").write_text(json.dumps(spec, indent=2) + "\n")
    share = data / "share/benchbook"
    (share / "bin").mkdir(parents=True)
    # pip removes a folder at uninstallation if a file lies directly in it; without one, an empty share/benchbook would stay.
    for licence in ("LICENSE-APACHE", "LICENSE-MIT"):
        shutil.copy2(REPOSITORY / licence, share)
    strip(Path(shutil.copy2(server, share / "bin/benchbook")))
    copied = shutil.copytree(template, share / "template")
    for library in [copied / "lib/libbenchbook.so", *copied.glob("deps/*.so")]:
        strip(library)
    manifest = json.loads((copied / "template.json").read_text())
    for name in OF_THIS_MACHINE:
        manifest[name] = None
    (copied / "template.json").write_text(json.dumps(manifest, indent=2) + "\n")


def version() -> str:
    """The version of the Python package, which has to be the workspace's."""
    package = tomllib.loads((REPOSITORY / "kernel/python/pyproject.toml").read_text())["project"]["version"]
    workspace = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    if package != workspace:
        raise SystemExit(f"kernel/python/pyproject.toml has version {package} and Cargo.toml {workspace}: make them the same")
    return package


def build(folder: Path) -> Path:
    name = f"benchbook-{version()}"
    with tempfile.TemporaryDirectory() as temporary:
        pure = make_wheel_in(REPOSITORY / "kernel/python/pyproject.toml", Path(temporary)).file
        subprocess.run([sys.executable, "-m", "wheel", "unpack", "--dest", temporary, pure], check=True, stdout=subprocess.DEVNULL)
        unpacked = Path(temporary, name)
        copy_kernel(unpacked / f"{name}.data/data")
        if found := faults(unpacked):
            raise SystemExit("\n".join(found))
        (unpacked / f"{name}.dist-info/WHEEL").write_text(
            f"Wheel-Version: 1.0\nGenerator: benchbook\nRoot-Is-Purelib: false\nTag: py3-none-{PLATFORM}\n"
        )
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "wheel", "pack", "--dest-dir", folder, unpacked], check=True, stdout=subprocess.DEVNULL)
    path = folder / f"{name}-py3-none-{PLATFORM}.whl"
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise SystemExit(f"{path} has {size / 1e6:.1f} MB; PyPI takes {LARGEST_BYTES / 1e6:.0f}")
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    wheel = build(Path(sys.argv[1]).resolve())
    print(f"{wheel} ({wheel.stat().st_size / 1e6:.1f} MB)")

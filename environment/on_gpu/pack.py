"""Writes the archive for a machine with a GPU."""

import json
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from plan import Scale, plan

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "benchbook-gpu"
# At most 64 MiB can be copied to such a machine at a time.
MOST_BYTES = 60 << 20
# Keras and its imports, which a machine with JAX and PyTorch may lack. `run.py` uses the missing ones.
PACKAGES = ["keras", "absl-py", "markdown-it-py", "mdurl", "namex", "optree", "packaging", "pygments", "rich"]
PYTHON = "3.12"


@dataclass(frozen=True)
class Parts:
    """The parts of an archive."""

    # The server's program, in a folder with `benchbook-drawings`.
    benchbook: Path
    # The template with the worker and the helper library. Default: the newest installed.
    template: Path | None = None
    # The test program for devices. Default: built by cargo.
    tests: Path | None = None
    # A Python from which packages are copied. Default: download them for Python 3.12.
    packages_of: Path | None = None


def pack(parts: Parts, archive: Path, scale: Scale) -> int:
    """Writes the archive and returns its size in bytes."""
    with tempfile.TemporaryDirectory(prefix="benchbook-gpu-") as scratch:
        root = Path(scratch) / NAME
        root.mkdir()
        packed_job(parts, root)
        shutil.copy(parts.benchbook, root / "benchbook")
        tests(parts, root / "tests")
        drawings(parts, root / "data/drawings", scale)
        packages(parts, root / "packages")
        steps(root, scale)
        for name in ("aims.py", "plan.py"):
            shutil.copy(Path(__file__).with_name(name), root)
        shutil.copy(Path(__file__).with_name("run.py"), root / "run")
        (root / "run").chmod(0o755)
        strip(root)
        with tarfile.open(archive, "w:gz", compresslevel=9) as file:
            file.add(root, NAME, filter=anonymous)
    size = archive.stat().st_size
    if size > MOST_BYTES:
        archive.unlink()
        raise SystemExit(f"gpu: the archive would have {size / 2**20:.1f} MiB, more than {MOST_BYTES >> 20}")
    return size


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Removes the user's name."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def packed_job(parts: Parts, root: Path) -> None:
    """Adds the worker, the helper library and Rust's standard library with `benchbook bench --pack`."""
    packed = root / "bench.tar.gz"
    template = ["--template", parts.template] if parts.template else []
    subprocess.run([parts.benchbook, "bench", *template, "--pack", packed], check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(packed) as file:
        file.extractall(root, filter="data")
    packed.unlink()


def tests(parts: Parts, folder: Path) -> None:
    """Adds the test program for devices, and the expected values of operations."""
    shutil.copytree(REPOSITORY / "kernel/backend/tests/data/conformance", folder / "conformance")
    shutil.copy(parts.tests or built_tests(), folder / "gpu")


def built_tests() -> Path:
    """Builds the test program as environment/test does, and returns where it is."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "helper"
    told = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    triple = next(line.removeprefix("host: ") for line in told.splitlines() if line.startswith("host: "))
    environment = os.environ | {"RUSTFLAGS": "-Cprefer-dynamic", "CARGO_TARGET_DIR": str(target), "LIBTORCH": str(target / "libtorch")}
    command = ["cargo", "test", "--locked", "--profile", "helper", "--target", triple, "-p", "benchbook-libtorch", "--test", "gpu"]
    options = ["--no-run", "--message-format", "json"]
    said = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY).stdout
    messages = [json.loads(line) for line in said.splitlines()]
    (program,) = [message["executable"] for message in messages if message.get("executable") and message["target"]["name"] == "gpu"]
    return Path(program)


def drawings(parts: Parts, folder: Path, scale: Scale) -> None:
    """Adds images of the nets' input size."""
    train, validation, test = scale.of((640, 64, 64), (24, 4, 8))
    counts = ["--train", str(train), "--validation", str(validation), "--test", str(test), "--size", str(scale.of(224, 64))]
    program = parts.benchbook.with_name("benchbook-drawings")
    subprocess.run([program, "--out", folder, *counts], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def packages(parts: Parts, folder: Path) -> None:
    """Adds each package in a separate folder, so that a machine can ignore those that it has."""
    folder.mkdir()
    if parts.packages_of:
        copy_packages(parts.packages_of, folder)
    else:
        download_packages(folder)


def copy_packages(python: Path, folder: Path) -> None:
    """Copies the packages of a Python."""
    program = (
        "import importlib.metadata as m, json, sys; d = m.distribution(sys.argv[1]);"
        "print(json.dumps([[str(f), str(f.locate())] for f in d.files if '..' not in f.parts and '__pycache__' not in f.parts]))"
    )
    for name in PACKAGES:
        said = subprocess.run([python, "-c", program, name], capture_output=True, text=True)
        if said.returncode != 0:
            raise SystemExit(f"gpu: {python} does not have {name}: run environment/references")
        for relative, file in json.loads(said.stdout):
            target = folder / name / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


def download_packages(folder: Path) -> None:
    """Downloads the packages in the versions of environment/references.txt from PyPI, for the machine's Python."""
    wheels = REPOSITORY / "target/gpu-wheels"
    lines = (line.partition("#")[0].strip() for line in (REPOSITORY / "environment/references.txt").read_text().splitlines())
    pins = [line for line in lines if line.partition("==")[0] in PACKAGES]
    if len(pins) != len(PACKAGES):
        raise SystemExit(f"gpu: environment/references.txt must pin each of {', '.join(PACKAGES)}")
    pip = [REPOSITORY / ".venv/bin/python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    machine = ["--only-binary=:all:", "--python-version", PYTHON, "--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64"]
    for pin in pins:
        name, _, version = pin.partition("==")
        pattern = f"{name.replace('-', '_')}-{version}-*.whl"
        if not list(wheels.glob(pattern)):
            subprocess.run([*pip, *machine, "--dest", wheels, pin], check=True)
        (wheel,) = wheels.glob(pattern)
        with zipfile.ZipFile(wheel) as file:
            file.extractall(folder / name)


def steps(root: Path, scale: Scale) -> None:
    """Adds the list of steps, and the studies and jobs that they name."""
    made = plan(scale)
    (root / "steps.json").write_text(json.dumps([asdict(step) for step in made.steps], indent=1))
    for path, value in made.files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(json.dumps(value, indent=1))


def strip(root: Path) -> None:
    """Removes symbols that the machine does not link, and rustc's metadata of the library."""
    strip = shutil.which("strip")
    if not strip:
        raise SystemExit("gpu: `strip` is missing: install binutils")
    for path in root.rglob("*"):
        if path.is_file() and path.suffix != ".py" and path.read_bytes()[:4] == b"\x7fELF" and "packages" not in path.parts:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
            subprocess.run([strip, "--strip-unneeded", "--remove-section=.rustc", path], check=True)

"""`benchbook setup`: fetches what the server finds missing, a Rust toolchain and libtorch, into Benchbook's cache."""

import argparse
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchbook import libtorch, server, toolchain
from benchbook.fetching import SetupError

OTHER_CACHE = "set BENCHBOOK_CACHE to a folder"


@dataclass(frozen=True)
class Cost:
    """Megabytes to download, on disk, and at the peak of the set-up; minutes at about 10 MB/s."""

    download: int
    disk: int
    space: int
    minutes: int


# Measured with Rust 1.95.0 and PyTorch 2.11.0 on Linux x86-64.
COSTS = {"rust": Cost(160, 640, 850, 1), "cpu": Cost(545, 525, 1200, 2), "cuda": Cost(2700, 4900, 8000, 6)}


@dataclass(frozen=True)
class Part:
    """A missing part that can be fetched."""

    name: str
    problem: str
    source: str
    cost: Cost
    fetch: Callable[[], None]


def main(words: list[str]) -> int:
    options = parser().parse_args(words)
    # Keeps the order with the messages of rustup and pip, even if the output is a file.
    sys.stdout.reconfigure(line_buffering=True)
    try:
        return setup(options, words)
    except (SetupError, server.NotInstalled, OSError) as error:
        print(f"benchbook setup: {sentence(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nbenchbook setup: interrupted; `{command(words)}` resumes", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchbook setup", description=__doc__.partition(": ")[2].capitalize())
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument("--dry-run", action="store_true", help="list what is missing and fetch nothing")
    build = parser.add_mutually_exclusive_group()
    build.add_argument("--cpu", dest="build", action="store_const", const="cpu", help="libtorch for the CPU, even with a GPU")
    build.add_argument("--cuda", dest="build", action="store_const", const="cuda", help="libtorch with CUDA")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--toolchain-only", dest="libtorch", action="store_false", help="leave libtorch out")
    parts.add_argument("--libtorch-only", dest="toolchain", action="store_false", help="leave the Rust toolchain and the linker out")
    return parser


def setup(options: argparse.Namespace, words: list[str]) -> int:
    here = machine()
    cache = Path(here["cache"])
    parts = missing_parts(here, options)
    if parts:
        announce(parts, cache)
        for problem in beyond_setup(here, options):
            print(f"Also missing, but not fetched by this command: {problem}")
        check_folder(cache, parts)
        if options.dry_run:
            return 1
        if not (options.yes or confirmed()):
            print("Nothing was changed.")
            return 1
        with locked(cache):
            # A concurrent set-up may have fetched the parts meanwhile.
            for part in missing_parts(machine(), options):
                print(f"\n{part.name}")
                try:
                    part.fetch()
                except (SetupError, OSError) as error:
                    print(f"benchbook setup: {sentence(error, cache)}", file=sys.stderr)
        here = machine()
    missing = [f"{part.name}: {part.problem}\n    `{command(words)}` tries again" for part in missing_parts(here, options)]
    missing += beyond_setup(here, options)
    if missing:
        print("\n".join(["Still missing:" if parts else "Missing:", *(f"  {line}" for line in missing)]), file=sys.stderr)
        return 1
    print(f"{'ready' if parts else 'Nothing is missing'}: {inventory(here, options)}")
    return 0


def machine() -> dict:
    """What the server finds on this machine, as `benchbook machine` prints it."""
    program = server.program()
    try:
        ran = subprocess.run([program, "machine"], env=server.environment(), capture_output=True, text=True)
    except OSError as error:
        raise SetupError(f"Benchbook's server {program} does not start: {error.strerror}") from None
    if ran.returncode != 0:
        raise SetupError(f"`{program} machine` failed: {ran.stderr.strip()}")
    return json.loads(ran.stdout)


def missing_parts(here: dict, options: argparse.Namespace) -> list[Part]:
    cache = Path(here["cache"])
    parts = []
    rust = here["toolchain"]
    if options.toolchain and not rust["found"]:
        parts.append(
            Part(
                f"Rust {rust['version']}, compiler and standard library with sources",
                reason(rust),
                f"{toolchain.source()} by rustup",
                COSTS["rust"],
                lambda: toolchain.install(cache, rust["version"], rust["host"]),
            )
        )
    torch = here["libtorch"]
    build = options.build or torch["build"]
    if options.libtorch and lacks_libtorch(torch, options.build) and "LIBTORCH" not in os.environ:
        parts.append(
            Part(
                f"libtorch {torch['version']} {'with CUDA' if build == 'cuda' else 'for the CPU'}",
                reason(torch) if options.build else f"{reason(torch)} ({torch['reason']})",
                f"{libtorch.source()} by pip",
                COSTS[build],
                lambda: libtorch.install(cache, torch["version"], build),
            )
        )
    return parts


def lacks_libtorch(torch: dict, build: str | None) -> bool:
    found = torch["found"]
    return not found or (build == "cuda" and not Path(found, "lib", "libtorch_cuda.so").exists())


def reason(part: dict) -> str:
    # Drop the server's advice, which is to run this command.
    return (part["problem"] or f"{part['found']} is another build").partition("; run `")[0]


def beyond_setup(here: dict, options: argparse.Namespace) -> list[str]:
    """Missing parts that this command cannot fetch, each with instructions."""
    missing = []
    if options.toolchain and not here["linker"]["found"]:
        missing.append(here["linker"]["problem"])
    if options.libtorch and "LIBTORCH" in os.environ and lacks_libtorch(here["libtorch"], options.build):
        problem = here["libtorch"]["problem"] or f"LIBTORCH={os.environ['LIBTORCH']} has no CUDA; unset it to download one"
        missing.append(problem)
    return missing


def inventory(here: dict, options: argparse.Namespace) -> str:
    rust, torch = here["toolchain"], here["libtorch"]
    parts = []
    if options.toolchain:
        parts += [f"Rust {rust['version']} ({rust['found']})", f"linker ({here['linker']['found']})"]
    if options.libtorch:
        parts.append(f"libtorch {torch['version']} ({torch['found']})")
    return ", ".join(parts)


def announce(parts: list[Part], cache: Path) -> None:
    print(f"To be fetched into {cache}:")
    for part in parts:
        cost = part.cost
        print(f"  {part.name}: {part.problem}")
        print(f"    from {part.source}: {cost.download} MB to download, {cost.disk} MB on disk, about {cost.minutes} min")


def check_folder(cache: Path, parts: list[Part]) -> None:
    """Checks beforehand that the cache is writable and has enough space."""
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        raise SetupError(f"{existing} cannot be written; {OTHER_CACHE} that can")
    free = shutil.disk_usage(existing).free // 10**6
    needed = sum(part.cost.space for part in parts)
    if free < needed:
        raise SetupError(f"{cache} has {free} MB free and the set-up temporarily needs {needed} MB; free space, or {OTHER_CACHE} on another disk")


def confirmed() -> bool:
    """Asks for confirmation on a terminal; otherwise proceeds."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    try:
        return input("Proceed? [Y/n] ").strip().lower() in ("", "y", "yes")
    except EOFError:
        return False


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Makes a second set-up of this cache wait."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "setup.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another set-up is using {cache}; this one waits for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sentence(error: Exception, place: Path | None = None) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or place or 'the cache folder'}: {error.strerror or error}; fix this, or {OTHER_CACHE} elsewhere"
    return str(error)


def command(words: list[str]) -> str:
    program = ["benchbook"] if shutil.which("benchbook") else [sys.executable, "-m", "benchbook"]
    return shlex.join([*program, "setup", *words])

"""Packs studies and tests for a machine with a GPU, collects the results, and tries both on a CPU.

    environment/gpu --pack [ARCHIVE]       write the archive (default: target/benchbook-gpu.tar.gz), below 60 MiB
    environment/gpu --collect FOLDER...    merge the results in these folders, and draw them, into results/gpu
    environment/gpu --dry-run [FOLDER]     pack in miniature, run every step on this machine's CPU, and collect
    environment/gpu --paths                write kernel/GPU.md: the code paths that only a GPU reaches, and which were run

On the machine, beside a Python with torch 2.11.0:

    tar -xzf benchbook-gpu.tar.gz && benchbook-gpu/run --minutes 10 --out results

The same command resumes there; --out holds one file of at most 16 MiB.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import paths
from collect import collect
from pack import NAME, REPOSITORY, Parts, pack
from plan import Scale

LAST_CALL = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="environment/gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pack", nargs="?", type=Path, const=REPOSITORY / "target/benchbook-gpu.tar.gz", metavar="ARCHIVE")
    what.add_argument("--collect", nargs="+", type=Path, metavar="FOLDER")
    what.add_argument("--dry-run", nargs="?", type=Path, const=None, default=False, metavar="FOLDER")
    what.add_argument("--paths", action="store_true")
    parser.add_argument("--into", type=Path, default=REPOSITORY / "results/gpu", help="where --collect writes (default: results/gpu)")
    parser.add_argument("--only", help="with --dry-run: these steps alone, by their ids with commas between")
    parser.add_argument("--minutes", type=float, default=10.0, help="with --dry-run: how long one call may take (default: 10)")
    parser.add_argument("--benchbook", type=Path, default=REPOSITORY / "target/release/benchbook", help="the server's program")
    parser.add_argument("--template", type=Path, help="the template to pack (default: the newest installed)")
    parser.add_argument("--tests", type=Path, help="the test program for devices (default: built by cargo)")
    parser.add_argument("--packages-of", type=Path, metavar="PYTHON", help="copy packages from this Python instead of downloading them")
    chosen = parser.parse_args()
    parts = Parts(chosen.benchbook, chosen.template, chosen.tests, chosen.packages_of)
    if chosen.paths:
        paths.write()
    elif chosen.collect:
        print(collect(chosen.collect, chosen.into, chosen.benchbook, chosen.template))
    elif chosen.pack:
        chosen.pack.parent.mkdir(parents=True, exist_ok=True)
        size = pack(parts, chosen.pack, Scale.GPU)
        print(f"{chosen.pack} ({size / 2**20:.1f} MiB). There: tar -xzf {chosen.pack.name} && {NAME}/run --minutes 10 --out results")
    else:
        return dry_run(parts, chosen.dry_run, chosen.only, chosen.minutes)
    return 0


def dry_run(parts: Parts, folder: Path | None, only: str | None, minutes: float) -> int:
    """Packs, unpacks to another folder, runs all steps, and collects; the exit status is 1 if a step failed."""
    references = Path(os.environ.get("BENCHBOOK_REFERENCES", REPOSITORY / ".venv-references"))
    python = references / "bin/python"
    if not python.exists():
        raise SystemExit(f"gpu: {python} is missing: run environment/references")
    parts = Parts(parts.benchbook, parts.template, parts.tests, parts.packages_of or python)
    folder = folder or Path(tempfile.mkdtemp(prefix="benchbook-gpu-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"gpu: {folder} must be an empty folder")
    archive, out = folder / f"{NAME}.tar.gz", folder / "out"
    size = pack(parts, archive, Scale.TINY)
    print(f"{archive}: {size / 2**20:.1f} MiB", flush=True)
    with tarfile.open(archive) as file:
        file.extractall(folder / "machine", filter="data")
    command = [python, folder / "machine" / NAME / "run", "--minutes", str(minutes), "--out", out]
    command += ["--only", only] if only else []
    # The archive must work without this checkout and its cache.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BENCHBOOK_", "LIBTORCH", "VIRTUAL_ENV", "PYTHON"))}
    environment["BENCHBOOK_CACHE"] = str(folder / "cache")
    for _ in range(LAST_CALL):
        ran = subprocess.run(command, cwd="/", env=environment, stdout=subprocess.PIPE, text=True)
        print(ran.stdout, end="", flush=True)
        if "left for the next call" not in ran.stdout and " 0 out of time" in ran.stdout:
            break
    print(collect([out], folder / "collected", parts.benchbook, parts.template))
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main())

"""What the benchmarks share: paths, options, child processes, tables and the file of results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target") / "release"
# The environment of the Python libraries, and its Python.
REFERENCES = Path(os.environ.get("BENCHBOOK_REFERENCES") or REPOSITORY / ".venv-references")
PYTHON = REFERENCES / "bin" / "python"
# `driver` starts the installed kernel.
sys.path.insert(0, str(REPOSITORY / "kernel" / "tests"))


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The options of a benchmark, with `--output`."""
    options = argparse.ArgumentParser(
        prog=f"environment/bench {name}", description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    options.add_argument("--output", type=Path, default=REPOSITORY / "results" / f"bench-{name}.json", help="the results")
    return options


def need_references() -> None:
    """Ends the benchmark if the Python libraries are missing."""
    if not PYTHON.exists():
        raise SystemExit(f"{PYTHON} is missing: run environment/references, which installs the Python libraries")


def cargo_build(*arguments: str) -> None:
    subprocess.run(["cargo", "build", "--release", "--locked", *arguments], cwd=REPOSITORY, check=True)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def write(path: Path, **results: Any) -> None:
    """Writes the results, with the benchmark's name, the time and the machine, as JSON."""
    facts = {
        "benchmark": path.stem.removeprefix("bench-"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts | results, indent=1) + "\n")


def header(columns: list[str]) -> str:
    """The first two lines of a Markdown table whose first column is text and whose other columns are numbers."""
    return "\n".join([row(columns), row(["---"] + ["---:"] * (len(columns) - 1))])


def row(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


class Side:
    """A program that answers each line of JSON with one."""

    def __init__(self, command: list[Any], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with status {self.process.wait()}; its messages are above")
        return json.loads(line)

    def ask(self, question: Any) -> dict[str, Any]:
        assert self.process.stdin
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return self.answer()

    def stop(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

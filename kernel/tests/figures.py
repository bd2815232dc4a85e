"""Figures and pictures that tests leave behind: a table in their output, files in `results/tests`."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "results" / "tests"

# The long form of the long tests.
FULL = os.environ.get("BENCHBOOK_FULL") == "1"


def seed() -> int:
    """The seed of everything that is drawn at random; `BENCHBOOK_SEED` gives another one."""
    return int(os.environ.get("BENCHBOOK_SEED", "2019"))


def dice(purpose: str) -> random.Random:
    """Random numbers for one purpose, the same in every run with the same seed."""
    return random.Random(f"{purpose} {seed()}")


def keep(name: str, figures: dict[str, Any]) -> Path:
    """Writes figures as `results/tests/<name>.json`."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return path


def say(capture: pytest.CaptureFixture[str], *lines: str) -> None:
    """Prints past pytest's capture, which hides what a test that passes prints."""
    with capture.disabled():
        print("", *lines, sep="\n", flush=True)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines with aligned columns; the first row is the head, the first column text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = row
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines

"""A long session: its figures are printed and kept in `results/tests/soak.json`.

The full form (`environment/test --full`, or BENCHBOOK_FULL=1) has 1,000 cells, 50 kills of the
worker and 50 interrupts; the short one has a tenth of the cells and a fifth of the disturbances.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path

import pytest

from driver import Kernel
from figures import FULL, REPOSITORY, dice, keep, say, seed, table
from soak import Memory, Soak

CELLS, KILLS, INTERRUPTS = (1000, 50, 50) if FULL else (100, 10, 10)

DRAWINGS = REPOSITORY / "datasets" / "drawings"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of few pictures."""
    if not DRAWINGS.is_dir():
        pytest.skip("datasets/drawings is missing; this makes it: datasets/generate")
    for split in ("train", "validation"):
        for name in ("cat", "dog"):
            target = tmp_path / "pictures" / split / name
            target.mkdir(parents=True)
            for picture in sorted((DRAWINGS / split / name).iterdir())[:4]:
                shutil.copy(picture, target)
    return tmp_path / "pictures"


def rows(before: Memory, after: dict[str, Memory]) -> list[tuple[str, ...]]:
    head = ("", "before", *after)
    names = {
        "server_mb": "server, resident MB",
        "worker_mb": "worker, resident MB",
        "server_files": "server, open files",
        "server_threads": "server, threads",
        "session_mb": "session folder, MB",
    }
    moments = [before, *after.values()]
    return [
        head,
        *((text, *(f"{getattr(at, name):g}" for at in moments)) for name, text in names.items()),
    ]


def test_a_long_session_keeps_what_it_promises(
    kernels, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say(capsys, f"Soak: {CELLS} cells, {KILLS} kills, {INTERRUPTS} interrupts; BENCHBOOK_SEED={seed()}")
    kernel: Kernel = kernels()
    soak = Soak(kernel, dice("soak"), pictures)
    kernel.good("let mut rounds = 0u64;")
    begun = time.monotonic()

    before, after = Memory.of(kernel), {}
    soak.cells(CELLS)
    after["cells"] = Memory.of(kernel)
    in_cells = time.monotonic() - begun
    soak.check_kept()
    soak.interrupts(INTERRUPTS)
    after["interrupts"] = Memory.of(kernel)
    soak.kills(KILLS)
    after["kills"] = Memory.of(kernel)
    soak.cells(10)
    seconds = time.monotonic() - begun

    figures = soak.figures()
    path = keep(
        "soak",
        {
            "form": "full" if FULL else "short",
            "seed": seed(),
            "cores": os.cpu_count(),
            "cells": CELLS,
            "kills": KILLS,
            "interrupts": INTERRUPTS,
            "seconds": round(seconds, 1),
            "seconds_in_cells": round(in_cells, 1),
            "memory": {
                name: dataclasses.asdict(memory)
                for name, memory in {"before": before, **after}.items()
            },
            **figures,
        },
    )
    say(
        capsys,
        *table(rows(before, {f"after {name}": memory for name, memory in after.items()})),
        f"  a cell: median {figures['first_tenth_median_s']} s in the first tenth,"
        f" {figures['last_tenth_median_s']} s in the last, {figures['slowest_s']} s at most",
        *(f"  {count:4} × {outcome}" for outcome, count in figures["outcomes"].items()),
        f"  {soak.in_builds} of the kills came while a compiler was at work",
        f"  {seconds:.0f} s; {path.relative_to(REPOSITORY)}",
    )
    assert soak.in_builds > 0, "kills fall into builds, too"
    # A file or a thread that stays behind for each cell or each worker would show.
    assert after["kills"].server_files <= before.server_files + 8
    assert after["kills"].server_threads <= before.server_threads + 8

"""Outputs that the repository keeps: those of a recorded run on generated images, with the records beside them."""

import shutil
import sys
from pathlib import Path

import nbformat

import charts
import source


def records_of(path: Path) -> Path:
    """The folder of a kept notebook's records."""
    return path.parent / "records" / path.stem


def compare(notebook: Path, places: list[Path]) -> int:
    wrong = charts.check(nbformat.read(notebook, as_version=4), charts.files(places))
    for line in wrong:
        print(f"{notebook}: {line}", file=sys.stderr)
    if not wrong:
        print(f"{notebook}: its charts agree with the records")
    return 1 if wrong else 0


def keep(folder: Path, text: Path) -> int:
    """Copies the executed notebook of `folder` and the records beside it into the repository."""
    executed = folder / f"{text.stem}.ipynb"
    if source.cells(nbformat.read(executed, as_version=4)) != source.cells(source.read(text)):
        raise SystemExit(f"{executed} was not executed from the present {text}: its cells or parameters differ; run it again")
    records = [path for path in charts.files([folder]) if path.parent == folder]
    # A run that failed to start has not read images.
    photos = [path for path in records for record in charts.lines(path) if record.get("data", {}).get("name", "") not in ("", "drawings")]
    if photos or not records:
        raise SystemExit(f"expected records of runs on datasets/drawings in {folder}, found {photos or 'none'}")
    target = records_of(text)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in records:
        shutil.copy(path, target / path.name)
    # With the cell names that `make` writes, so that only outputs differ.
    made = nbformat.read(executed, as_version=4)
    for number, cell in enumerate(made.cells, 1):
        cell.id = f"cell-{number:02}"
        cell.metadata.pop("execution", None)
    made.metadata = source.read(text).metadata
    nbformat.write(made, text.with_suffix(".ipynb"))
    return compare(text.with_suffix(".ipynb"), source.records_beside(text))

"""The notebook that a hand-edited `rs:percent` file stands for."""

from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

import charts

METADATA = {
    "kernelspec": {"name": "benchbook", "display_name": "Rust (Benchbook)", "language": "rust"},
    "language_info": {
        "name": "rust",
        "file_extension": ".rs",
        "mimetype": "text/rust",
        "pygments_lexer": "rust",
        "codemirror_mode": "rust",
    },
}


def read(path: Path) -> NotebookNode:
    """The notebook of a source. Cell names count up, so that the same source gives the same bytes."""
    notebook = jupytext.read(path, fmt="rs:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:02}"
    return notebook


def cells(notebook: NotebookNode) -> list[tuple[str, str]]:
    """What a person wrote: neither outputs nor metadata."""
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def same_cells(path: Path, notebook_path: Path) -> bool:
    return cells(read(path)) == cells(nbformat.read(notebook_path, as_version=4))


def make(path: Path) -> Path:
    """Writes the .ipynb beside its source. One that has the same cells is left alone, with its outputs."""
    target = path.with_suffix(".ipynb")
    if not target.exists() or not same_cells(path, target):
        nbformat.write(read(path), target)
    return target


def records_beside(path: Path) -> list[Path]:
    """All JSON files that the kept outputs of a notebook may draw from."""
    return sorted(path.parent.glob("*.json")) + charts.files([path.parent / "records"])


def check(paths: list[Path]) -> int:
    differing = []
    for path in paths:
        target = path.with_suffix(".ipynb")
        if not target.exists() or not same_cells(path, target):
            differing.append(path)
            print(f"{target} is not what {path} says. To write it again: .venv/bin/python environment/notebook make {path}")
            continue
        notebook = nbformat.read(target, as_version=4)
        # Outputs are kept with the records that they come from.
        if any(charts.charts(notebook)):
            for fault in charts.check(notebook, records_beside(path)):
                differing.append(path)
                print(f"{target}: {fault}")
    print(f"{len(paths) - len(set(differing))} of {len(paths)} notebooks are what their sources say")
    return 1 if differing else 0


def prepare(path: Path) -> tuple[Path, NotebookNode]:
    """The notebook for a path that may be a source or an .ipynb.

    An .ipynb that was edited after its source is left as it is, so that nobody's edits are lost.
    """
    text = path.with_suffix(".rs")
    if path.suffix == ".ipynb" and path.exists():
        edited = not text.exists() or (not same_cells(text, path) and path.stat().st_mtime > text.stat().st_mtime)
        if edited:
            if text.exists():
                print(f"{path} was edited after {text} and stays as it is. To take its edits over into the source:")
                print(f"  .venv/bin/python -m jupytext --to rs:percent {path}")
            return path, nbformat.read(path, as_version=4)
    if not text.exists():
        raise SystemExit(f"no such notebook: {path} (looked for {text.name} beside it, too)")
    target = make(text)
    return target, nbformat.read(target, as_version=4)

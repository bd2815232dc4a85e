"""The notebook that a hand-edited `rs:percent` file stands for."""

from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

import charts
import colab

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
    """The hand-written part: no outputs and no metadata."""
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def same_cells(path: Path, notebook_path: Path) -> bool:
    return cells(read(path)) == cells(nbformat.read(notebook_path, as_version=4))


def make(path: Path) -> Path:
    """Writes the .ipynb beside its source, and its `%%rust` form if it has one.

    A notebook that has the same cells is left alone, with its outputs; one that has the same code cells keeps its outputs.
    """
    target, made = path.with_suffix(".ipynb"), read(path)
    if not target.exists():
        nbformat.write(made, target)
    elif not same_cells(path, target):
        take_outputs(nbformat.read(target, as_version=4), made)
        nbformat.write(made, target)
    if outdated := outdated_form(path):
        form, text = outdated
        form.parent.mkdir(exist_ok=True)
        form.write_text(text, encoding="utf-8")
    return target


def take_outputs(old: NotebookNode, new: NotebookNode) -> None:
    """Changed text around the code does not change its outputs."""
    before, after = ([cell for cell in notebook.cells if cell.cell_type == "code"] for notebook in (old, new))
    if [cell.source for cell in before] == [cell.source for cell in after]:
        for was, cell in zip(before, after, strict=True):
            cell.outputs, cell.execution_count = was.outputs, was.execution_count


def outdated_form(path: Path) -> tuple[Path, str] | None:
    """File and text of the `%%rust` form of a source; none without this form or if the file is up to date."""
    form, target = colab.form(read(path), path.stem), colab.target(path)
    text = form and nbformat.writes(form) + "\n"
    if not text or (target.exists() and target.read_text(encoding="utf-8") == text):
        return None
    return target, text


def records_beside(path: Path) -> list[Path]:
    """All JSON files that a notebook's kept charts may show."""
    return sorted(path.parent.glob("*.json")) + charts.files([path.parent / "records"])


def check(paths: list[Path]) -> int:
    differing = []
    for path in paths:
        target = path.with_suffix(".ipynb")
        written = target.exists() and same_cells(path, target)
        outdated = outdated_form(path)
        if not written or outdated:
            differing.append(path)
            print(f"{outdated[0] if written else target} differs from {path}. To write it again: .venv/bin/python environment/notebook make {path}")
        if not written:
            continue
        notebook = nbformat.read(target, as_version=4)
        # Outputs are kept with their records.
        if any(charts.charts(notebook)):
            for fault in charts.check(notebook, records_beside(path)):
                differing.append(path)
                print(f"{target}: {fault}")
    print(f"{len(paths) - len(set(differing))} of {len(paths)} notebooks agree with their sources")
    return 1 if differing else 0


def prepare(path: Path) -> tuple[Path, NotebookNode]:
    """The notebook for a path that may be a source or an .ipynb.

    An .ipynb that was edited after its source is left unchanged, so that no edits are lost.
    """
    text = path.with_suffix(".rs")
    if path.suffix == ".ipynb" and path.exists():
        edited = not text.exists() or (not same_cells(text, path) and path.stat().st_mtime > text.stat().st_mtime)
        if edited:
            if text.exists():
                print(f"{path} was edited after {text} and is left unchanged. To copy its edits into the source:")
                print(f"  .venv/bin/python -m jupytext --to rs:percent {path}")
            return path, nbformat.read(path, as_version=4)
    if not text.exists():
        raise SystemExit(f"no such notebook: {path} (looked for {text.name} beside it, too)")
    target = make(text)
    return target, nbformat.read(target, as_version=4)

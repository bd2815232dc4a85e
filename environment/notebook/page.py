"""An executed notebook as one HTML page, and its figures as files."""

import base64
from pathlib import Path

import nbformat
from jupyter_core.paths import jupyter_path
from nbconvert import HTMLExporter
from nbformat import NotebookNode

TEMPLATES = Path(__file__).parent / "templates"
FIGURE_SUFFIXES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}


def dark_theme() -> str:
    """JupyterLab's dark colours, which nbconvert contains for pages that are always dark."""
    for folder in jupyter_path("nbconvert", "templates", "lab", "static"):
        css = Path(folder) / "theme-dark.css"
        if css.exists():
            return css.read_text(encoding="utf-8")
    raise SystemExit("nbconvert's template lab has no theme-dark.css; was its version changed?")


def html(notebook: NotebookNode, title: str) -> str:
    exporter = HTMLExporter(extra_template_basedirs=[str(TEMPLATES)], template_name="page")
    text, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}, "dark_theme": dark_theme()})
    return text


def write(path: Path) -> Path:
    """Writes the page of an executed notebook beside it."""
    target = path.with_suffix(".html")
    target.write_text(html(nbformat.read(path, as_version=4), path.stem), encoding="utf-8")
    return target


def write_figures(notebook: NotebookNode, folder: Path) -> int:
    """Writes each image in the outputs as cell-NUMBER-IMAGE.SUFFIX, counting code cells from 1.

    Removes images of an earlier run. Returns the number of files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("cell-*"):
        old.unlink()
    written = 0
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code_cells, 1):
        pictures = [output.data for output in cell.outputs if FIGURE_SUFFIXES.keys() & output.get("data", {}).keys()]
        for picture, data in enumerate(pictures, 1):
            for mime, suffix in FIGURE_SUFFIXES.items():
                if mime in data:
                    text = data[mime] if isinstance(data[mime], str) else "".join(data[mime])
                    content = text.encode() if suffix == "svg" else base64.b64decode(text)
                    (folder / f"cell-{number:02}-{picture}.{suffix}").write_bytes(content)
                    written += 1
    return written

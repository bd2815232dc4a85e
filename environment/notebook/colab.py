"""The `%%rust` form of a notebook: a Python notebook whose Rust cells run in Benchbook, for Colab, Kaggle and any other Python kernel.

A source has this form if one of its Markdown cells is tagged `kernel`, which says where the Rust notebook runs. In the `%%rust`
form, cells that install Benchbook and draw images replace that cell. The cell tagged `parameters` becomes Python, so that
papermill and users set it as in any Python notebook, and the Rust cell after it receives the values with `-i`.
"""

import re
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from papermill.translators import papermill_translators

KERNEL, INSTALL = "kernel", "install"
METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}
# Paths in a checkout. On Colab and Kaggle everything is in the current folder.
PLACES = {"../datasets/drawings": "drawings", "../results": "."}
# Values of settings, in Rust and in Python.
VALUES = [
    (re.compile(r'String::from\(("[^"\\]*")\)'), r"\1"),
    (re.compile(r"(-?\d+|true|false)"), lambda value: value[1].capitalize()),
    (re.compile(r'std::env::var\(("\w+")\)\.unwrap_or\(("[^"\\]*")\.into\(\)\)'), r"os.environ.get(\1, \2)"),
    (re.compile(r'std::env::var\(("\w+")\)\.unwrap_or_default\(\)'), r'os.environ.get(\1, "")'),
]
INSTALL_TEXT = """\
**Where it runs:** in any Python notebook, so on Colab and Kaggle too. The next cell installs Benchbook; from then on a cell that
begins with `%%rust` runs in Rust, and its variables last from cell to cell. The settings are Python's, and `-i` passes them to the
Rust cell after them. `benchbook setup` fetches what is missing, such as the Rust compiler, and needs the network: on Kaggle,
switch *Internet* on in the notebook's settings first. For a GPU, choose one there, or in Colab's *Runtime > Change runtime type*.

**Not published yet:** the address in the next cell is that of the first release, which does not exist so far. Until then build
the wheel in a checkout (`environment/wheel`), upload it and put its path in place of the address. This notebook's tests run it in
plain Jupyter; it has not been run on Colab or Kaggle themselves."""
IMAGES_TEXT = """\
## Images
The next cell draws cats and dogs: 1,350 images, about 9 MB. For the photos of the report, from Kaggle's competition
[Dogs vs. Cats](https://www.kaggle.com/c/dogs-vs-cats), accept its rules, unpack `train.zip` and `test1.zip` into a folder
`photos` and set `data = "photos"` below:

- **Kaggle:** *Add Input*, choose the competition, then `!unzip -q /kaggle/input/dogs-vs-cats/train.zip -d photos`, and likewise
  `test1.zip`. The input's own panel shows its path, should it be another.
- **Colab:** upload both files in the *Files* panel, or mount Drive (`from google.colab import drive; drive.mount("/content/drive")`),
  then `!unzip -q /content/drive/MyDrive/train.zip -d photos`, and likewise `test1.zip`."""
IMAGES = "!test -d drawings || benchbook drawings --out drawings"


@cache
def constant(file: str, name: str) -> str:
    """Returns the text in `name = "text"` from a file of this repository."""
    path = Path(__file__).parents[2] / file
    found = re.search(rf'^{name} = "(.*)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise SystemExit(f"{path} has no {name}, which the notebooks in notebooks/colab name")
    return found[1]


def wheel() -> str:
    """The address of a release's wheel."""
    version = constant("Cargo.toml", "version")
    name = f"benchbook-{version}-py3-none-{constant('environment/wheel.py', 'PLATFORM')}.whl"
    return f"{constant('Cargo.toml', 'repository')}/releases/download/v{version}/{name}"


def badge(name: str) -> str:
    """The link that opens the `%%rust` form of a notebook on Colab."""
    page = constant("Cargo.toml", "repository").replace("https://github.com/", "https://colab.research.google.com/github/")
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({page}/blob/main/notebooks/colab/{name}.ipynb)"


def target(source: Path) -> Path:
    return source.parent / "colab" / f"{source.stem}.ipynb"


def form(notebook: NotebookNode, name: str) -> NotebookNode | None:
    """The `%%rust` form of a Rust notebook; none if no cell is tagged `kernel`."""
    if not any(KERNEL in tags(cell) for cell in notebook.cells):
        return None
    made, received = [], ""
    for cell in notebook.cells:
        text = cell.source
        for there, here in PLACES.items():
            text = text.replace(there, here)
        if KERNEL in tags(cell):
            made += [
                new_markdown_cell(INSTALL_TEXT),
                new_code_cell(f"%pip install -q {wheel()}\n!benchbook setup\n%load_ext benchbook", metadata={"tags": [INSTALL]}),
                new_markdown_cell(IMAGES_TEXT),
                new_code_cell(IMAGES),
            ]
        elif cell.cell_type == "markdown":
            made.append(new_markdown_cell(text))
        elif "parameters" in tags(cell):
            settings, names = python(text)
            made.append(new_code_cell(settings, metadata=cell.metadata))
            received = f" -i {','.join(names)}"
        else:
            made.append(new_code_cell(f"%%rust{received}\n{text}"))
            received = ""
    title, _, rest = made[0].source.partition("\n")
    made[0].source = f"{title}\n{badge(name)}\n{rest}"
    for number, cell in enumerate(made, 1):
        cell.id = f"cell-{number:02}"
    return nbformat.v4.new_notebook(cells=made, metadata=METADATA, nbformat_minor=5)


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def python(settings: str) -> tuple[str, list[str]]:
    """The settings (Rust's `let` statements) as Python assignments, and their names."""
    rust = papermill_translators.find_translator("benchbook", "rust")
    lines, names = [], []
    for line in settings.splitlines():
        found = rust.inspect(new_code_cell(line))
        value = next((form.sub(made, found[0].default) for form, made in VALUES if found and form.fullmatch(found[0].default)), None)
        if value is None:
            raise SystemExit(
                f"a setting of the cell tagged `parameters` has no form in Python: {line}\n"
                "It must be `let name: Type = value;` with a text, an integer, a bool or a variable of the environment; "
                "environment/notebook/colab.py lists them."
            )
        names.append(found[0].name)
        lines.append(f"{found[0].name} = {value}" + (f"  # {found[0].help}" if found[0].help else ""))
    if any("os.environ" in line for line in lines):
        lines.insert(0, "import os\n")
    return "\n".join(lines), names


def use_installed(notebook: NotebookNode) -> None:
    """Keeps only the last line of the cell that installs Benchbook, which loads it."""
    for cell in notebook.cells:
        if INSTALL in tags(cell):
            cell.source = cell.source.splitlines()[-1]

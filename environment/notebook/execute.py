"""Executes a notebook from its first cell to its last, without a browser, and keeps the results."""

import sys
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

import colab
import page
import source

# A start takes a few seconds, or longer on a loaded machine.
START_TIMEOUT_SECONDS = 180


class Progress:
    """One line for each code cell: its number and first line when it starts, its seconds when it ends."""

    def __init__(self, notebook: NotebookNode) -> None:
        numbered = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        self.numbers = {index: number for number, index in enumerate(numbered, 1)}
        self.running: int | None = None
        self.since = 0.0

    def start(self, cell: NotebookNode, cell_index: int) -> None:
        if cell_index in self.numbers:
            lines = cell.source.strip().splitlines() or [""]
            if lines[0].startswith("%%") and len(lines) > 1:
                lines = lines[1:]
            more = " …" if len(lines) > 1 else ""
            print(f"  [{self.numbers[cell_index]:2}/{len(self.numbers)}] {lines[0][:66] + more:<70}", end="", flush=True)
            self.running, self.since = cell_index, time.monotonic()

    def end(self, cell: NotebookNode, cell_index: int, execute_reply: dict) -> None:
        print(f"{time.monotonic() - self.since:7.1f} s", flush=True)
        if execute_reply["content"]["status"] == "ok":
            self.running = None

    def where(self, notebook: NotebookNode) -> str:
        if self.running is None:
            return "outside a cell"
        text = notebook.cells[self.running].source.replace("\n", "\n    ")
        return f"in code cell {self.numbers[self.running]} of {len(self.numbers)}:\n\n    {text}\n"


def traceback(notebook: NotebookNode, index: int | None) -> str:
    """The failing cell's traceback, without nbclient's text around it."""
    outputs = notebook.cells[index].outputs if index is not None else []
    return "\n".join(line for output in outputs if output.output_type == "error" for line in output.traceback)


def run(
    path: Path,
    folder: Path,
    parameters: dict[str, object] | None = None,
    directory: Path | None = None,
    installed: bool = False,
) -> int:
    """Executes the notebook and writes the results into the folder, even if a cell fails. Returns the exit status.

    Parameters go after the cell tagged `parameters`, as papermill puts them. Cells run in `directory`. Default: the
    notebook's own. With `installed` a `%%rust` form loads the installed package instead of installing one.
    """
    path, notebook = source.prepare(path)
    if parameters:
        notebook = parameterize_notebook(load_notebook_node(str(path)), parameters)
    if installed:
        colab.use_installed(notebook)
    progress = Progress(notebook)
    client = NotebookClient(
        notebook,
        timeout=None,
        startup_timeout=START_TIMEOUT_SECONDS,
        # Consecutive prints are one output, as in front ends.
        coalesce_streams=True,
        kernel_name=notebook.metadata.get("kernelspec", {}).get("name", "benchbook"),
        # The folder in which Jupyter would run it, for the same relative paths.
        resources={"metadata": {"path": str(directory or path.resolve().parent)}},
        on_cell_start=progress.start,
        on_cell_executed=progress.end,
    )
    given = "".join(f", {name} {value}" for name, value in (parameters or {}).items())
    print(f"  {path}, kernel {client.kernel_name}{given}", flush=True)
    begun = time.monotonic()
    fault: str | None = None
    try:
        client.execute()
    except NoSuchKernel as error:
        raise SystemExit(f"no kernel named {error.name}; `jupyter kernelspec list` lists the installed ones") from error
    except CellExecutionError as error:
        fault = f"Failed {progress.where(notebook)}\n{traceback(notebook, progress.running) or error}"
    except DeadKernelError:
        fault = f"The kernel died {progress.where(notebook)}"
    except (AssertionError, KeyboardInterrupt):
        # After an interrupt nbclient ends the kernel and then fails because it is gone.
        fault = f"Interrupted {progress.where(notebook)}"
    except RuntimeError as error:
        # nbclient's report of a kernel that did not start.
        fault = f"The kernel did not start: {error}"

    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{path.stem}.ipynb")
    (folder / f"{path.stem}.html").write_text(page.html(notebook, path.stem), encoding="utf-8")
    figures = page.write_figures(notebook, folder / "figures")
    seconds = time.monotonic() - begun
    if fault:
        print(f"\n\n{fault}\n\nResults so far: {folder}", file=sys.stderr)
        return 1
    print(f"  {len(progress.numbers)} cells in {seconds:.1f} s; the notebook, {path.stem}.html and {figures} figure files are in {folder}")
    return 0

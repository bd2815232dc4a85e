"""JupyterLab in Debian's headless Chromium: the quickstart as a person meets it.

Opens it, chooses the kernel, runs all cells, watches the curve grow while the training runs,
interrupts a second training and goes on. The pictures of it are kept in `results/tests/jupyterlab`.
The notebook is a copy with fewer epochs and fewer pictures, so that it takes about a minute.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from browser import Notebook, choose_kernel, chromium, opened
from driver import PATIENCE
from figures import REPOSITORY, RESULTS, say

DRAWINGS = REPOSITORY / "datasets" / "drawings"
SCREENSHOTS = RESULTS / "jupyterlab"
# Of the first training.
EPOCHS = 4


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """The quickstart without outputs and without a kernel, beside a part of the drawings."""
    if not DRAWINGS.is_dir():
        pytest.skip("datasets/drawings is missing; this makes it: datasets/generate")
    for split, count in {"train": 60, "validation": 10}.items():
        for name in ("cat", "dog"):
            target = tmp_path / "pictures" / split / name
            target.mkdir(parents=True)
            for picture in sorted((DRAWINGS / split / name).iterdir())[:count]:
                shutil.copy(picture, target)
    quickstart = nbformat.read(REPOSITORY / "notebooks" / "quickstart.ipynb", as_version=4)
    # JupyterLab asks for a kernel where neither one nor a language is named.
    del quickstart.metadata["kernelspec"], quickstart.metadata["language_info"]
    for cell in quickstart.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    (training,) = (cell for cell in quickstart.cells if "epochs: " in cell.source)
    training.source, replaced = re.subn(r"\bepochs: .*,", f"epochs: {EPOCHS},", training.source)
    assert replaced == 1, "the training's epochs"
    path = tmp_path / "notebooks" / "quickstart.ipynb"
    path.parent.mkdir()
    (tmp_path / "results" / "quickstart").mkdir(parents=True)
    nbformat.write(quickstart, path)
    return path


@pytest.fixture
def page(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The notebook's page."""
    monkeypatch.setenv("BENCHBOOK_DATA", str(tmp_path / "pictures"))
    # With these weights the net is another one, which takes minutes.
    monkeypatch.delenv("BENCHBOOK_WEIGHTS", raising=False)
    with opened(notebook, tmp_path) as page:
        yield page


def test_the_quickstart_in_the_browser(page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = Notebook(page, SCREENSHOTS)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    choose_kernel(page, "Rust (Benchbook)")
    notebook.screenshot("opened")

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    training = notebook.cell("run.train(")
    states: list[str] = []
    while len(states) < 3:
        states.append(notebook.wait_for_another_curve(training, states))
        assert not notebook.has_ended(training), "the curve moves before the cell ends"
        notebook.screenshot(f"curve-{len(states)}")
    last = notebook.cell("record.table()")
    notebook.wait_for_end(last)
    for number, cell in enumerate(notebook.cells()):
        assert cell["cell_type"] != "code" or notebook.outputs(number, "error") == []
        said = "".join(
            "".join(output["text"])
            for output in cell.get("outputs", [])
            if output.get("name") == "stderr"
        )
        assert said == "" or said.startswith("Note: "), "nothing was said to standard error"
    notebook.show(last)
    notebook.screenshot("all-cells-have-run")

    again = notebook.append(
        "model.fit(&data, Fit { epochs: 1000, batch_size: 16, ..fit.clone() })?;"
    )
    # It begins with the curve so far; another one is that of one more epoch.
    curve = notebook.wait_for_another_curve(again, [])
    notebook.wait_for_another_curve(again, [curve])
    page.locator("[data-command='notebook:interrupt-kernel']").click()
    notebook.wait_for_end(again)
    assert [error["ename"] for error in notebook.outputs(again, "error")] == ["KeyboardInterrupt"]
    notebook.show(again)
    notebook.screenshot("interrupted")

    after = notebook.append(f"model.history().epochs.len() > {EPOCHS}")
    notebook.wait_for_end(after)
    assert notebook.result(after) == "true", "the interrupted epochs are kept"
    goes_on = notebook.append(
        "model.fit(&data, Fit { epochs: 1, batch_size: 16, ..fit.clone() })?.epochs.len()"
        f" > {EPOCHS + 1}"
    )
    notebook.wait_for_end(goes_on)
    assert notebook.result(goes_on) == "true"
    notebook.show(goes_on)
    notebook.screenshot("went-on")
    say(
        capsys,
        f"JupyterLab: {len(states)} states of the curve seen before the training ended;"
        f" {notebook.taken} pictures in {SCREENSHOTS.relative_to(REPOSITORY)}",
        f"  {os.path.basename(chromium())}, Playwright",
    )

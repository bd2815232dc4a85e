"""papermill with parameters in Rust, which the package benchbook brings."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest

from driver import NAME, PATIENCE

PARAMETERS = 'let name = String::from("cat");\nlet count: i64 = 1;\nlet sizes: Vec<i64> = vec![1];'


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    cell = nbformat.v4.new_code_cell
    # One statement a cell: parameters have to survive between cells.
    made = nbformat.v4.new_notebook(
        cells=[
            cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            cell('println!("{name} {count} {:?}", sizes);'),
            cell("count + sizes.iter().sum::<i64>()"),
        ]
    )
    made.metadata.kernelspec = {"name": NAME, "display_name": "Rust", "language": "rust"}
    nbformat.write(made, tmp_path / "small.ipynb")
    return tmp_path / "small.ipynb"


def run(path: Path, **parameters: object) -> nbformat.NotebookNode:
    return papermill.execute_notebook(
        path,
        path.with_suffix(".out.ipynb"),
        parameters,
        progress_bar=False,
        start_timeout=PATIENCE,
        execution_timeout=PATIENCE,
    )


def test_parameters_replace_those_of_the_tagged_cell(notebook: Path) -> None:
    done = run(notebook, name='a "dog"\n', count=-4, sizes=[32, 224], more={"nested": [1, None]})
    texts = [output.get("text") or output.data["text/plain"] for cell in done.cells[2:] for output in cell.outputs]
    assert texts == ['a "dog"\n -4 [32, 224]\n', "252"]
    assert done.cells[1].metadata.tags == ["injected-parameters"]


def test_without_parameters_the_cells_own_values_hold(notebook: Path) -> None:
    assert run(notebook).cells[1].outputs[0].text == "cat 1 [1]\n"


def test_a_notebook_whose_backend_is_not_installed_stops_and_says_how_to_get_it(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(tmp_path / "nothing"))
    made = nbformat.read(notebook, as_version=4)
    made.cells[1].source = 'let backend: BackendId = name.parse()?;'
    nbformat.write(made, notebook)
    with pytest.raises(papermill.PapermillExecutionError) as failure:
        run(notebook, name="tensorflow")
    assert "environment/tensorflow" in failure.value.evalue
    assert run(notebook, name="libtorch").cells[-1].outputs[0].data["text/plain"] == "2"

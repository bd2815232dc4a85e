"""Whole notebooks run by nbclient, as `environment/run` runs them."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from driver import NAME, PATIENCE


def execute(*cells: str, **options) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    client = NotebookClient(
        notebook, timeout=PATIENCE, startup_timeout=PATIENCE, kernel_name=NAME, **options
    )
    try:
        client.execute()
    finally:
        nbformat.validate(notebook)
        execute.last = notebook
    return notebook


def test_a_notebook_keeps_its_outputs_updates_and_errors() -> None:
    with pytest.raises(CellExecutionError) as caught:
        execute(
            'let handle = display(&Bundle::text("old")); println!("one"); println!("two"); 6 * 7',
            'handle.update(&Bundle::text("new"));',
            'println!("cleared"); clear_output(true); println!("stays");',
            "benchbook::chart::plot(&[1.0, 3.0, 2.0])?",
            'let number: i32 = "twelve".parse()?;',
            'println!("never run");',
        )
    assert caught.value.ename == "ParseIntError"
    assert "invalid digit" in caught.value.evalue
    outputs = [cell.outputs for cell in execute.last.cells]
    first = [output for output in outputs[0] if not output.get("text", "").startswith("Note:")]
    assert [output.output_type for output in first] == ["display_data", "stream", "execute_result"]
    assert first[0].data["text/plain"] == "new", "changed by the second cell"
    assert first[1].text == "one\ntwo\n"
    assert first[2].data["text/plain"] == "42"
    assert [output.text for output in outputs[2]] == ["stays\n"]
    assert outputs[3][0].data["image/svg+xml"].startswith("<svg")
    assert [output.output_type for output in outputs[4]] == ["error"]
    assert outputs[5] == []
    assert [cell.execution_count for cell in execute.last.cells] == [1, 2, 3, 4, 5, None]


def test_errors_can_be_allowed() -> None:
    notebook = execute('panic!("boom")', "let after = 1; after", allow_errors=True)
    assert notebook.cells[0].outputs[-1].ename == "Panic"
    assert notebook.cells[1].outputs[0].data["text/plain"] == "1"

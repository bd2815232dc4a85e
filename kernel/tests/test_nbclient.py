"""Whole notebooks run by nbclient, as `environment/run` runs them.

The situations are those of nbclient's own test notebooks: updates of displays, clearing with and
without waiting, prints among displays, timeouts and interrupts, allowed and expected errors,
skipped cells, questions that nobody answers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from driver import NAME, PATIENCE

# Long enough for a cell to be compiled on an idle machine; on a busy one the compiler is interrupted
# in place of the loop, with the same outcome for the notebook.
SHORT = 10


pytestmark = pytest.mark.usefixtures("private_folders")


def code(text: str, *tags: str) -> NotebookNode:
    """A cell with tags."""
    return nbformat.v4.new_code_cell(text, metadata={"tags": list(tags)})


def execute(*cells: str | NotebookNode, **options: Any) -> NotebookNode:
    """Runs a notebook; `execute.last` is what came of it, also when it failed."""
    notebook = nbformat.v4.new_notebook(
        cells=[code(cell) if isinstance(cell, str) else cell for cell in cells]
    )
    settings = {"timeout": PATIENCE, "startup_timeout": PATIENCE, "kernel_name": NAME, **options}
    client = NotebookClient(notebook, **settings)
    try:
        client.execute()
    finally:
        nbformat.validate(notebook)
        execute.last = notebook
    return notebook


def brief(cell: NotebookNode) -> list[tuple[str, str]]:
    """The outputs of a cell as (kind, text), without the kernel's note about a changed checkout.

    Neighbouring prints to one stream are joined: how many messages they came in is chance.
    """
    found: list[tuple[str, str]] = []
    for output in cell.outputs:
        if output.get("text", "").startswith("Note: "):
            continue
        if output.output_type == "stream" and found and found[-1][0] == output.name:
            found[-1] = (output.name, found[-1][1] + output.text)
        elif output.output_type == "stream":
            found.append((output.name, output.text))
        elif output.output_type == "error":
            found.append(("error", output.ename))
        else:
            found.append((output.output_type, output.data["text/plain"]))
    return found


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
    cells = execute.last.cells
    assert brief(cells[0]) == [
        ("display_data", "new"),  # changed by the second cell
        ("stdout", "one\ntwo\n"),
        ("execute_result", "42"),
    ]
    assert brief(cells[2]) == [("stdout", "stays\n")]
    assert cells[3].outputs[0].data["image/svg+xml"].startswith("<svg")
    assert [output.output_type for output in cells[4].outputs] == ["error"]
    assert cells[5].outputs == []
    assert [cell.execution_count for cell in cells] == [1, 2, 3, 4, 5, None]


def test_displays_are_updated_wherever_they_are() -> None:
    notebook = execute(
        'let first = display(&Bundle::text("a0")); let second = display(&Bundle::text("b0"));',
        'second.update(&Bundle::text("b1")); first.update(&Bundle::text("a1").html("<i>a1</i>"));',
        'for step in 2..50 { first.update(&Bundle::text(format!("a{step}"))); }',
        'let own = display(&Bundle::text("c0")); own.update(&Bundle::text("c1"));',
    )
    first, second = notebook.cells[0].outputs
    assert first.data == {"text/plain": "a49"}, "the newest, without the forms of an older one"
    assert second.data == {"text/plain": "b1"}
    assert [brief(cell) for cell in notebook.cells[1:]] == [[], [], [("display_data", "c1")]]


def test_outputs_are_cleared_with_and_without_waiting() -> None:
    notebook = execute(
        'println!("gone"); clear_output(false);',
        'for i in 0..10 { clear_output(false); println!("{i}"); }',
        'for i in 0..10 { clear_output(true); println!("{i}"); }',
        # What waits for the next output waits for ever where none comes.
        'println!("stays"); clear_output(true);',
        'display(&Bundle::text("old")); clear_output(true); println!("new");',
        'println!("old"); clear_output(true); display(&Bundle::text("new"));',
        'println!("old"); clear_output(true); 7',
        'println!("old"); clear_output(true); eprintln!("new");',
    )
    assert [brief(cell) for cell in notebook.cells] == [
        [],
        [("stdout", "9\n")],
        [("stdout", "9\n")],
        [("stdout", "stays\n")],
        [("stdout", "new\n")],
        [("display_data", "new")],
        [("execute_result", "7")],
        [("stderr", "new\n")],
    ]


def test_a_cleared_display_can_be_shown_and_changed_again() -> None:
    notebook = execute(
        'let handle = display(&Bundle::text("first")); clear_output(false);',
        'handle.update(&Bundle::text("to nobody")); println!("goes on");',
        'let handle = display(&Bundle::text("second"));',
        'handle.update(&Bundle::text("third"));',
    )
    assert [brief(cell) for cell in notebook.cells] == [
        [],
        [("stdout", "goes on\n")],
        [("display_data", "third")],
        [],
    ]


def test_prints_stand_among_displays_where_the_code_put_them() -> None:
    (cell,) = execute(
        """
        print!("a"); print!("b"); eprint!("c"); eprint!("d"); print!("e");
        display(&Bundle::text("f"));
        print!("g");
        let handle = display(&Bundle::text("h"));
        print!("i");
        handle.update(&Bundle::text("H"));
        print!("j");
        "k"
        """
    ).cells
    assert brief(cell) == [
        ("stdout", "ab"),
        ("stderr", "cd"),
        ("stdout", "e"),
        ("display_data", "f"),
        ("stdout", "g"),
        ("display_data", "H"),
        ("stdout", "ij"),
        ("execute_result", '"k"'),
    ]


def test_text_of_all_scripts_pictures_and_empty_cells_are_kept() -> None:
    notebook = execute(
        'println!("☃ ünïcödé 数 🦀");',
        nbformat.v4.new_markdown_cell("# No code"),
        "",
        "  \n",
        "// a comment",
        'benchbook::chart::LineChart::new("Loss").series("training", &[0.7, 0.4])?.with_png()',
        'Bundle::text("x").with("text/latex", "$x$").markdown("*x*")',
    )
    assert brief(notebook.cells[0]) == [("stdout", "☃ ünïcödé 数 🦀\n")]
    assert [cell.outputs for cell in notebook.cells[2:5]] == [[], [], []]
    picture, formula = notebook.cells[5].outputs[0].data, notebook.cells[6].outputs[0].data
    assert {"text/plain", "image/svg+xml", "image/png"} <= picture.keys()
    assert formula == {"text/plain": "x", "text/latex": "$x$", "text/markdown": "*x*"}
    # nbclient does not send cells without code, so they are not counted.
    counts = [cell.execution_count for cell in notebook.cells if "outputs" in cell]
    assert counts == [1, None, None, 2, 3, 4]


def test_errors_can_be_allowed() -> None:
    notebook = execute('panic!("boom")', "let after = 1; after", allow_errors=True)
    assert notebook.cells[0].outputs[-1].ename == "Panic"
    assert brief(notebook.cells[1]) == [("execute_result", "1")]


def test_errors_can_be_allowed_by_name() -> None:
    failing = ['let n: i32 = "x".parse()?;', "let kept = 1; kept", "missing"]
    with pytest.raises(CellExecutionError) as caught:
        execute(*failing, allow_error_names=["ParseIntError"])
    assert caught.value.ename == "CompileError"
    assert [brief(cell) for cell in execute.last.cells] == [
        [("error", "ParseIntError")],
        [("execute_result", "1")],
        [("error", "CompileError")],
    ]


def test_a_cell_may_be_tagged_as_failing_or_as_left_out() -> None:
    notebook = execute(
        "let mut steps = vec![1];",
        code('steps.push(2); panic!("on purpose")', "raises-exception"),
        code("this does not compile", "raises-exception"),
        code('panic!("never run")', "skip-execution"),
        "steps",
    )
    assert [brief(cell) for cell in notebook.cells] == [
        [],
        [("error", "Panic")],
        [("error", "CompileError")],
        [],
        [("execute_result", "[1, 2]")],
    ]
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, None, 4]


def test_an_error_in_a_notebook_is_readable_without_colours() -> None:
    with pytest.raises(CellExecutionError) as caught:
        execute("let a = 1;\nlet b: String = a;")
    words = str(caught.value)
    assert "let b: String = a;" in words and "mismatched types" in words
    error = execute.last.cells[0].outputs[-1]
    assert error.ename == "CompileError" and "E0308" in error.evalue


def test_a_crash_is_the_cells_error_and_not_the_kernels_death() -> None:
    notebook = execute(
        "let lost = 1; fn kept() -> i32 { 2 }",
        'println!("last words"); std::process::abort();',
        "kept()",
        allow_errors=True,
    )
    assert brief(notebook.cells[1]) == [("stdout", "last words\n"), ("error", "WorkerDied")]
    assert brief(notebook.cells[2]) == [("execute_result", "2")]


def endless(cell: NotebookNode) -> int:
    """nbclient's patience with a cell, in seconds."""
    return SHORT if "loop" in cell.source else PATIENCE


def test_a_cell_that_takes_too_long_is_interrupted_and_keeps_the_variables() -> None:
    notebook = execute(
        "let kept = 3; let mut rounds = 0u64;",
        "loop { rounds += 1; }",
        "(kept, 6 * 7)",
        timeout=None,
        timeout_func=endless,
        interrupt_on_timeout=True,
        allow_errors=True,
    )
    assert brief(notebook.cells[1]) == [("error", "KeyboardInterrupt")]
    assert brief(notebook.cells[2]) == [("execute_result", "(3, 42)")]


def test_an_interrupted_cell_ends_a_notebook_that_allows_no_errors() -> None:
    with pytest.raises(CellExecutionError) as caught:
        execute(
            "let warm = 1;",
            "loop {}",
            'println!("never run");',
            timeout=None,
            timeout_func=endless,
            interrupt_on_timeout=True,
        )
    assert caught.value.ename == "KeyboardInterrupt"
    assert execute.last.cells[2].outputs == []


def test_a_notebook_can_be_given_up_while_a_cell_runs() -> None:
    with pytest.raises(CellTimeoutError):
        execute("let warm = 1;", "loop {}", timeout=None, timeout_func=endless)


def test_where_nobody_can_answer_a_question_fails_at_once() -> None:
    notebook = execute(
        'input("Your name? ")?',
        "let mut line = String::new(); std::io::stdin().read_line(&mut line)?",
        allow_errors=True,
    )
    assert brief(notebook.cells[0])[-1][0] == "error"
    assert brief(notebook.cells[1]) == [("execute_result", "0")]


def test_when_each_cell_ran_is_recorded() -> None:
    times = execute("let a = 1;", "a").cells[1].metadata.execution
    kinds = ("iopub.status.busy", "iopub.execute_input", "shell.execute_reply", "iopub.status.idle")
    assert all(kind in times for kind in kinds), times
    assert times["iopub.status.busy"] <= times["iopub.execute_input"] <= times["iopub.status.idle"]


def test_two_notebooks_run_beside_each_other() -> None:
    def run(name: str) -> list[list[tuple[str, str]]]:
        cells = [code(f'let name = "{name}"; for i in 0..3 {{ println!("{name} {{i}}"); }}'), code("name")]
        notebook = nbformat.v4.new_notebook(cells=cells)
        NotebookClient(
            notebook, timeout=PATIENCE, startup_timeout=PATIENCE, kernel_name=NAME
        ).execute()
        return [brief(cell) for cell in notebook.cells]

    with ThreadPoolExecutor() as threads:
        results = dict(zip("ab", threads.map(run, "ab"), strict=True))
    for name, (first, second) in results.items():
        assert first == [("stdout", "".join(f"{name} {i}\n" for i in range(3)))]
        assert second == [("execute_result", f'"{name}"')]

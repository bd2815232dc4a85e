"""`jupyter console` in a terminal, key by key."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from driver import NAME, descendants, wait_until
from terminal import CTRL_C, CTRL_D, ENTER, TAB, Terminal


class Console(Terminal):
    """A console at work; its prompts are counted."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "jupyter_console", "--kernel", NAME]
        super().__init__(command, dict(os.environ))
        self.count = 0
        self.prompt()

    def prompt(self) -> None:
        """Waits for the next prompt."""
        self.count += 1
        self.wait(
            lambda: self.last_line.rstrip() == f"In [{self.count}]:", f"prompt {self.count}"
        )

    def run(self, *lines: str) -> str:
        """Types a cell and runs it: what the screen shows from its prompt on."""
        at = f"In [{self.count}]:"
        for line in lines:
            self.type(line + ENTER)
        self.prompt()
        return self.text[self.text.rindex(at) :]


@pytest.fixture(scope="module")
def console(private_folders: None) -> Iterator[Console]:
    console = Console()
    yield console
    console.close()


def test_the_banner_names_the_kernel(console: Console) -> None:
    assert "Benchbook" in console.text


def test_a_cell_is_run_and_its_result_shown(console: Console) -> None:
    console.run("let a = 21;")
    count = console.count
    assert f"Out[{count}]: 42" in console.run("a * 2")


def test_prints_of_both_streams_are_shown(console: Console) -> None:
    shown = console.run('println!("to stdout"); eprintln!("to stderr");').splitlines()
    assert shown.count("to stdout") == shown.count("to stderr") == 1


def test_a_cell_of_many_lines_is_asked_for_to_its_end_and_indented(console: Console) -> None:
    shown = console.run("fn triple(x: i32) -> i32 {", "3 * x", "}")
    assert shown.count("...:") == 2
    line = next(line for line in shown.splitlines() if line.endswith("3 * x"))
    assert line.endswith("...:     3 * x"), "indented by the kernel"
    assert "Out[" in console.run("triple(5)") and "15" in console.text


def test_a_picture_is_text_in_a_terminal(console: Console) -> None:
    shown = console.run("benchbook::chart::plot(&[1.0, 3.0, 2.0])?")
    assert "<svg" not in shown
    assert len(shown.splitlines()) > 3, shown


def test_an_error_is_shown_with_its_place(console: Console) -> None:
    shown = console.run("let wrong: i32 = missing;")
    assert "CompileError" in shown or "cannot find value" in shown, shown
    assert "\x1b" not in shown and "[31m" not in shown, "colours are colours"


def test_tab_completes(console: Console) -> None:
    console.type('let upper = "text".to_upperc' + TAB)
    console.wait_for('"text".to_uppercase()')
    console.type(";")
    console.run("")
    assert '"TEXT"' in console.run("upper")


def test_control_c_at_the_prompt_forgets_what_was_typed(console: Console) -> None:
    console.type("half a thought")
    console.wait_for("half a thought")
    console.type(CTRL_C)
    console.wait(lambda: "half a thought" not in console.last_line, "an empty line")
    assert "42" in console.run("6 * 7")


def test_control_c_interrupts_a_cell_and_keeps_the_variables(console: Console) -> None:
    console.run("let kept = 4711;")
    console.type('println!("running"); loop {}' + ENTER)
    console.wait(lambda: console.last_line == "running", "the cell to run")
    console.type(CTRL_C)
    console.prompt()
    assert "KeyboardInterrupt" in console.text
    assert "4711" in console.run("kept")


def test_a_question_is_asked_in_the_terminal(console: Console) -> None:
    console.type('let name = input("Your name? ")?;' + ENTER)
    console.wait(lambda: console.last_line.startswith("Your name?"), "the question")
    console.run("Ferris")
    assert '"Ferris"' in console.run("name")


def test_control_d_ends_the_console_and_the_kernel() -> None:
    console = Console()
    console.run("let a = 1;")
    started = descendants(console.process.pid)
    assert any(name.startswith("benchbook") for name in started.values())
    console.type(CTRL_D)
    console.wait_for("Do you really want to exit")
    console.type("y" + ENTER)
    assert console.end() == 0
    wait_until(
        lambda: not any(os.path.exists(f"/proc/{number}") for number in started),
        "the end of the kernel's processes",
    )

"""Questions to the user, and the standard input of cells."""

from __future__ import annotations

from driver import PATIENCE, Kernel


def answer(kernel: Kernel, text: str) -> dict:
    """Answers the next question, and returns what was asked."""
    question = kernel.client.get_stdin_msg(timeout=PATIENCE)
    assert question["msg_type"] == "input_request"
    kernel.client.input(text)
    return question["content"]


def test_a_question_is_asked_and_its_answer_used(kernel: Kernel) -> None:
    cell = kernel.start(
        'let name = input("Your name? ")?; println!("Hello, {name}!");', allow_stdin=True
    )
    assert answer(kernel, "Ferris ü") == {"prompt": "Your name? ", "password": False}
    assert cell.finish().stdout == "Hello, Ferris ü!\n", cell.problem
    assert kernel.value("name") == '"Ferris ü"'


def test_a_password_is_asked_for_as_one(kernel: Kernel) -> None:
    cell = kernel.start('password("Key: ")?.len()', allow_stdin=True)
    assert answer(kernel, "12345") == {"prompt": "Key: ", "password": True}
    assert cell.finish().result["text/plain"] == "5"


def test_two_questions_in_one_cell_keep_their_order(kernel: Kernel) -> None:
    cell = kernel.start('(input("first")?, input("second")?)', allow_stdin=True)
    assert answer(kernel, "1")["prompt"] == "first"
    assert answer(kernel, "2")["prompt"] == "second"
    assert cell.finish().result["text/plain"] == '("1", "2")'


def test_a_prompt_comes_after_what_was_printed_before(kernel: Kernel) -> None:
    cell = kernel.start('print!("before"); let _ = input("?")?;', allow_stdin=True)
    answer(kernel, "")
    assert cell.finish().events == [("stdout", "before")]


def test_where_questions_are_not_allowed_they_fail_at_once(kernel: Kernel) -> None:
    cell = kernel.run('input("Your name? ")?', allow_stdin=False)
    assert cell.status == "error", cell.problem
    assert "input" in cell.evalue or "allow" in cell.evalue, cell.problem


def test_a_raw_read_of_standard_input_is_at_its_end(kernel: Kernel) -> None:
    code = "let mut line = String::new(); let read = std::io::stdin().read_line(&mut line)?; read"
    for allowed in (True, False):
        assert kernel.good(code, allow_stdin=allowed).result["text/plain"] == "0"


def test_a_child_process_reads_nothing(kernel: Kernel) -> None:
    assert (
        kernel.good('std::process::Command::new("cat").status()?.success()').result["text/plain"]
        == "true"
    )


def test_an_interrupt_ends_a_question(kernel: Kernel) -> None:
    kernel.good("let kept = 3;")
    cell = kernel.start('let never = input("wait")?;', allow_stdin=True)
    assert kernel.client.get_stdin_msg(timeout=PATIENCE)["content"]["prompt"] == "wait"
    kernel.interrupt()
    assert cell.finish().ename == "KeyboardInterrupt", cell.problem
    assert kernel.value("kept") == "3"

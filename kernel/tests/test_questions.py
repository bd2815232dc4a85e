"""What front ends ask besides running cells."""

from __future__ import annotations

import pytest

from driver import Kernel


def test_kernel_info_describes_the_kernel(kernel: Kernel) -> None:
    info = kernel.ask(kernel.client.kernel_info())
    assert info["status"] == "ok"
    assert info["protocol_version"].split(".")[0] == "5"
    assert info["implementation"] == "benchbook"
    assert info["implementation_version"]
    assert info["banner"]
    assert all(link["text"] and link["url"].startswith("https://") for link in info["help_links"])
    language = info["language_info"]
    assert (language["name"], language["file_extension"]) == ("rust", ".rs")
    assert language["mimetype"] == "text/rust"
    assert language["pygments_lexer"] == "rust"
    assert language["version"][0].isdigit()


def test_execution_counts_begin_at_one(kernels) -> None:
    kernel = kernels()
    counts = [kernel.good(code).reply["execution_count"] for code in ("let a = 1;", "a")]
    assert counts == [1, 2]
    silent = kernel.good("a + 1", silent=True, store_history=False)
    assert silent.of("execute_input") == []
    assert kernel.good("a").reply["execution_count"] == 3, "a silent cell is not counted"


def test_a_reply_tells_how_long_what_took(kernel: Kernel) -> None:
    cell = kernel.good("1")
    timing = cell.answer["metadata"]["benchbook"]
    assert timing["compile_s"] > 0 and timing["run_s"] >= 0
    assert cell.answer["metadata"]["started"]


def complete(kernel: Kernel, code: str, cursor: int | None = None) -> tuple[list[str], str]:
    """The matches, and the text that they replace."""
    reply = kernel.ask(kernel.client.complete(code, cursor))
    assert reply["status"] == "ok"
    return reply["matches"], code[reply["cursor_start"] : reply["cursor_end"]]


def test_methods_are_completed(kernel: Kernel) -> None:
    matches, replaced = complete(kernel, '"text".to_upp')
    assert any(match.startswith("to_uppercase") for match in matches)
    assert replaced == "to_upp"


def test_variables_of_earlier_cells_are_completed(kernel: Kernel) -> None:
    kernel.good("let conspicuous = 1;")
    assert "conspicuous" in complete(kernel, "let b = consp")[0]


def test_the_helper_library_is_completed(kernel: Kernel) -> None:
    assert any(
        match.startswith("LineChart") for match in complete(kernel, "benchbook::chart::Line")[0]
    )


def test_completion_works_in_the_middle_and_after_text_that_is_not_ascii(kernel: Kernel) -> None:
    code = 'let ü = "🦀"; ü.to_upp; let b = 1;'
    matches, replaced = complete(kernel, code, code.index("; let b"))
    assert any(match.startswith("to_uppercase") for match in matches)
    assert replaced == "to_upp"


def test_nothing_to_complete_is_no_error(kernel: Kernel) -> None:
    assert complete(kernel, "let a = zzzzqqqq")[0] == []


def inspect(kernel: Kernel, code: str, cursor: int | None = None) -> dict[str, str]:
    reply = kernel.ask(kernel.client.inspect(code, cursor))
    assert reply["status"] == "ok" and reply["found"], reply
    return reply["data"]


def test_documentation_is_shown(kernel: Kernel) -> None:
    data = inspect(kernel, "String::new()", len("String::ne"))
    assert "Creates a new empty" in data["text/plain"]
    assert "Creates a new empty" in data["text/html"]


def test_types_of_variables_are_shown(kernel: Kernel) -> None:
    kernel.good("let inspected: Vec<u8> = vec![];")
    assert "Vec<u8>" in inspect(kernel, "inspected")["text/plain"]


def test_nothing_to_inspect_is_said(kernel: Kernel) -> None:
    reply = kernel.ask(kernel.client.inspect("   "))
    assert (reply["status"], reply["found"], reply["data"]) == ("ok", False, {})


@pytest.mark.parametrize(
    ("code", "status", "indent"),
    [
        ("1 + 1", "complete", ""),
        ("fn f() -> i32 { 1 }", "complete", ""),
        (":vars", "complete", ""),
        ("", "complete", ""),
        ("fn f() {", "incomplete", "    "),
        ("for a in b {\n    if c {", "incomplete", "        "),
        ('let s = "open', "incomplete", ""),
        ("}", "invalid", ""),
        ("let = 1;", "invalid", ""),
    ],
)
def test_completeness_is_told(kernel: Kernel, code: str, status: str, indent: str) -> None:
    reply = kernel.ask(kernel.client.is_complete(code))
    assert reply["status"] == status
    if status == "incomplete":
        assert reply["indent"] == indent


def test_history_remembers_the_cells_of_this_session(kernel: Kernel) -> None:
    kernel.good("let remembered_by_history = 1;")
    kernel.good("let secret_of_nobody = 2;", store_history=False)
    reply = kernel.ask(kernel.client.history(hist_access_type="tail", n=1))
    assert reply["history"][-1][2] == "let remembered_by_history = 1;"


def test_questions_are_answered_before_the_first_cell_can_run(kernels) -> None:
    kernel = kernels()  # Returns when kernel_info was answered, while the compiler still starts.
    assert kernel.ask(kernel.client.is_complete("fn f() {"))["status"] == "incomplete"
    assert kernel.value("1 + 1") == "2"


def test_expressions_of_the_front_end_are_evaluated(kernel: Kernel) -> None:
    cell = kernel.good(
        "let asked_of = vec![1, 2, 3];",
        user_expressions={
            "length": "asked_of.len()",
            "rich": "benchbook::chart::plot(&[1.0, 2.0])?",
            "unknown": "no_such_name",
            "panics": 'panic!("in an expression")',
            "statement": "let nothing = 1;",
        },
    )
    values = cell.reply["user_expressions"]
    assert values["length"] == {"status": "ok", "data": {"text/plain": "3"}, "metadata": {}}
    assert "image/svg+xml" in values["rich"]["data"]
    assert values["unknown"]["ename"] == "CompileError"
    assert (values["panics"]["ename"], values["panics"]["evalue"]) == ("Panic", "in an expression")
    assert values["statement"]["status"] == "error"
    assert cell.of("execute_result", "display_data", "error") == [], "nothing of it is shown"
    assert kernel.value("asked_of.len()") == "3"


def test_expressions_are_evaluated_for_a_silent_cell_and_not_after_an_error(kernel: Kernel) -> None:
    silent = kernel.good("", silent=True, store_history=False, user_expressions={"six": "2 * 3"})
    assert silent.reply["user_expressions"]["six"]["data"] == {"text/plain": "6"}
    failed = kernel.run('panic!("boom")', user_expressions={"six": "2 * 3"})
    assert not failed.reply.get("user_expressions")


def test_usage_is_told_in_the_form_of_ipykernel(kernel: Kernel) -> None:
    request = kernel.client.session.msg("usage_request", {})
    kernel.client.control_channel.send(request)
    reply = kernel.client.get_control_msg(timeout=300)
    assert reply["msg_type"] == "usage_reply"
    content = reply["content"]
    assert content["pid"] == kernel.process
    assert content["kernel_memory"] > 100 << 20, "server and worker with libtorch"
    assert content["host_virtual_memory"]["total"] > content["kernel_memory"]
    if "gpu_memory" in content:
        assert 0 <= content["gpu_memory"] <= content["gpu_memory_total"]

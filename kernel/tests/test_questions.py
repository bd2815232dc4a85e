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


DEFINITIONS = """
#[derive(Clone, Debug, Default)]
enum Colour { #[default] Red, Green, Custom(u8) }
#[derive(Clone, Debug, Default)]
struct Drawing { colour: Colour, sides: usize }
impl Drawing { fn draw(&self, with: &Drawing, sides: usize) -> usize { sides } fn area(&self) -> f64 { 1.0 } }
mod sealed { pub struct Sealed { pub open: u8, closed: u8 } impl Sealed { pub fn new() -> Self { Self { open: 1, closed: 2 } } fn inner(&self) {} pub fn outer(&self) {} } }
"""


@pytest.fixture(scope="module")
def drawing(kernel: Kernel) -> Kernel:
    """The kernel with types and variables to complete."""
    kernel.good(DEFINITIONS)
    kernel.good("let drawing_one = Drawing::default(); let dimensions: usize = 3; let sealed_one = sealed::Sealed::new();")
    kernel.good("let tensor = Tensor::from_slice(&[1.0]);")
    return kernel


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("Drawing { colour: dra", "drawing_one"),
        ("Drawing { sides: ", "dimensions"),
        ("Drawing { sides: dim", "dimensions"),
        ("Fit { epochs: dim", "dimensions"),
        ("Fit { epochs: ", "dimensions"),
        ("drawing_one.draw(&drawing_one, ", "dimensions"),
        ("drawing_one.draw(&dra", "drawing_one"),
        ("drawing_one.draw(&drawing_one, dim", "dimensions"),
        ("let x: i32 = dim", "dimensions"),
        ("let x: usize = ", "dimensions"),
        ("if dimensions > dim", "dimensions"),
        ("let v = vec![Colour::", "Green"),
        ("let v = vec![Colour::Gr", "Green"),
        ("let v: Vec<Drawing> = vec![Drawing { colour: Colour::", "Custom"),
        ("let v = vec![dim", "dimensions"),
        ("let f = Fit { callbacks: vec![Builtin::", "best_checkpoint"),
        ('println!("{}", dim', "dimensions"),
        ('println!("{:?}", drawing_one.', "area()"),
    ],
)
def test_completion_works_where_the_type_is_known(drawing: Kernel, code: str, match: str) -> None:
    for tail in ("", "\nlet after = 1;"):
        found = complete(drawing, code + tail, len(code))[0]
        assert match in found, found


@pytest.mark.parametrize(
    ("code", "offered", "private"),
    [
        ("tensor.", ["size()", "shallow_clone()"], ["c_tensor"]),
        ("vec![1].", ["len()", "push"], ["buf", "len", "append_elements"]),
        ("String::new().", ["len()"], ["vec"]),
        ("sealed_one.", ["open", "outer()"], ["closed", "inner()"]),
        ("sealed::Sealed::", ["new()"], ["inner()", "inner"]),
        ("drawing_one.", ["colour", "sides", "draw", "area()"], []),
        ("[1].iter().rev().", ["collect()"], ["iter"]),
        ("let data = ImageFolder::open(\"x\")?; data.", ["classes()", "root()"], ["root", "divided"]),
    ],
)
def test_private_members_are_not_offered(
    drawing: Kernel, code: str, offered: list[str], private: list[str]
) -> None:
    found = complete(drawing, code)[0]
    assert [name for name in offered if name not in found] == [], found
    assert [name for name in private if name in found] == [], found


@pytest.mark.parametrize("code", ["tensor.", "drawing_one.", "", "let x = ", "Colour::", "let x: ", "Fit { epochs: ", "Some", "match"])
def test_what_is_offered_can_be_inserted(drawing: Kernel, code: str) -> None:
    for match in complete(drawing, code)[0]:
        assert not set("$;,") & set(match), match
        assert "evcxr" not in match.lower(), match
        name = match.removesuffix("()").removesuffix("!").removesuffix("[]").removesuffix("!").removesuffix(" {}").removesuffix("!")
        assert all(part.removeprefix("r#").isidentifier() for word in name.split() for part in word.split("::")), match


@pytest.mark.parametrize(
    ("before", "match", "after"),
    [
        ("let inserted = tensor.", "numel()", ";"),
        ("let inserted: usize = ", "dimensions", ";"),
        ("let inserted = vec![Colour::", "Green", "];"),
        ("let inserted = Drawing { sides: ", "dimensions", ", ..Drawing::default() };"),
        ("let inserted = drawing_one.", "area()", ";"),
    ],
)
def test_what_is_inserted_compiles(drawing: Kernel, before: str, match: str, after: str) -> None:
    assert match in complete(drawing, before)[0]
    drawing.good(before + match + after)


@pytest.mark.parametrize("code", ["// draw", "1; // draw", 'let a = "draw', "/* draw"])
def test_text_and_comments_are_not_completed(drawing: Kernel, code: str) -> None:
    assert complete(drawing, code)[0] == []


def test_text_and_comments_are_not_inspected(kernel: Kernel) -> None:
    kernel.good("let inspected = 1;")
    for code in ['"inspected', "// inspected", "1; // inspected"]:
        assert not kernel.ask(kernel.client.inspect(code))["found"], code


def test_names_within_a_format_are_completed(drawing: Kernel) -> None:
    code = 'println!("{drawi}")'
    assert "drawing_one" in complete(drawing, code, code.index("}"))[0]


def test_private_fields_of_the_standard_library_are_not_offered(kernel: Kernel) -> None:
    kernel.good("let numbers = vec![1, 2, 3];")
    found = complete(kernel, "numbers.iter().")[0]
    assert "map" in found
    assert not {"ptr", "end_or_len", "_marker"} & set(found)


def test_raw_names_and_names_before_a_call_are_completed(kernel: Kernel) -> None:
    kernel.good("let r#type = vec![3];")
    for code in ["let q = r#typ", "r#ty"]:
        found, replaced = complete(kernel, code)
        assert (found, replaced) == (["r#type"], code.split()[-1])
    code = "r#type.le()"
    assert "len" in complete(kernel, code, code.index("()"))[0]


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


def test_a_settings_struct_is_explained_with_all_its_fields(kernel: Kernel) -> None:
    data = inspect(kernel, "Fit")
    for field in ("epochs", "batch_size", "optimizer", "learning_rate", "callbacks", "loader_threads"):
        assert f"pub {field}: " in data["text/plain"], data["text/plain"]
    assert "docs.rs/benchbook" not in data["text/html"]


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

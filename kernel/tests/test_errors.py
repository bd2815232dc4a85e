"""Errors of all kinds: what they are called, what they say, where they point, what survives."""

from __future__ import annotations

import pytest

from driver import Cell, Kernel


def assert_error(cell: Cell, ename: str, evalue: str) -> None:
    """The reply and the one error output agree, and say what is expected."""
    assert cell.status == "error", cell.problem
    errors = cell.of("error")
    assert len(errors) == 1, cell.problem
    for name in ("ename", "evalue", "traceback"):
        assert errors[0][name] == cell.reply[name]
    assert cell.ename == ename, cell.problem
    assert evalue in cell.evalue, cell.problem
    assert cell.traceback.strip(), "a traceback is what front ends show"


def place(cell: Cell) -> str:
    """The line of the traceback that says where, as `line 1, column 2`."""
    lines = [line for line in cell.traceback.splitlines() if "column" in line]
    assert lines, cell.problem
    return lines[0][lines[0].index("line") :]


def test_a_compile_error_says_what_and_where(kernel: Kernel) -> None:
    code = 'let fine = 1;\nlet wrong: i32 = "text";'
    cell = kernel.run(code)
    assert_error(cell, "CompileError", "mismatched types")
    assert "E0308" in cell.evalue
    assert f"cell {cell.reply['execution_count']}, line 2, column 18" in cell.traceback
    assert 'let wrong: i32 = "text";' in cell.traceback, "the user's own line"


def test_a_compile_error_is_coloured_for_the_notebook(kernel: Kernel) -> None:
    assert "\x1b[" in "\n".join(kernel.run("nowhere()").reply["traceback"])


@pytest.mark.parametrize(
    ("code", "where"),
    [
        pytest.param("missing + 1", "line 1, column 1", id="the last expression"),
        pytest.param("1 + missing", "line 1, column 5", id="inside the last expression"),
        pytest.param(
            "let a = 1;\n\n    a + missing", "line 3, column 9", id="indented last expression"
        ),
        pytest.param(
            "let a = 1; let b = missing; let c = 3;",
            "line 1, column 20",
            id="one line, many statements",
        ),
        pytest.param(
            "let a = 1; a + missing", "line 1, column 16", id="statement and expression on a line"
        ),
        pytest.param(
            'let ü = "äöü€"; missing', "line 1, column 17", id="after text that is not ASCII"
        ),
        pytest.param("for i in 0..3 { missing(i); }", "line 1, column 17", id="inside a loop"),
        pytest.param(
            "fn f() {\n    loop { missing(); }\n}",
            "line 2, column 12",
            id="inside a loop of a function",
        ),
        pytest.param(
            "// first\n\nlet a = 1;\nmissing",
            "line 4, column 1",
            id="after a comment and an empty line",
        ),
        pytest.param(
            "vec![1, 2]\n    .into_iter()\n    .missing()",
            "line 3, column 6",
            id="expression over several lines",
        ),
    ],
)
def test_a_compile_error_points_to_the_users_text(kernel: Kernel, code: str, where: str) -> None:
    cell = kernel.run(code)
    assert_error(cell, "CompileError", "missing")
    assert place(cell) == where, cell.traceback


def test_a_compile_error_marks_the_span(kernel: Kernel) -> None:
    lines = kernel.run("let size = 1; size + missing").traceback.splitlines()
    at = next(i for i, line in enumerate(lines) if "size + missing" in line)
    assert lines[at + 1].index("^") == lines[at].index("missing")
    assert "^^^^^^^ " in lines[at + 1] + " "


def test_a_compile_error_never_shows_what_the_kernel_inserted(kernel: Kernel) -> None:
    for code in (
        "let v = vec![1];\nfor i in v { i.missing(); }\nv",
        "struct S; S + 1",
        "loop { break missing; }",
    ):
        cell = kernel.run(code)
        assert cell.ename == "CompileError", cell.problem
        assert "show!" not in cell.traceback and "poll" not in cell.traceback, cell.traceback


def test_a_syntax_error_points_to_the_users_text(kernel: Kernel) -> None:
    cell = kernel.run("let fine = 1;\nlet = 2;")
    assert_error(cell, "CompileError", "expected pattern")
    assert place(cell) == "line 2, column 5", cell.traceback


@pytest.mark.parametrize(
    ("code", "evalue", "where"),
    [
        ("fn f( {", "this `(` is never closed", "line 1, column 5"),
        ("let a = 1;\nif a > 0 { f(a; }", "is not closed before", "line 2, column 13"),
        ('let a = 1;\nlet s = "open', "this string is never closed", "line 2, column 9"),
    ],
)
def test_what_is_never_closed_is_shown_where_it_begins(
    kernel: Kernel, code: str, evalue: str, where: str
) -> None:
    cell = kernel.run(code)
    assert_error(cell, "CompileError", evalue)
    assert place(cell) == where, cell.traceback


@pytest.mark.parametrize(
    ("code", "expected", "where"),
    [
        ("let a = std::", "expected identifier", "line 1, column 14"),
        ("let b = kept.", "expected field name or number", "line 1, column 14"),
        ("let c = kept +", "expected expression", "line 1, column 15"),
        ("kept.", "expected field name or number", "line 1, column 6"),
        ("Vec::<i32>::", "expected identifier", "line 1, column 13"),
        ("let d: Vec<", "expected `>`", "line 1, column 12"),
        ("if kept > 3 { 1 } else", "expected a block", "line 1, column 23"),
        ("let e = kept;\nlet f = 2 *  // more to come\n", "expected expression", "line 2, column 12"),
        ("let ü = kept; ü as", "expected type", "line 1, column 19"),
        ("let g = kept", "expected `;`", "line 1, column 13"),
    ],
)
def test_an_unfinished_cell_is_shown_at_its_end(
    kernel: Kernel, code: str, expected: str, where: str
) -> None:
    kernel.good("let kept = 7;")
    cell = kernel.run(code)
    assert_error(cell, "CompileError", expected)
    assert place(cell) == where, cell.traceback
    assert "evcxr" not in cell.traceback and "end of input" not in cell.evalue
    assert kernel.value("kept") == "7"


SETTINGS = """
#[derive(Clone, Debug, Default)]
struct Settings { epochs: usize, rate: f64, batch: usize, seed: u64, classes: usize, width: usize, depth: usize }
struct Plain { a: u8, b: u8 }
fn lend(text: &str, times: usize) -> usize { text.len() * times }
"""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param("let n: i32 = Some(1);", ["expected type `i32`", "found enum `", "Option<"], id="types"),
        pytest.param("let n: Vec<f64> = Some(vec![1]);", ["expected struct `Vec<f64>`", "found enum `", "Option<Vec<"], id="types of containers"),
        pytest.param("let f: Result<u8, String> = 1u8;", ["expected enum `Result<", "found type `u8`"], id="a bare value"),
        pytest.param("let s = Settings { epochs: 3 };", ["missing fields", "..Settings::default()"], id="missing fields"),
        pytest.param("let s = Fit { epochs: 3 };", ["missing fields", "..Fit::default()"], id="of the library"),
        pytest.param("let s = Settings { epoch: 3, ..Settings::default() };", ["`let s = Settings { epochs: 3, ..Settings::default() };`", "the fields are epochs, rate, batch, seed, classes, width, depth"], id="a misspelt field"),
        pytest.param("Settings::default().colour", ["no field `colour`", "the fields are epochs, rate,"], id="a field that is not there"),
        pytest.param("let s = Fit { learningrate: 3, ..Fit::default() };", ["learning_rate", "the fields are epochs,", "loader_threads"], id="a field of the library"),
        pytest.param("let owned = String::new(); lend(owned, 2)", ["`lend(&owned, 2)`"], id="a suggestion in its line"),
        pytest.param('lend(2, "a")', ["fn lend(text: &str, times: usize) -> usize"], id="the signature"),
        pytest.param("let map = HashMap::from([(1, 2)]);", ["use std::collections::HashMap;"], id="an import"),
    ],
)  # fmt: skip
def test_a_compile_error_keeps_what_helps(kernel: Kernel, code: str, words: list[str]) -> None:
    kernel.good(SETTINGS)
    cell = kernel.run(code)
    assert cell.ename == "CompileError", cell.problem
    for word in words:
        assert word in cell.traceback, cell.traceback


@pytest.mark.parametrize(
    "code",
    [
        "let a = 1 let b = 2;",
        "let a: i32 = ; let b",
        "#[derive(Debug)] struct Hidden(u8); Err::<(), _>(Hidden(1))?;",
        "let r = &String::new();",
        "let x = 1; }",
        "fn f() -> i32 { let y = 1; }",
        "struct S<'a>(&'a str); let text = String::new(); let s = S(&text);",
        "let x = [1, 2, 3].iter().map(|x| x + 1).collect();",
        "5?",
    ],
)
def test_no_internal_name_is_shown(kernel: Kernel, code: str) -> None:
    cell = kernel.run(code)
    assert cell.ename == "CompileError", cell.problem
    for internal in ("evcxr", "Evcxr", "run_user_code", "benchbook::show", "target/cell", "ctx::"):
        assert internal not in cell.traceback + cell.evalue, cell.traceback


@pytest.mark.parametrize(
    ("code", "impossible"),
    [
        ("let p = Plain { a: 1, b: 2 }; drop(p); drop(p);", "clone()"),
        ("let file = std::fs::File::open(\"/dev/null\")?; drop(file); drop(file);", "clone()"),
        ("let t = Tensor::new(); drop(t); drop(t);", "t.clone()"),
        ('println!("{:?}", Box::new(|x: i32| x) as Box<dyn Fn(i32) -> i32>);', "derive"),
        ("let p = Plain { a: 1 };", "default()"),
        ("fn grow(v: &Vec<i32>) { v.push(1); }", "let mut v = v"),
        ("let c = chart::plot(&[1.0])?;", ":dep chart"),
    ],
)
def test_no_advice_is_given_that_cannot_work(kernel: Kernel, code: str, impossible: str) -> None:
    kernel.good(SETTINGS)
    cell = kernel.run(code)
    assert cell.ename == "CompileError", cell.problem
    assert impossible not in cell.traceback, cell.traceback


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        pytest.param(
            "let v = vec![1]; let w = v; v.len()", "pass a reference, `&v`", id="a moved variable"
        ),
        pytest.param(
            "let owner = String::new(); let lent = &owner;",
            "store an owned value",
            id="a borrow that cannot be kept",
        ),
        pytest.param(
            "let all = [1, 2].iter().map(|x| x + 1).collect();",
            "write the type down",
            id="a type that is not known",
        ),
        pytest.param("let a: f64 = 1;", "`1.0`, not `1`", id="an integer for a float"),
        pytest.param("let b = 2.0 * 3;", "`2.0` for a float", id="two kinds of numbers"),
        pytest.param("let c: usize = 1i64;", "as usize", id="an integer of another size"),
        pytest.param("let i = 0i32; [1.0][i]", "v[i as usize]", id="an index"),
        pytest.param('let n: i32 = "1".parse::<i32>();', "with `?`", id="a missing question mark"),
        pytest.param('"1".parse::<i32>().abs()', "put `?` before", id="a method of a result"),
        pytest.param("const N: i32 = 1; let n = N; n += 1;", "let mut", id="not mutable"),
        pytest.param("use no_such_crate::Thing;", ":dep no_such_crate", id="a crate"),
        pytest.param("fn two(a: i32, b: i32) {} two(1)", "Fit { epochs: 3", id="defaults"),
        pytest.param("fn one(a: i32) {} one(epochs = 3)", "Fit { epochs: 3", id="names"),
        pytest.param("let yes = True;", "`true`", id="Python's words"),
        pytest.param("struct Plain; println!(\"{:?}\", Plain);", "derive(Debug)", id="Debug"),
    ],
)
def test_the_usual_stumbling_blocks_come_with_what_to_do(
    kernel: Kernel, code: str, advice: str
) -> None:
    cell = kernel.run(code)
    assert cell.ename == "CompileError", cell.problem
    told = [line for line in cell.traceback.splitlines() if "what to do: " in line]
    assert len(told) == 1 and advice in told[0], cell.traceback
    assert "--> cell" in cell.traceback, "and with the place"


def test_a_variable_that_was_moved_in_an_earlier_cell_is_explained(kernel: Kernel) -> None:
    kernel.good("let travelled = vec![1];")
    count = kernel.good("drop(travelled);").reply["execution_count"]
    assert f"`travelled` was moved away in cell {count}" in kernel.run("travelled").traceback


def test_the_cell_is_named_that_took_a_variable_last(kernel: Kernel) -> None:
    first = kernel.run('let taken = vec![1]; panic!("first");').reply["execution_count"]
    assert f"cell {first} failed before it could keep" in kernel.run("taken").traceback
    second = kernel.run('let taken = vec![1]; panic!("second");').reply["execution_count"]
    assert f"cell {second} failed before it could keep" in kernel.run("taken").traceback
    third = kernel.good("let taken = vec![1]; drop(taken);").reply["execution_count"]
    assert f"moved away in cell {third}" in kernel.run("taken").traceback
    fourth = kernel.run('let taken = vec![1]; panic!("fourth");').reply["execution_count"]
    assert f"cell {fourth}" not in kernel.run("taken").traceback, "the third cell had it"
    kernel.good("let taken = vec![2];")
    fifth = kernel.good("drop(taken);").reply["execution_count"]
    assert f"moved away in cell {fifth}" in kernel.run("taken").traceback


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("vec![1]", "`lent.clone()`"),
        ("Tensor::from_slice(&[1.0])", "`lent.shallow_clone()`"),
        ("std::fs::File::open(\"/dev/null\")?", None),
    ],
)
def test_a_copy_of_a_moved_variable_is_advised_if_there_can_be_one(
    kernel: Kernel, value: str, advice: str | None
) -> None:
    kernel.good(f"let lent = {value};")
    kernel.good("drop(lent);")
    told = kernel.run("lent").traceback
    assert "`&lent`" in told
    assert (advice in told) if advice else ("clone()" not in told), told


def test_an_ignored_result_is_warned_of_and_the_cell_runs(kernel: Kernel) -> None:
    cell = kernel.good('let a = 1;\n"x".parse::<i32>();\nprintln!("ran");')
    assert "unused `Result`" in cell.stderr and "line 2, column 1" in cell.stderr
    assert "put `?` before the semicolon" in cell.stderr
    assert cell.stdout == "ran\n"
    assert kernel.good("println!(\"quiet\");").stderr == "", "once, by the cell that does it"


def test_errors_are_plain_text_where_no_color_is_set(kernels) -> None:
    kernel = kernels({"NO_COLOR": "1"})
    cell = kernel.run("missing + 1")
    assert cell.ename == "CompileError"
    assert "\x1b" not in "".join(cell.reply["traceback"])
    assert "--> cell 1, line 1, column 1" in cell.traceback


def test_variables_survive_a_compile_error(kernel: Kernel) -> None:
    kernel.good("let before = vec![1, 2];")
    assert kernel.run("let lost = before; missing").ename == "CompileError"
    assert kernel.value("before") == "[1, 2]"


@pytest.mark.parametrize(
    ("code", "evalue", "where"),
    [
        pytest.param('let a = 1;\npanic!("boom {a}");', "boom 1", "line 2, column 1", id="panic"),
        pytest.param(
            "let v = vec![1];\nlet i = v.len();\nv[i]",
            "index out of bounds",
            "line 3, column 2",
            id="index",
        ),
        pytest.param(
            'let a: Result<i32, &str> = Err("bad");\n\na.unwrap();',
            "bad",
            "line 3, column 3",
            id="unwrap",
        ),
        pytest.param(
            'let ü = 1; if ü == 1 { panic!("boom") }',
            "boom",
            "line 1, column 24",
            id="after text that is not ASCII",
        ),
        pytest.param(
            'for i in 0..3 { assert!(i < 2, "too far: {i}"); }',
            "too far: 2",
            "line 1, column 17",
            id="in a loop",
        ),
    ],
)
def test_a_panic_says_what_and_where(kernel: Kernel, code: str, evalue: str, where: str) -> None:
    cell = kernel.run(code)
    assert_error(cell, "Panic", evalue)
    assert place(cell) == where, cell.traceback
    assert cell.stderr == "", "the message is not printed a second time"


FLOATS = "(Kind::Float, Device::Cpu)"


@pytest.mark.parametrize(
    ("code", "evalue", "line"),
    [
        pytest.param(
            f"let a = Tensor::ones([2, 3], {FLOATS});\nlet b = Tensor::ones([4, 5], {FLOATS});\na.matmul(&b)",
            "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
            "line 3",
            id="matmul",
        ),
        pytest.param(
            "let t = Tensor::from_slice(&[1.0, 2.0]);\n\nlet u = t.reshape([3]);",
            "shape '[3]' is invalid for input of size 2",
            "line 3",
            id="reshape in a let",
        ),
        pytest.param(
            f"fn joined(t: &Tensor) -> Tensor {{\n    let u = Tensor::zeros([2, 2], {FLOATS});\n    t + u\n}}\n"
            "joined(&Tensor::from_slice(&[1.0, 2.0, 3.0]))",
            "The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension 1",
            "line 3",
            id="an operator in a function",
        ),
        pytest.param(
            "for i in 1..4 {\n    let t = Tensor::from_slice(&[1.0, 2.0]);\n    t.narrow(0, i, 1).print();\n}",
            "start (2) + length (1) exceeds dimension size (2).",
            "line 3",
            id="in a loop",
        ),
    ],
)
def test_a_tensor_error_is_libtorchs_first_line_and_the_users(
    kernel: Kernel, code: str, evalue: str, line: str
) -> None:
    cell = kernel.run(code)
    assert_error(cell, "Panic", "")
    assert cell.evalue == evalue
    assert place(cell).startswith(line + ","), cell.traceback
    assert code.splitlines()[int(line.split()[1]) - 1].strip() in cell.traceback, "the user's own line"
    for noise in ("frame #", "Exception raised", ".cargo", "wrappers/"):
        assert noise not in cell.traceback, cell.traceback


@pytest.mark.parametrize(
    "code", ["let u = t.f_reshape([3])?;", "t.f_matmul(&t.f_reshape([3])?)?", "fn f(t: &Tensor) -> Result<Tensor, Box<dyn std::error::Error>> { Ok(t.f_reshape([3])?) }\nf(&t)?"]
)
def test_a_tensor_error_of_a_question_mark_is_told_in_the_same_way(kernel: Kernel, code: str) -> None:
    kernel.good("let t = Tensor::from_slice(&[1.0, 2.0]);")
    cell = kernel.run(code)
    assert cell.status == "error", cell.problem
    assert cell.evalue == "shape '[3]' is invalid for input of size 2"
    assert "frame #" not in cell.traceback and code.splitlines()[-1] in cell.traceback, cell.traceback


@pytest.mark.parametrize(
    "hook",
    [
        "std::panic::set_hook(Box::new(|_| {}));",
        "drop(std::panic::take_hook());",
        "{ let _before = std::panic::take_hook(); std::panic::set_hook(Box::new(|_| {})); }",
        "{ let before = std::panic::take_hook(); std::panic::set_hook(Box::new(move |info| before(info))); }",
        'for _ in 0..3 { std::panic::set_hook(Box::new(|info| println!("mine: {info}"))); }',
    ],
    ids=["silent", "taken", "taken and set", "chained", "again and again"],
)
def test_a_panic_hook_of_the_users_hides_neither_message_nor_line(kernels, hook: str) -> None:
    kernel = kernels()
    kernel.good(hook)
    kernel.good("let numbers = vec![1, 2, 3];\nlet last: usize = numbers.len() + 4;")
    for _ in range(2):
        cell = kernel.run("let a = 1;\nnumbers[last]")
        assert_error(cell, "Panic", "index out of bounds: the len is 3 but the index is 7")
        assert place(cell).startswith("line 2,"), cell.traceback
        assert ("mine: " in cell.stdout) == ("mine" in hook)
    cell = kernel.run(f'{hook}\npanic!("in the same cell");')
    assert_error(cell, "Panic", "in the same cell")
    assert place(cell).startswith("line 2,"), cell.traceback


def test_a_panic_that_is_raised_again_is_told(kernel: Kernel) -> None:
    cell = kernel.run('std::panic::resume_unwind(Box::new("raised without a hook"));')
    assert_error(cell, "Panic", "raised without a hook")
    cell = kernel.run(
        'drop(std::panic::catch_unwind(|| panic!("first")));\n'
        'std::panic::resume_unwind(Box::new(String::from("second")));'
    )
    assert_error(cell, "Panic", "second")


def test_a_panic_in_a_function_of_an_earlier_cell_says_so(kernel: Kernel) -> None:
    kernel.good('fn fails(x: i32) -> i32 {\n    if x > 0 { panic!("from below") }\n    x\n}')
    cell = kernel.run("let a = 1;\nfails(a)")
    assert_error(cell, "Panic", "from below")
    assert "earlier cell" in cell.traceback and 'panic!("from below")' in cell.traceback, (
        cell.traceback
    )


def test_a_panic_shows_the_users_line(kernel: Kernel) -> None:
    cell = kernel.run('let a = 1;\nif a == 1 { panic!("boom") }')
    lines = cell.traceback.splitlines()
    at = next(i for i, line in enumerate(lines) if "panic!(" in line)
    assert lines[at].endswith('if a == 1 { panic!("boom") }')
    assert lines[at + 1].index("^") == lines[at].index("panic!")


@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ('let other = given; panic!("boom {}", other.len());', "Panic"),
        ('drop(given); let n: i32 = "x".parse()?;', "ParseIntError"),
    ],
)
def test_a_failing_cell_names_the_variables_that_it_had_moved(
    kernel: Kernel, code: str, ename: str
) -> None:
    kernel.good("let given = vec![1]; let untouched = 5;")
    cell = kernel.run(code)
    assert cell.ename == ename, cell.problem
    assert "lost variables: given " in cell.traceback, cell.traceback
    assert "was lost in cell" in kernel.run("given").traceback
    assert kernel.value("untouched") == "5"


@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ('println!("{}", waiting.len());\npanic!("early");\ndrop(waiting);', "Panic"),
        ('let n: i32 = "x".parse()?;\ndrop(waiting);', "ParseIntError"),
        ('panic!("early");\nlet waiting = waiting.len();', "Panic"),
        ('println!("{}", waiting.len());\npanic!("early");\nlet waiting = waiting.len();', "Panic"),
        ('panic!("early");\nlet waiting = "another";', "Panic"),
        ('panic!("early");\nlet (first, _) = waiting.split_at(1);\ndrop(first.to_vec()); drop(waiting);', "Panic"),
        ('panic!("early");\nif other > 0 {\n    drop(waiting);\n} else {\n    let _taken = waiting;\n}', "Panic"),
        ('panic!("early"); std::thread::spawn(move || waiting.len()).join().unwrap()', "Panic"),
        ('panic!("early"); let pair = (waiting, more); drop(pair);', "Panic"),
        (
            'match "x".parse::<i32>() {\n    Ok(n) => {\n        println!("{n}");\n        drop(waiting);\n    }\n'
            '    Err(e) => panic!("early {e}"),\n}',
            "Panic",
        ),
    ],
    ids=[
        "a later statement moves it",
        "a question mark",
        "bound anew from itself",
        "named before and bound anew",
        "bound anew",
        "borrowed and moved",
        "moved in two branches",
        "moved into a thread",
        "two variables at once",
        "moved in another branch",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mutability", ["", "mut "], ids=["let", "let mut"])
def test_a_variable_that_only_a_later_statement_moves_is_kept(
    kernel: Kernel, mutability: str, code: str, ename: str
) -> None:
    kernel.good(f"let {mutability}waiting = vec![1, 2]; let more = String::from(\"more\"); let other = 5;")
    cell = kernel.run(code)
    assert cell.ename == ename, cell.problem
    assert "lost variables" not in cell.traceback, cell.traceback
    if ename == "Panic":
        assert "panic!(" in cell.traceback and "early" in cell.evalue, cell.traceback
    assert kernel.value("(&waiting, &more, other)") == '([1, 2], "more", 5)'
    pushed = kernel.run("waiting.push(3);")
    assert (pushed.status == "ok") == bool(mutability), pushed.problem


def test_what_a_cell_moves_is_dropped_once_and_in_time(kernel: Kernel) -> None:
    kernel.good("struct Told(&'static str);")
    kernel.good('impl Drop for Told { fn drop(&mut self) { println!("dropped {}", self.0); } }')
    kernel.good('let first = Told("first"); let second = Told("second");')
    assert kernel.good('println!("a"); drop(first); println!("b");').stdout == "a\ndropped first\nb\n"
    cell = kernel.run('println!("a"); if second.0.is_empty() { drop(second); } panic!("after");')
    assert (cell.ename, cell.stdout) == ("Panic", "a\ndropped second\n"), cell.problem
    assert "lost variables: second " in cell.traceback, "its statement had begun"
    kernel.good('let third = Told("third");')
    assert kernel.run('panic!("before"); drop(third);').stdout == ""
    assert kernel.value("third.0") == '"third"'
    assert kernel.good('let third = Told("new");').stdout == "dropped third\n"
    assert kernel.good("drop(third);").stdout == "dropped new\n"


def test_errors_of_a_cell_that_also_moves_are_the_users(kernel: Kernel) -> None:
    kernel.good("let sent = vec![1];")
    twice = kernel.run("let a = sent;\nlet b = sent;")
    assert twice.ename == "CompileError" and "E0382" in twice.evalue, twice.problem
    borrowed = kernel.run("{\n    let kept = &sent;\n    drop(sent);\n    kept.len();\n}")
    assert borrowed.ename == "CompileError" and "E0505" in borrowed.evalue, borrowed.problem
    changed = kernel.run("sent.push(1);\nlet sent = sent.len();")
    assert changed.ename == "CompileError" and "E0596" in changed.evalue, changed.problem
    assert kernel.value("sent") == "[1]"


def test_a_variable_of_a_failed_cell_is_explained(kernel: Kernel) -> None:
    failed = kernel.run('let unborn = vec![1]; panic!("after it");')
    assert failed.ename == "Panic", failed.problem
    count = failed.reply["execution_count"]
    assert f"cell {count} failed before it could keep" in kernel.run("unborn").traceback


def test_variables_survive_a_panic(kernel: Kernel) -> None:
    kernel.good('let kept = String::from("kept"); let mut changed = 1;')
    assert kernel.run('changed += 1; println!("{kept}"); panic!("boom");').ename == "Panic"
    assert kernel.value("(kept.as_str(), changed)") == '("kept", 2)'


def test_a_binding_that_fails_leaves_the_old_value(kernel: Kernel) -> None:
    kernel.good('let bound_again = String::from("old"); let mut twice = vec![1];')
    for cell in (
        'let bound_again: i64 = "x".parse()?;',
        'let (bound_again, twice) = (1, "x".parse::<i64>()?);',
        'let twice = 2.0; let bound_again = 1; panic!("after both");',
        "let bound_again: u8 = None.unwrap();",
    ):
        kernel.run(cell)
        assert kernel.value("(bound_again.as_str(), twice.len())") == '("old", 1)', cell
    kernel.good("twice.push(2);")
    kernel.good("let bound_again = 1; let twice = bound_again + 1;")
    assert kernel.value("(bound_again, twice)") == "(1, 2)"


def test_a_return_before_the_end_is_an_error_where_variables_would_be_lost(kernel: Kernel) -> None:
    kernel.good("let early = 1;")
    cell = kernel.run('let early = 5; let unkept = 6; if early > 3 { return Ok(()); } println!("{unkept}");')
    assert cell.ename == "EarlyReturn" and "`return`" in cell.evalue, cell.problem
    assert kernel.value("early") == "1"
    assert "failed before it could keep" in kernel.run("unkept").traceback
    assert kernel.good('let early = 7; if early > 8 { return Ok(()); } println!("end");').stdout == "end\n"
    assert kernel.value("early") == "7"
    assert kernel.good('if early > 3 { println!("there"); return Ok(()); } println!("end");').stdout == "there\n"


def test_what_was_printed_before_an_error_comes_before_it(kernel: Kernel) -> None:
    cell = kernel.run('print!("before"); panic!("boom");')
    assert cell.events == [("stdout", "before"), ("error", "Panic")]


def test_a_panic_that_is_caught_is_no_error(kernel: Kernel) -> None:
    assert kernel.value('std::panic::catch_unwind(|| { panic!("inner") }).is_err()') == "true"


def test_a_panic_of_another_thread_is_printed_and_is_no_error(kernel: Kernel) -> None:
    cell = kernel.good(
        'let joined = std::thread::spawn(|| { panic!("in the thread") }).join().is_err(); joined'
    )
    assert cell.result["text/plain"] == "true"
    assert "in the thread" in cell.stderr


def test_a_failing_question_mark_is_named_by_its_error(kernel: Kernel) -> None:
    cell = kernel.run('let text = "x1";\nlet number: i32 = text.parse()?;')
    assert_error(cell, "ParseIntError", "invalid digit")
    assert place(cell).startswith("line 2,"), cell.traceback
    assert cell.stderr == "", "the error is not printed a second time"


@pytest.mark.parametrize(
    ("code", "ename", "evalue"),
    [
        ('std::fs::read_to_string("/does/not/exist")?;', "Error", "No such file"),
        ('Err::<(), String>("plain text".into())?;', "String", "plain text"),
        ('Err::<i32, Box<dyn std::error::Error>>("boxed".into())?', "Error", "boxed"),
    ],
)
def test_any_error_type_ends_a_cell(kernel: Kernel, code: str, ename: str, evalue: str) -> None:
    cell = kernel.run(code)
    assert cell.status == "error", cell.problem
    assert ename in cell.ename, cell.problem
    assert evalue in cell.evalue, cell.problem


def test_a_question_mark_that_succeeds_is_a_result(kernel: Kernel) -> None:
    assert kernel.value('"12".parse::<i32>()?') == "12"


def test_variables_survive_a_failing_question_mark(kernel: Kernel) -> None:
    kernel.good("let held = vec![1.5];")
    assert (
        kernel.run('println!("{}", held.len()); let n: i32 = "x".parse()?;').ename
        == "ParseIntError"
    )
    assert kernel.value("held") == "[1.5]"


def test_execution_goes_on_counting_after_errors(kernel: Kernel) -> None:
    first = kernel.run("missing").reply["execution_count"]
    assert kernel.good("1").reply["execution_count"] == first + 1


def test_cells_that_wait_behind_an_error_are_aborted(kernel: Kernel) -> None:
    cells = [
        kernel.start(code)
        for code in ('panic!("first")', 'println!("second")', 'println!("third")')
    ]
    for cell in cells:
        cell.finish()
    assert [cell.status for cell in cells] == ["error", "aborted", "aborted"]
    assert cells[1].stdout == cells[2].stdout == ""


def test_cells_that_wait_run_if_the_client_says_so(kernel: Kernel) -> None:
    first = kernel.start('panic!("first")', stop_on_error=False)
    second = kernel.start('println!("second")')
    assert first.finish().status == "error"
    assert second.finish().stdout == "second\n"

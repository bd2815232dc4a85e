"""What one cell leaves to the next: variables, items, evcxr's commands, the user's own crates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from driver import Kernel


def test_variables_persist(kernel: Kernel) -> None:
    kernel.good('let number = 41; let text = String::from("owned"); let mut list = vec![1];')
    kernel.good("list.push(number + 1);")
    assert kernel.value("(number, &text, &list)") == '(41, "owned", [1, 42])'


def test_a_variable_may_change_its_type(kernel: Kernel) -> None:
    kernel.good("let shape = 1;")
    kernel.good('let shape = "now a string".to_string();')
    assert kernel.value("shape.len()") == "12"


def test_functions_structs_traits_and_constants_persist(kernel: Kernel) -> None:
    kernel.good("#[derive(Debug, Clone)] struct Point { x: f64, y: f64 }")
    kernel.good(
        "trait Area { fn area(&self) -> f64; }"
        "impl Area for Point { fn area(&self) -> f64 { self.x * self.y } }"
    )
    kernel.good(
        "const FACTOR: f64 = 2.0;\n"
        "fn scaled(p: &Point) -> Point { Point { x: p.x * FACTOR, y: p.y * FACTOR } }"
    )
    kernel.good("let corner = Point { x: 1.0, y: 3.0 };")
    assert kernel.value("scaled(&corner)") == "Point { x: 2.0, y: 6.0 }"
    assert kernel.value("corner.area()") == "3.0"


def test_a_function_can_be_defined_anew(kernel: Kernel) -> None:
    kernel.good("fn answer() -> i32 { 1 }")
    kernel.good("fn answer() -> i32 { 2 }")
    assert kernel.value("answer()") == "2"


def test_a_closure_works_within_a_block_and_persists_in_a_box(kernel: Kernel) -> None:
    assert kernel.value("{ let add = |a: i32| a + 1; add(2) }") == "3"
    kernel.good("let boxed: Box<dyn Fn(i32) -> i32> = Box::new(|a| a + 1);")
    assert kernel.value("boxed(4)") == "5"


def test_a_closure_that_cannot_persist_is_told_with_the_way_out(kernel: Kernel) -> None:
    cell = kernel.run("let bare = |a: i32| a + 1; bare(2)")
    assert cell.status == "error"
    assert "closure" in cell.evalue and "Box" in cell.evalue, cell.problem


def test_imports_persist(kernel: Kernel) -> None:
    kernel.good("use std::collections::BTreeMap;")
    assert kernel.value("BTreeMap::from([(1, 2)])") == "{1: 2}"


def test_the_helper_library_is_there_without_a_word(kernel: Kernel) -> None:
    assert kernel.value("Tensor::ones([2], (Kind::Float, Device::Cpu)).size()") == "[2]"
    assert kernel.value('benchbook::serde_json::json!({ "a": 1 }).to_string()') == json.dumps(
        '{"a":1}'
    )


def test_a_library_macro_prints_into_the_cell(kernel: Kernel) -> None:
    assert kernel.good("assert_eq!(1 + 1, 2); dbg!(3);").stderr.rstrip().endswith("3 = 3")


def test_vars_lists_the_variables(kernel: Kernel) -> None:
    kernel.good("let listed: u16 = 7;")
    data = kernel.good(":vars").result
    assert "listed" in data["text/plain"] and "u16" in data["text/plain"]
    assert "listed" in data["text/html"]


def test_help_lists_the_commands(kernel: Kernel) -> None:
    text = kernel.good(":help").result["text/plain"]
    assert all(command in text for command in (":dep", ":vars", ":clear", ":opt"))


def test_an_unknown_command_is_an_error(kernel: Kernel) -> None:
    cell = kernel.run(":nonsense")
    assert cell.status == "error"
    assert "nonsense" in cell.evalue, cell.problem


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crate without dependencies, so that no network is needed."""
    folder = tmp_path_factory.mktemp("crate") / "tally"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "tally"\nversion = "0.1.0"\nedition = "2021"\n'
    )
    (folder / "src/lib.rs").write_text(
        "/// Counts.\n#[derive(Debug, Default)]\npub struct Tally(pub u32);\n"
        "impl Tally {\n    /// One more.\n"
        '    pub fn add(&mut self) { self.0 += 1; println!("added"); }\n}\n'
    )
    return folder


def test_a_crate_of_the_users_own_works_beside_the_helper_library(
    kernel: Kernel, crate: Path
) -> None:
    kernel.good("let before = Tensor::ones([3], (Kind::Float, Device::Cpu));")
    kernel.good(f':dep tally = {{ path = "{crate}" }}')
    kernel.good("let mut tally = tally::Tally::default();")
    assert kernel.good("tally.add();").stdout == "added\n", "prints of other crates are caught"
    assert kernel.value("tally") == "Tally(1)"
    assert kernel.value("before.sum(Kind::Float).double_value(&[])") == "3.0", "variables are kept"
    assert "image/svg+xml" in kernel.good("benchbook::chart::plot(&[1.0, 2.0])?").result


def test_an_edited_local_crate_is_compiled_again(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "edited"\nversion = "1.0.0"\nedition = "2024"\n')
    (tmp_path / "src/lib.rs").write_text("pub fn answer() -> i32 { 41 }\n")
    kernel.good(f':dep edited = {{ path = "{tmp_path}" }}')
    assert kernel.value("edited::answer()") == "41"
    (tmp_path / "src/lib.rs").write_text("pub fn answer() -> i32 { 40 + 2 }\n")
    assert kernel.value("edited::answer()") == "42"
    kernel.good(":clear")


def test_commands_that_cannot_work_are_refused_with_what_to_do(kernel: Kernel) -> None:
    cell = kernel.run(":toolchain nightly")
    assert cell.ename == "CommandError" and "rustup default" in cell.evalue, cell.problem
    assert kernel.value("6 * 7") == "42", "the session goes on"


def test_a_crate_that_is_not_there_is_named(kernel: Kernel, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    cell = kernel.run(f':dep nowhere = {{ path = "{missing}" }}')
    assert cell.status == "error"
    assert str(missing) in cell.evalue + cell.traceback, cell.problem
    assert kernel.value("1 + 1") == "2", "the session goes on without it"


def test_clear_forgets_variables_and_keeps_the_helper_library(kernel: Kernel) -> None:
    kernel.good("let forgotten = 1;")
    kernel.good(":clear")
    assert kernel.run("forgotten").ename == "CompileError"
    assert kernel.value("Tensor::ones([2], (Kind::Float, Device::Cpu)).size()") == "[2]"
    assert kernel.good('println!("still caught");').stdout == "still caught\n"

"""How often a cell that fails is compiled: the log counts the calls of the stand-in for cargo and of rustc."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driver import Cell, Kernel

BUILD = re.compile(r"(Compiling|Checking) the cell: calls of rustc: (\d+)")

Counted = Callable[[str], tuple[Cell, list[tuple[str, int]]]]


@pytest.fixture(scope="module")
def counted(private_folders: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    """Runs a cell and returns it with its builds, each with the calls of rustc."""
    log = tmp_path_factory.mktemp("builds") / "log"
    kernel = Kernel({"BENCHBOOK_LOG": "benchbook_kernel=info"}, log=log)

    def run(code: str) -> tuple[Cell, list[tuple[str, int]]]:
        before = len(builds(log))
        cell = kernel.run(code)
        return cell, builds(log)[before:]

    for code in [
        "let number = 1; let text = String::from(\"a\"); let list = vec![text.clone()];",
        "#[derive(Debug)] struct Cat { lives: u8 }\nimpl Cat { fn new() -> Self { Cat { lives: 9 } } }\nfn feed(cat: &Cat) -> u8 { cat.lives }",
        "use std::collections::BTreeMap;\nlet cat = Cat::new();",
        "fn feed(cat: &Cat) -> u8 { cat.lives + 1 }",
    ]:
        cell, found = run(code)
        assert cell.status == "ok" and len(found) == 1, (cell.problem, found)
    yield run
    kernel.stop()


def builds(log: Path) -> list[tuple[str, int]]:
    return [(what, int(calls)) for what, calls in BUILD.findall(log.read_text())]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("let x = 1u32.no_such_method();", "E0599"),
        ("let x = no_such_name;", "E0425"),
        ("let x = no_such_crate::f();", "E0433"),
        ("let x = cat.no_such_field;", "E0609"),
        ("let x = feed(&cat).no_such_method(number);", "E0599"),
        ("let x = cat.new_name();\nlet y = x.other();", "E0599"),
        ("fn own() -> u8 { 1 }\nlet x = own().no_such_method();", "E0599"),
    ],
)
def test_a_let_without_a_type_is_checked_once(counted: Counted, code: str, error: str) -> None:
    cell, found = counted(code)
    assert cell.ename == "CompileError" and error in cell.evalue, cell.problem
    assert found == [("Checking", 1)]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ('fn broken() -> u8 { "text" }', "E0308"),
        ("fn broken() { no_such_name }", "E0425"),
        ("struct Broken { a: NoSuchType }", "NoSuchType"),
        ("impl NoSuchTrait for Cat {}", "E0405"),
        ("impl Cat { fn broken(&self) -> u8 { self.no_such_field } }", "E0609"),
        ('fn feed(cat: &Cat) -> u8 { "again" }', "E0308"),
        ("use no_such_crate::Thing;", "E0432"),
        ("use std::collections::NoSuchMap as BTreeMap;", "E0432"),
        ("mod inner { pub fn f() -> u8 { super::no_such_name } }", "E0425"),
        ("const BROKEN: u8 = 256;", "out of range"),
        ("macro_rules! broken { () => { no_such_name } }\nfn caller() -> u8 { broken!() }", "E0425"),
    ],
)
def test_items_that_do_not_compile_are_compiled_once(counted: Counted, code: str, error: str) -> None:
    cell, found = counted(code)
    assert cell.ename == "CompileError" and error in cell.evalue + cell.traceback, cell.problem
    assert found == [("Compiling", 1)]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ('let x: u8 = "text";', "E0308"),
        ("number.no_such_method()", "E0599"),
        ('number + "text"', "E0277"),
        ("feed(number)", "E0308"),
        ("{ let mut v = vec![1]; let first = &v[0]; v.push(2); *first }", "E0502"),
        ("let v = vec![1]; drop(v); v.len()", "E0382"),
        ("return 1;", "E0308"),
    ],
)
def test_statements_that_do_not_compile_are_compiled_twice(counted: Counted, code: str, error: str) -> None:
    """evcxr compiles them once more without catching panics, for a better message."""
    cell, found = counted(code)
    assert cell.ename == "CompileError" and error in cell.evalue, cell.problem
    assert found == [("Compiling", 1)] * 2
    assert counted("(number, &text, list.len())")[0].status == "ok"


def test_an_item_that_no_longer_fits_is_set_aside_by_one_more_build(counted: Counted) -> None:
    counted("struct Dog { age: u8 }\nfn walk(dog: &Dog) -> u8 { dog.age }")
    cell, found = counted("struct Dog { name: String }")
    assert cell.status == "ok" and "`walk` no longer compiles" in cell.stderr, cell.problem
    assert found == [("Compiling", 1)] * 2


def test_a_trait_is_looked_up_once_for_the_type_of_a_variable(counted: Counted) -> None:
    counted("fn writer() -> Box<dyn std::fmt::Write> { Box::new(String::new()) }\nfn hasher() -> Box<dyn std::hash::Hasher> { Box::new(std::hash::DefaultHasher::new()) }")
    cell, found = counted("let mut out = writer(); let mut hash = hasher();")
    assert cell.status == "ok" and len(found) == 1 and found[0][1] > 1, (cell.problem, found)
    cell, found = counted("hash.write(b\"a\"); out.write_str(\"b\")?;")
    assert cell.status == "ok" and found == [("Compiling", 1)], (cell.problem, found)

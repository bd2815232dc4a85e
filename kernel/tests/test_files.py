"""Files next to the notebook: paths are those of the folder in which the kernel was started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from driver import Kernel


@pytest.fixture
def notebook(kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A kernel whose notebook is in a folder with a blank in its name."""
    folder = tmp_path / "my notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return kernels()


def write(**files: str) -> None:
    for name, text in files.items():
        path = Path(name.replace("__", "/") + (".rs" if "." not in name else ""))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_cells_of_the_report(notebook: Kernel, tmp_path: Path) -> None:
    """evcxr#276."""
    notebook.good('std::fs::write("helpers_bb.rs", "pub fn twice(x: i32) -> i32 { 2 * x }\\n")?;')
    Path("greeting_bb.txt").write_text("hello from a file\n")
    assert notebook.value('include_str!("greeting_bb.txt")') == '"hello from a file\\n"'
    assert notebook.value('let raw: &\'static [u8] = include_bytes!("greeting_bb.txt");\nraw.len()') == "18"
    notebook.good("mod helpers_bb;")
    assert notebook.value("helpers_bb::twice(21)") == "42"
    notebook.good('include!("helpers_bb.rs");')
    assert notebook.value("twice(4)") == "8"
    assert notebook.value('env!("CARGO_MANIFEST_DIR")') == f'"{tmp_path}/my notebooks"'


def test_variables_have_the_types_of_a_module_in_files(notebook: Kernel) -> None:
    write(
        shapes="mod area;\npub use area::Area;\n/// A square.\n#[derive(Debug, Clone)]\npub struct Square(pub f32);\n"
        "impl Square {\n    /// Its area.\n    pub fn area(&self) -> Area { Area(self.0 * self.0) }\n}\n",
        shapes__area="/* An area. */\n#[derive(Debug)]\npub struct Area(pub f32);\n",
        units__mod='pub const NAME: &str = "one\ntwo";\npub mod inner;\n',
        units__inner='pub fn read() -> &\'static str { include_str!("../data.txt") }\n',
    )
    Path("data.txt").write_text("of a module")
    notebook.good("mod shapes;\nmod units;")
    notebook.good("let square = shapes::Square(3.0);\nlet area = square.area();")
    assert notebook.value("(square.clone(), area)") == "(Square(3.0), Area(9.0))"
    notebook.good("let text = units::inner::read();\nlet lines = units::NAME.lines().count();")
    assert notebook.value("(text, lines)") == '("of a module", 2)'
    notebook.good("use shapes::Square;\nlet squares: Vec<Square> = vec![Square(1.0)];")
    assert notebook.value("squares.len()") == "1"


def test_a_module_is_read_anew_when_its_file_has_changed(notebook: Kernel) -> None:
    write(speed="pub fn limit() -> u32 { 50 }\n")
    notebook.good("mod speed;")
    assert notebook.value("speed::limit()") == "50"
    write(speed="pub fn limit() -> u32 { 70 }\npub fn unit() -> String { \"km/h\".into() }\n")
    assert notebook.value("speed::limit()") == "70"
    notebook.good("mod speed;")
    notebook.good("let unit = speed::unit();")
    assert notebook.value("unit") == '"km/h"'


def test_paths_that_are_composed_or_lead_elsewhere(notebook: Kernel) -> None:
    write(sub__helpers="pub fn one() -> i32 { 1 }\n")
    Path("../outside.txt").write_text("outside")
    Path("sub/value.in").write_text("[1, 2,\n 3]\n")
    assert notebook.value('include_str!(concat!("../", "outside.txt"))') == '"outside"'
    assert notebook.value('include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sub/value.in")).len()') == "11"
    notebook.good('let values = include!("sub/value.in");')
    assert notebook.value("values.iter().sum::<i32>()") == "6"
    notebook.good('#[path = "sub/helpers.rs"]\nmod helpers;')
    assert notebook.value("helpers::one()") == "1"
    notebook.good('const TEXT: &str = include_str!("../outside.txt");\nfn text() -> &\'static str { TEXT }')
    assert notebook.value("text()") == '"outside"'


def test_included_items_are_items_of_the_session(notebook: Kernel) -> None:
    write(
        items="// Things.\nuse std::collections::BTreeMap;\n#[derive(Debug, Default)]\nstruct Bag { things: BTreeMap<String, u32> }\n"
        'impl Bag {\n    fn add(&mut self, thing: &str) {\n        *self.things.entry(thing.into()).or_default() += 1; // one\n    }\n}\n',
    )
    notebook.good('include!("items.rs")')
    notebook.good("let mut bag = Bag::default();\nbag.add(\"a\");")
    assert notebook.value("bag.add(\"a\");\nbag.things") == '{"a": 2}'


def test_what_is_missing_or_wrong_is_named(notebook: Kernel) -> None:
    cell = notebook.run("mod nowhere;")
    assert cell.ename == "CompileError" and "nowhere" in cell.evalue, cell.problem
    cell = notebook.run('include_str!("nothing.txt")')
    assert cell.ename == "CompileError" and "nothing.txt" in cell.evalue + cell.traceback, cell.problem
    write(broken="pub fn f() -> i32 { \"text\" }\n")
    cell = notebook.run("mod broken;")
    assert cell.ename == "CompileError" and "mismatched types" in cell.evalue, cell.problem
    assert "in broken.rs, line 1: `pub fn f() -> i32" in cell.evalue, cell.problem
    assert notebook.value("6 * 7") == "42", "the session goes on"


def test_errors_of_a_cell_that_names_a_file_have_the_cells_lines(notebook: Kernel) -> None:
    write(fine="pub fn f() -> i32 { 1 }\n")
    notebook.good("mod fine;")
    cell = notebook.run("let a = fine::f();\nlet b: String = a + 1;")
    assert "mismatched types" in cell.evalue and "2" in cell.traceback, cell.problem
    cell = notebook.run('let v = vec![fine::f()];\nlet at = 3;\nv[at]')
    assert cell.ename == "Panic" and "line 3" in cell.traceback, cell.traceback

"""Parameters for notebooks in Rust, as papermill finds them by its entry points."""

import importlib.metadata
import shutil
import subprocess
import sys
from datetime import date

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.inspection import inspect_notebook
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from papermill.translators import papermill_translators


def code(**parameters):
    return papermill_translators.find_translator("benchbook", "rust").codify(parameters)


def notebook(*cells):
    made = new_notebook(cells=list(cells))
    made.metadata.kernelspec = {"name": "benchbook", "display_name": "Rust (Benchbook)", "language": "rust"}
    return made


@pytest.fixture
def path(tmp_path):
    settings = new_code_cell('let scale = String::from("auto"); // how large\nlet seed: i64 = 1;', metadata={"tags": ["parameters"]})
    nbformat.write(notebook(settings, new_code_cell("seed")), tmp_path / "small.ipynb")
    return tmp_path / "small.ipynb"


def test_each_type_becomes_a_let_with_its_type():
    assert code(name="cats", seed=-3, rate=0.5, rotate=True).splitlines() == [
        "// Parameters",
        'let name: String = String::from("cats");',
        "let seed: i64 = -3_i64;",
        "let rate: f64 = 0.5_f64;",
        "let rotate: bool = true;",
    ]
    assert "let large: u64 = 18446744073709551615_u64;" in code(large=2**64 - 1)
    assert "let wide: i128 = 18446744073709551616_i128;" in code(wide=2**64)
    assert 'let day: String = String::from("2019-11-30");' in code(day=date(2019, 11, 30))


def test_lists_of_one_type_are_vectors_and_everything_else_is_json():
    assert 'let sizes: Vec<i64> = vec![32_i64, 224_i64];' in code(sizes=[32, 224])
    assert "let grid: Vec<Vec<f64>> = vec![vec![0.5_f64], vec![1.0_f64]];" in code(grid=[[0.5], [1.0]])
    for value in ({"a": 1}, [1, "a"], []):
        assert "let value: benchbook::serde_json::Value = benchbook::serde_json::from_str" in code(value=value)
    assert "= benchbook::serde_json::Value::Null;" in code(value=None)


def test_names_that_are_none_in_rust_are_refused():
    for name in ("type", "two words", "1st", "_"):
        with pytest.raises(ValueError, match="Rust variable"):
            code(**{name: 1})


@pytest.mark.skipif(shutil.which("rustc") is None, reason="rustc is not in PATH")
def test_rustc_reads_every_value_back(tmp_path):
    text = 'quote " backslash \\ newline \n nul \0 tab \t bell \a Độ chính xác 🐱 {braces} \u202e'
    statements = code(text=text, low=-(2**63), tiny=5e-324, huge=1e308, minus=-0.0, none=float("nan"), no=float("-inf"), many=["a", "ü"])
    bytes_of_text = ", ".join(str(byte) for byte in text.encode())
    program = f"""fn main() {{
        {statements}
        assert_eq!(text.as_bytes(), &[{bytes_of_text}]);
        assert_eq!((low, tiny, huge), (i64::MIN, f64::from_bits(1), 1e308));
        assert!(minus.is_sign_negative() && none.is_nan() && no == f64::NEG_INFINITY);
        assert_eq!(many, ["a", "ü"]);
    }}"""
    (tmp_path / "main.rs").write_text(program)
    subprocess.run(["rustc", "--edition", "2024", "-A", "warnings", "-o", tmp_path / "main", tmp_path / "main.rs"], check=True)
    subprocess.run([tmp_path / "main"], check=True)


def test_papermill_puts_them_behind_the_cell_with_the_tag(path):
    filled = parameterize_notebook(load_notebook_node(str(path)), {"seed": 7})
    assert [cell.metadata.get("tags") for cell in filled.cells] == [["parameters"], ["injected-parameters"], []]
    assert filled.cells[1].source == "// Parameters\nlet seed: i64 = 7_i64;\n"


def test_the_package_does_without_papermill():
    assert not [line for line in importlib.metadata.requires("benchbook") if line.startswith("papermill")]
    program = "import sys; sys.modules['papermill'] = None; import benchbook.__main__, benchbook.server"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_papermill_lists_what_a_notebook_takes(path):
    found = inspect_notebook(str(path))
    assert list(found) == ["scale", "seed"]
    assert found["seed"]["default"] == "1"
    assert found["seed"]["inferred_type_name"] == "i64"
    assert found["scale"]["help"] == "how large"

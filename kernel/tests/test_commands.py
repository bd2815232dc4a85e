"""evcxr's commands: each does what it does there, or says why not. Some are in `test_state.py`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from driver import Kernel


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (":version", "0.22.0"),
        (":offline 1", "Offline mode: true"),
        (":offline 0", "Offline mode: false"),
        (":opt 0", "Optimization: 0"),
        (":opt 1", "Optimization: 1"),
        (":efmt {:?}", "Error format: {:?}"),
        (":efmt {}", "Error format: {}"),
        (":preserve_vars_on_panic 1", "Preserve vars on panic: true"),
        (":build_env BENCHBOOK_TEST=1", "Set BENCHBOOK_TEST=1 for build"),
        (":internal_debug", "Internals debugging: true"),
        (":internal_debug", "Internals debugging: false"),
        (":clear_cache", "Deleted 0 MiB from cache"),
        (":doc Tensor", "Tensor"),
        ("!echo from a shell", "from a shell"),
    ],
)
def test_a_command_answers(kernel: Kernel, command: str, text: str) -> None:
    assert text in kernel.good(command).result["text/plain"]


def test_type_tells_the_type_of_a_variable(kernel: Kernel) -> None:
    kernel.good("let typed: Vec<u8> = vec![];")
    for command in (":type typed", ":t typed"):
        assert kernel.good(command).result["text/plain"] == "typed: Vec<u8>"
    assert "nothing" in kernel.run(":type nothing").evalue


def test_timing_tells_what_a_cell_takes(kernel: Kernel) -> None:
    kernel.good(":timing")
    texts = [text for kind, text in kernel.good("1 + 1").events if kind == "display_data"]
    assert len(texts) == 1 and texts[0].startswith("Took ") and texts[0].endswith(" ms")
    kernel.good(":timing")
    assert kernel.good("1 + 1").of("display_data") == []


def test_fmt_and_types_change_how_values_are_shown(kernel: Kernel) -> None:
    kernel.good(":fmt {:#?}")
    assert kernel.value("vec![1, 2]") == "[\n    1,\n    2,\n]"
    assert "text/html" in kernel.good("Tensor::zeros([1], (Kind::Float, Device::Cpu))").result
    kernel.good(":fmt {:.1?}")
    assert kernel.value("0.25") == "0.2"
    kernel.good(":fmt\n:types")
    assert kernel.value('(1, "a")') == ': (i32, &str) = (1, "a")'
    kernel.good(":types")
    assert kernel.value("1") == "1"
    assert ":fmt takes" in kernel.run(":fmt {}").evalue


def test_efmt_lets_errors_through_that_only_have_debug(kernel: Kernel) -> None:
    kernel.good("#[derive(Debug)] struct OnlyDebug(u8);")
    assert kernel.run("Err::<(), _>(OnlyDebug(1))?;").ename == "CompileError"
    kernel.good(":efmt {:?}")
    cell = kernel.run("Err::<(), _>(OnlyDebug(2))?;")
    assert (cell.ename, cell.evalue) == ("OnlyDebug", "OnlyDebug(2)"), cell.problem
    kernel.good(":efmt {}")


def test_explain_and_last_error_json_are_of_the_last_error(kernel: Kernel) -> None:
    kernel.run("nowhere_to_be_found")
    assert "unresolved name" in kernel.good(":explain").result["text/plain"]
    assert '"E0425"' in kernel.run(":last_error_json").evalue


def test_the_environment_reaches_the_next_worker(kernel: Kernel) -> None:
    assert ":clear" in kernel.good(":env BENCHBOOK_REACHED=yes").result["text/plain"]
    kernel.good(":clear")
    assert kernel.value('std::env::var("BENCHBOOK_REACHED")?') == '"yes"'


def test_build_env_reaches_the_compiler(kernel: Kernel) -> None:
    kernel.good(":build_env BENCHBOOK_BUILT_WITH=it")
    assert kernel.value('env!("BENCHBOOK_BUILT_WITH")') == '"it"'


def test_the_last_compile_dir_holds_the_cell(kernel: Kernel) -> None:
    kernel.good("let in_the_cell = 1;")
    folder = Path(kernel.good(":last_compile_dir").result["text/plain"].strip())
    assert "in_the_cell" in (folder / "src/lib.rs").read_text()


def test_show_deps_lists_what_dep_added(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "listed"\nversion = "1.0.0"\n')
    (tmp_path / "src/lib.rs").write_text("")
    kernel.good(f':dep listed = {{ path = "{tmp_path}" }}')
    assert "listed = " in kernel.good(":show_deps").result["text/plain"]
    kernel.good(":clear")


@pytest.mark.parametrize(
    "command",
    [
        ":allow_static_linking 1",
        ":cache 100",
        ":codegen_backend cranelift",
        ":linker mold",
        ":quit",
        ":restart",
        ":sccache 1",
        ":time_passes",
        ":toolchain nightly",
    ],
)
def test_what_cannot_work_is_refused_and_listed_in_the_help(kernel: Kernel, command: str) -> None:
    cell = kernel.run(command)
    assert cell.ename == "CommandError" and "not available" in cell.evalue, cell.problem
    help_text = "".join(text for _, text in kernel.good(":help").events)
    name = command.split()[0]
    assert any(
        line.startswith(name) and "not available" in line for line in help_text.splitlines()
    )


def test_the_help_begins_with_benchbooks_own_words_and_says_what_differs(kernel: Kernel) -> None:
    cell = kernel.good(":help")
    assert [kind for kind, _ in cell.events] == ["display_data", "execute_result", "display_data"]
    (_, own), _, (_, different) = cell.events
    assert own.startswith("Benchbook") and len(own.splitlines()) <= 10
    assert all(word in own for word in ("data", "nets", "training", "charts", "records", ":doc", ":timing"))
    assert all(name in different for name in (":dep", ":env", ":fmt", ":load_config", ":opt"))


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("Fit?", "`:doc Fit`"),
        ("?Fit", "`:doc Fit`"),
        ("help(Fit)", "`:doc Fit`"),
        ("help(Curves)", "`:doc Curves`"),
        ("std::collections::HashMap??", "`:doc std::collections::HashMap`"),
        ("%%time\nlet timed = 1;", "`:timing`"),
        ("%timeit 1 + 1", "`:timing`"),
        ("%matplotlib inline", "`plot("),
        ("%pip install numpy", "`:dep"),
    ],
)
def test_what_people_write_in_ipython_leads_to_the_command(kernel: Kernel, code: str, command: str) -> None:
    cell = kernel.run(code)
    assert cell.status == "error", cell.problem
    assert command in cell.traceback, cell.traceback


def test_a_question_mark_of_rust_stays_one(kernel: Kernel) -> None:
    kernel.good('let number: Result<i32, String> = Ok(4); fn help(x: i32) -> i32 { x + 1 }')
    assert kernel.value("number.clone()?") == "4"
    assert kernel.value("help(6)") == "7", "the user's own function"
    assert "`:doc name`" in kernel.run("5?").traceback


def documentation(kernel: Kernel, name: str) -> tuple[str, str]:
    result = kernel.good(f":doc {name}").result
    return result["text/plain"], result["text/html"]


def test_documentation_shows_every_field_of_a_settings_struct(kernel: Kernel) -> None:
    plain, html = documentation(kernel, "Fit")
    for field, told in [
        ("epochs: usize", "Epochs of this call"),
        ("learning_rate: Option<f64>", "The learning rate"),
        ("callbacks: Vec<Builtin>", "Built-in callbacks"),
        ("loader_threads: usize", "Threads that decode"),
    ]:
        assert f"pub {field}," in plain and told in plain, plain
        assert field.split(":")[0] in html and told in html
    assert "/* … */" not in plain


@pytest.mark.parametrize("name", ["Fit", "ImageFolder", "Optimizer", "Curves", "Vec", "Tensor", "benchbook::python"])
def test_documentation_is_readable(kernel: Kernel, name: str) -> None:
    plain, html = documentation(kernel, name)
    assert "docs.rs/benchbook" not in html and "docs.rs/ctx" not in html
    assert 'href="crate' not in html and 'href="self' not in html
    assert not [line for line in plain.splitlines() if line.strip() == "#" or line.startswith("# ")]
    assert "|-" not in plain and "|-" not in html, "a table in Markdown"


def test_documentation_of_a_cells_own_struct_shows_its_fields(kernel: Kernel) -> None:
    fields = ", ".join(f"/// Number {n}.\npub number_{n}: u8" for n in range(9))
    kernel.good(f"struct Before;\n/// Nine.\n/// ```\n/// # hidden();\n/// shown();\n/// ```\npub struct Nine {{ {fields} }}")
    plain, _ = documentation(kernel, "Nine")
    assert all(f"number_{n}: u8" in plain and f"Number {n}." in plain for n in range(9)), plain
    assert "shown();" in plain and "hidden" not in plain


def test_doctor_is_right_from_any_folder(program: Path, tmp_path: Path) -> None:
    (tmp_path / "rust-toolchain.toml").write_text('[toolchain]\nchannel = "1.70.0"\n')
    inactive = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
    reports = []
    for folder in (tmp_path, Path("/"), program.parent):
        run = subprocess.run([program, "doctor"], cwd=folder, env=inactive, capture_output=True, text=True)
        reports.append((run.returncode, run.stdout))
    assert reports[0] == reports[1] == reports[2]
    assert reports[0][0] == 0 and "the kernel can run" in reports[0][1], reports[0]


HOSTILE = """
[evcxr]
tmpdir = "/does/not/exist"
allow_static_linking = false
sccache = "/does/not/exist/sccache"
offline_mode = true
opt_level = "no level"
preserve_vars_on_panic = false
prelude = "let from_the_prelude = 5;"
"""


@pytest.mark.parametrize("text", [HOSTILE, "not [ toml"], ids=["settings", "not toml"])
@pytest.mark.parametrize("where", ["here", "configuration"])
def test_a_users_own_evcxr_toml_breaks_nothing(
    kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, text: str
) -> None:
    (tmp_path / "evcxr.toml").write_text(text)
    environment = {}
    if where == "here":
        monkeypatch.chdir(tmp_path)
    else:
        environment["EVCXR_CONFIG_DIR"] = str(tmp_path)
    kernel = kernels(environment)
    kernel.good("let kept = 1;")
    assert kernel.run("kept_not").ename == "CompileError"
    assert kernel.run('panic!("boom")').ename == "Panic"
    assert kernel.value("kept") == "1"
    here = kernel.value("std::env::current_dir()?.canonicalize()?")
    assert here == f'"{Path.cwd().resolve()}"', "cells run in the user's folder"
    if text == HOSTILE:
        kernel.good(":load_config --quiet")
        assert kernel.value("from_the_prelude") == "5"

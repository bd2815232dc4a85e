"""evcxr's commands: each does what it does there, or says why not. Some are in `test_state.py`."""

from __future__ import annotations

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


def test_the_help_says_what_differs(kernel: Kernel) -> None:
    cell = kernel.good(":help")
    different = [text for kind, text in cell.events if kind == "display_data"]
    assert len(different) == 1
    assert all(name in different[0] for name in (":dep", ":env", ":fmt", ":load_config", ":opt"))


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

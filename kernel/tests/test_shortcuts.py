"""What makes cells fast may not be noticed in any other way: what is kept in the template, the variables that a
cell does not load, rust-analyzer that learns of types when they are needed, crates kept between sessions.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driver import Kernel

Started = Callable[[Path], Kernel]


@pytest.fixture
def with_template(kernels: Any, prefix: Callable[[Path], Path]) -> Started:
    """Starts a kernel with this template."""
    return lambda template: kernels(None, prefix(template) / "share/jupyter/kernels")


def assert_whole(kernel: Kernel) -> None:
    """Expressions, types of the helper library and of the standard library, and completions."""
    assert kernel.value("6 * 7") == "42"
    kernel.good("let counts = std::collections::HashMap::from([(1u8, 2.5)]);")
    kernel.good("let tensor = Tensor::ones([3], (Kind::Float, Device::Cpu));")
    assert kernel.value("(counts.len(), tensor.size())") == "(1, [3])"
    content = kernel.ask(kernel.client.complete("tensor.double_v", 15))
    assert any("double_value" in match for match in content["matches"]), content


def test_without_the_notes_of_the_installation_the_real_tools_are_asked(
    with_template: Started, spoil
) -> None:
    template = spoil(lambda manifest: None)
    for name in ("answers", "cells"):
        (template / name).unlink()
    assert_whole(with_template(template))


def test_notes_that_cannot_be_read_are_not_believed(with_template: Started, spoil, template) -> None:
    copy = spoil(lambda manifest: None)
    (copy / "answers").unlink()
    (copy / "answers").mkdir()
    for note in (template / "answers").iterdir():
        (copy / "answers" / note.name).write_text('{"status": 0, "stdout": "')
    assert_whole(with_template(copy))


def test_a_template_may_be_moved(with_template: Started, template: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(template, moved, symlinks=True)
    assert_whole(with_template(moved))


def test_a_cache_folder_that_cannot_be_written_is_no_obstacle(
    kernels: Any, tmp_path: Path
) -> None:
    """A file in the folder's place, since root may write anywhere."""
    (tmp_path / "cache").write_text("")
    assert_whole(kernels({"BENCHBOOK_CACHE": str(tmp_path / "cache")}))


def test_crates_that_cannot_be_kept_are_told_and_the_session_goes_on(
    kernels: Any, crate: Path, tmp_path: Path
) -> None:
    (tmp_path / "crates").write_text("a file where the folder should be")
    kernel = kernels({"BENCHBOOK_CACHE": str(tmp_path)})
    cell = kernel.run(f':dep gauge = {{ path = "{crate}" }}')
    assert cell.status == "error", cell.problem
    assert kernel.value("1 + 1") == "2"


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    """A crate without dependencies, so that no network is needed."""
    folder = tmp_path / "gauge"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "gauge"\nversion = "0.1.0"\nedition = "2024"\n'
    )
    (folder / "src/lib.rs").write_text("pub fn read() -> u32 { 7 }\n")
    return folder


def test_a_crate_goes_with_clear_and_its_build_is_kept(
    kernels: Any, crate: Path
) -> None:
    def builds() -> dict[Path, int]:
        found = Path(os.environ["BENCHBOOK_CACHE"], "crates").rglob("libgauge*.rlib")
        return {path: path.stat().st_mtime_ns for path in found}

    add = f':dep gauge = {{ path = "{crate}" }}'
    first = kernels()
    first.good(add)
    assert first.value("gauge::read()") == "7"
    built = builds()
    assert built
    first.good(":clear")
    assert first.run("gauge::read()").ename == "CompileError"
    first.stop()
    second = kernels()
    assert second.run("gauge::read()").ename == "CompileError", "another session does not have it"
    second.good(add)
    assert second.value("gauge::read()") == "7"
    assert builds() == built, "and does not compile it again"


def test_variables_that_a_cell_does_not_name_stay(kernel: Kernel) -> None:
    kernel.good('let mut first = vec![1]; let second = "two".to_string(); let third = 3;')
    kernel.good("first.push(2);")
    kernel.good("1 + 1")
    assert kernel.value('format!("{first:?} {second} {third}")') == '"[1, 2] two 3"'
    assert kernel.run('panic!("first");').ename == "Panic"
    assert kernel.value("(first.len(), second.len(), third)") == "(2, 3, 3)"


def test_a_variable_that_an_item_of_an_earlier_cell_names_is_found(kernel: Kernel) -> None:
    kernel.good("let counted = 5;")
    kernel.good("macro_rules! twice { ($name:ident) => { $name * 2 } }")
    assert kernel.value("twice!(counted)") == "10"


def test_a_misspelt_variable_is_still_suggested(kernel: Kernel) -> None:
    kernel.good("let accuracies = vec![0.5];")
    cell = kernel.run("accuracie.len()")
    assert cell.ename == "CompileError"
    assert "accuracies" in cell.traceback, cell.problem


def test_a_moved_variable_is_gone_and_the_others_stay(kernel: Kernel) -> None:
    kernel.good('let given = String::from("a"); let stays = 4;')
    kernel.good("drop(given);")
    assert kernel.run("given.len()").ename == "CompileError"
    assert kernel.value("stays") == "4"


def test_the_first_cell_may_need_types(kernels: Any) -> None:
    kernel = kernels()
    kernel.good("let tensor = Tensor::ones([2], (Kind::Float, Device::Cpu));")
    assert kernel.value("tensor.size()") == "[2]"


def test_the_optimisation_can_be_raised_and_types_are_known_all_the_same(kernels: Any) -> None:
    kernel = kernels()
    kernel.good(":opt 3")
    kernel.good("let squares: Vec<u64> = (0..4).map(|i| i * i).collect(); let sum = squares.iter().sum::<u64>();")
    assert kernel.value("sum") == "14"


# What evcxr needs of tokio, so that no network is needed.
TOKIO = """
pub mod runtime {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    pub struct Runtime;
    impl Runtime {
        pub fn new() -> std::io::Result<Self> { Ok(Self) }
        pub fn block_on<F: Future>(&self, future: F) -> F::Output {
            let mut future = pin!(future);
            loop {
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    return value;
                }
            }
        }
    }
}
"""


def test_cells_may_wait_for_futures_and_keep_variables(kernels: Any, tmp_path: Path) -> None:
    folder = tmp_path / "tokio"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "tokio"\nversion = "1.34.0"\nedition = "2024"\n'
    )
    (folder / "src/lib.rs").write_text(TOKIO)
    kernel = kernels()
    kernel.good(f':dep tokio = {{ path = "{folder}" }}')
    kernel.good("let before = 1;")
    kernel.good("async fn later(x: i32) -> i32 { x + 1 }")
    kernel.good("let waited = later(before).await;")
    assert kernel.value("later(waited).await") == "3"
    assert kernel.value("(before, waited)") == "(1, 2)"

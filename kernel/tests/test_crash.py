"""Crashes of user code: the kernel lives, and says what happened and what was lost."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from driver import Kernel, descendants, wait_until
from test_interrupt import ENDLESS_BUILD, compilers


def worker(kernel: Kernel) -> int:
    """The process that runs the cells."""
    found = descendants(kernel.process).items()
    return next(number for number, name in found if name.startswith("benchbook-work"))


CRASHES = {
    "a segmentation fault": (
        # With debug assertions on, a null pointer is a panic that cannot unwind.
        "unsafe { std::hint::black_box(8 as *mut u64).write_volatile(1) }",
        "segmentation fault",
    ),
    "an abort": ("std::process::abort();", "called `abort()` (SIGABRT)"),
    "an exit": ("std::process::exit(3);", "exit status 3"),
    "a stack overflow": (
        (
            "fn deep(x: u64) -> u64 { if std::hint::black_box(x) == 0 { 0 } else { 1 + deep(x + 1) } }"
            'println!("{}", deep(1));'
        ),
        "stack overflow",
    ),
    "a refused allocation": (
        "let much: Vec<u8> = vec![1; 1 << 46]; much.len()",
        "out of memory: the system refused 70368744177664 bytes",
    ),
    "an instruction that is none": (
        'unsafe { std::arch::asm!("ud2") }',
        "SIGILL",
    ),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_is_told_and_the_session_goes_on(kernel: Kernel, name: str) -> None:
    code, cause = CRASHES[name]
    kernel.good("let model = vec![1.0f32; 3]; let epochs = 7;")
    cell = kernel.run(f'println!("last words"); {code}')
    assert cell.status == "error", cell.problem
    assert cell.ename == "WorkerDied", cell.problem
    assert cell.stdout == "last words\n", "what was printed before is not lost"
    assert f"cell {cell.reply['execution_count']}" in cell.evalue, cell.evalue
    assert cause in cell.evalue, cell.evalue
    assert "model" in cell.evalue and "epochs" in cell.evalue, "what was lost is named"
    assert kernel.run("epochs").ename == "CompileError", "a lost variable is unknown"
    assert kernel.value("Tensor::ones([2], (Kind::Float, Device::Cpu)).size()") == "[2]"


def test_functions_and_imports_survive_a_crash(kernel: Kernel) -> None:
    kernel.good("use std::collections::BTreeSet; fn double(x: i32) -> i32 { 2 * x }")
    assert kernel.run("std::process::abort();").ename == "WorkerDied"
    assert kernel.value("double(21)") == "42"
    assert kernel.value("BTreeSet::from([1]).len()") == "1"


def test_prints_panics_and_questions_work_after_a_crash(kernel: Kernel) -> None:
    assert kernel.run("std::process::abort();").ename == "WorkerDied"
    assert kernel.good('print!("a"); eprint!("b"); display(&Bundle::text("c"));').events == [
        ("stdout", "a"),
        ("stderr", "b"),
        ("display_data", "c"),
    ]
    assert kernel.run('panic!("boom")').ename == "Panic"
    loop = kernel.start('println!("running"); loop {}').wait_for_print("running")
    kernel.interrupt()
    assert loop.finish().ename == "KeyboardInterrupt", loop.problem


def test_a_crash_without_variables_says_that_none_were_lost(kernel: Kernel) -> None:
    kernel.run("std::process::abort();")
    cell = kernel.run("std::process::abort();")
    assert "no variables were lost" in cell.evalue, cell.evalue


def test_one_worker_replaces_the_other(kernel: Kernel) -> None:
    kernel.run("std::process::abort();")
    kernel.good("let alive = 1;")
    workers = [
        name for name in descendants(kernel.process).values() if name.startswith("benchbook-work")
    ]
    assert len(workers) == 1


def test_a_kill_from_outside_is_told_from_a_fault(kernel: Kernel) -> None:
    kernel.good("let unlucky = 1;")
    cell = kernel.start('println!("running"); loop {}').wait_for_print("running")
    os.kill(worker(kernel), signal.SIGKILL)
    assert cell.finish().ename == "WorkerDied", cell.problem
    # Which of the two it is depends on what else the system has ended meanwhile.
    assert "killed from outside (SIGKILL)" in cell.evalue or "out of memory" in cell.evalue
    assert "unlucky" in cell.evalue


def test_a_panic_before_an_abort_is_told(kernel: Kernel) -> None:
    kernel.good('struct Loud; impl Drop for Loud { fn drop(&mut self) { panic!("while unwinding") } }')
    cell = kernel.run('let loud = Loud;\npanic!("the first panic");')
    assert cell.ename == "WorkerDied", cell.problem
    assert "the first panic" in cell.traceback and "while unwinding" in cell.traceback
    assert "line 2, column 1" in cell.traceback, "the user's own line"


def test_a_library_that_exits_does_not_take_its_last_words_along(kernel: Kernel) -> None:
    cell = kernel.run(
        """
        { use std::io::Write; write!(std::io::stdout(), "last words").unwrap(); }
        unsafe extern "C" { fn exit(status: i32) -> !; }
        unsafe { exit(4) };
        """
    )
    assert "exit status 4" in cell.evalue, cell.problem
    assert cell.stdout == "last words"


def test_a_lost_variable_is_explained_where_it_is_used(kernel: Kernel) -> None:
    kernel.good("let precious = vec![1];")
    crashed = kernel.run("std::process::abort();")
    count = crashed.reply["execution_count"]
    assert f"`precious` was lost when cell {count} ended" in kernel.run("precious").traceback


def test_the_newest_model_on_disk_is_offered(kernel: Kernel, tmp_path: Path) -> None:
    kernel.good("let mut net = Model::new(Vgg11 { size: 32, ..Vgg11::new(2) }, Build::default())?;")
    paths = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    for path in paths:
        kernel.good(f"net.save({json.dumps(str(path))})?;")
    cell = kernel.run("std::process::abort();")
    line = f"let mut net = Model::load({json.dumps(str(paths[1]))})?;"
    assert line in cell.traceback, cell.problem
    paths[1].unlink()
    cell = kernel.run("std::process::abort();")
    assert str(paths[0]) in cell.traceback, "a file that is gone is not offered"
    load = next(text for text in cell.traceback.splitlines() if "Model::load" in text)
    kernel.good(load)
    paths[0].unlink()
    cell = kernel.run("std::process::abort();")
    assert "Model::load" not in cell.traceback and "best_checkpoint" in cell.traceback


def test_a_function_that_is_nowhere_costs_nothing(kernel: Kernel) -> None:
    kernel.good('let beside = 1; let bound = 2; let travelling = String::from("here");')
    cell = kernel.run(
        'unsafe extern "C" { fn nowhere_at_all(); }\n'
        "let bound = 3.0; drop(travelling); unsafe { nowhere_at_all() }"
    )
    assert cell.ename == "LinkError" and "nowhere_at_all" in cell.evalue, cell.problem
    assert kernel.value("(beside, bound, travelling.as_str())") == '(1, 2, "here")'


@pytest.mark.parametrize("program", ["rustc", "cargo"])
def test_a_compiler_that_is_killed_is_told_in_words(kernel: Kernel, program: str) -> None:
    kernel.good("let beside_it = 1;")
    cell = kernel.start(ENDLESS_BUILD)
    wait_until(lambda: bool(compilers(kernel)) or cell.answer is not None, "the compiler to start")
    compiler = compilers(kernel)[0]
    found = {name: number for number, name in descendants(kernel.process).items()}
    os.kill(found[program], signal.SIGKILL)
    if program == "cargo":
        # Of the stand-in nobody can say by which signal it went; its compiler is left.
        os.kill(compiler, signal.SIGKILL)
    cell.finish()
    assert cell.ename == "CompilerDied", cell.problem
    assert ("(SIGKILL)" in cell.evalue) == (program == "rustc"), cell.evalue
    count = cell.reply["execution_count"]
    assert f"while building cell {count}" in cell.evalue and "memory" in cell.evalue
    assert "all variables are kept" in cell.evalue and "run the cell again" in cell.evalue
    assert kernel.value("beside_it + 1") == "2"


def test_a_session_and_its_model_outlive_a_batch_that_does_not_fit(kernel: Kernel, draw: Any, tmp_path: Path) -> None:
    """An output of 2⁴⁷ bytes an image, which no address space has. A GPU's memory ends in an error of the same kind."""
    images = draw(tmp_path / "drawings", 4, 2, 2)
    kernel.good(
        f"""
        let images = ImageFolder::open({json.dumps(str(images))})?;
        let mut model = Model::build(Vgg11 {{ size: 32, ..Vgg11::new(images.classes()) }}, &images, Build::default())?;
        """
    )
    cell = kernel.run(
        """
        {
            let net = Sequential::image(3, 2048, 2048).conv(1 << 23, 1).global_avg_pool().dense(2);
            let mut large = Model::build(net, &images, Build::default())?;
            large.evaluate(&images.validation())?;
        }
        """
    )
    assert cell.status == "error" and cell.ename != "WorkerDied", cell.problem
    assert "can't allocate memory" in cell.evalue, cell.evalue
    kernel.good("model.evaluate(&images.validation())?;")

"""Crashes of user code: the kernel lives, and says what happened and what was lost."""

from __future__ import annotations

import pytest

from driver import Kernel, descendants

CRASHES = {
    "null write": (
        "unsafe { std::hint::black_box(std::ptr::null_mut::<u8>()).write_volatile(1) }",
        ("SIGSEGV", "signal: 11", "SIGABRT", "signal: 6"),
    ),
    "abort": ("std::process::abort();", ("SIGABRT", "signal: 6")),
    "exit": ("std::process::exit(3);", ("3",)),
    "stack overflow": (
        (
            "fn deep(x: u64) -> u64 { if std::hint::black_box(x) == 0 { 0 } else { 1 + deep(x + 1) } }"
            'println!("{}", deep(1));'
        ),
        ("SIGSEGV", "signal: 11", "SIGABRT", "signal: 6", "overflow"),
    ),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_is_told_and_the_session_goes_on(kernel: Kernel, name: str) -> None:
    code, causes = CRASHES[name]
    kernel.good("let model = vec![1.0f32; 3]; let epochs = 7;")
    cell = kernel.run(f'println!("last words"); {code}')
    assert cell.status == "error", cell.problem
    assert cell.ename == "WorkerDied", cell.problem
    assert cell.stdout == "last words\n", "what was printed before is not lost"
    assert f"cell {cell.reply['execution_count']}" in cell.evalue, cell.evalue
    assert any(cause in cell.evalue for cause in causes), cell.evalue
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

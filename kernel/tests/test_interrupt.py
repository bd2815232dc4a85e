"""Interrupts: during the build, in a loop of the user's, and where nothing can be reached."""

from __future__ import annotations

import pytest

from driver import Cell, Kernel, descendants, wait_until


def interrupted(cell: Cell) -> Cell:
    """The cell ended by an interrupt."""
    cell.finish()
    assert cell.status == "error", cell.problem
    assert cell.ename == "KeyboardInterrupt", cell.problem
    assert len(cell.of("error")) == 1
    assert len(cell.reply["traceback"]) <= 3, "the traceback is short"
    return cell


def compilers(kernel: Kernel) -> list[int]:
    """The compilers that the kernel has started."""
    return [number for number, name in descendants(kernel.process).items() if name == "rustc"]


# The compiler evaluates it before anything else, and would need centuries.
ENDLESS_BUILD = """
#[allow(long_running_const_eval)]
const ENDLESS: u64 = { let mut i = 0; while i < u64::MAX { i += 1; } i };
println!("{}", ENDLESS);
"""


def test_an_interrupted_loop_ends_and_keeps_all_variables(kernel: Kernel) -> None:
    kernel.good('let kept = String::from("kept"); let mut steps = 0u64;')
    cell = kernel.start('loop { steps += 1; if steps == 10 { println!("running"); } }')
    cell.wait_for_print("running")
    kernel.interrupt()
    interrupted(cell)
    assert kernel.value("kept") == '"kept"'
    assert kernel.value("steps >= 10") == "true"


def test_a_loop_in_a_function_of_an_earlier_cell_is_reached(kernel: Kernel) -> None:
    kernel.good('fn spin() { println!("spinning"); loop { std::hint::spin_loop(); } }')
    kernel.good("let beside = 5;")
    cell = kernel.start("spin()").wait_for_print("spinning")
    kernel.interrupt()
    interrupted(cell)
    assert kernel.value("beside") == "5"


def test_a_while_and_a_for_loop_are_reached(kernel: Kernel) -> None:
    for loop in ("while std::hint::black_box(true) {}", "for _ in 0u64.. {}"):
        cell = kernel.start(f'println!("running"); {loop}').wait_for_print("running")
        kernel.interrupt()
        interrupted(cell)


def test_cells_that_wait_behind_an_interrupted_one_are_aborted(kernel: Kernel) -> None:
    running = kernel.start('println!("running"); loop {}')
    waiting = [kernel.start('println!("never");'), kernel.start("1 + 1")]
    running.wait_for_print("running")
    kernel.interrupt()
    interrupted(running)
    for cell in waiting:
        assert cell.finish().status == "aborted", cell.problem
        assert cell.messages == [] or cell.of("stream", "execute_result", "error") == []
    assert kernel.value("1 + 1") == "2"


def test_an_interrupt_stops_the_compiler(kernel: Kernel) -> None:
    kernel.good("let during_build = vec![1, 2, 3];")
    cell = kernel.start(ENDLESS_BUILD)
    wait_until(lambda: bool(compilers(kernel)) or cell.answer is not None, "the compiler to start")
    kernel.interrupt()
    interrupted(cell)
    wait_until(lambda: not compilers(kernel), "the compiler to be gone")
    assert kernel.value("during_build") == "[1, 2, 3]"


def test_an_interrupt_between_cells_does_nothing(kernel: Kernel) -> None:
    kernel.good("let idle = 1;")
    kernel.interrupt()
    kernel.interrupt()
    assert kernel.value("{ let mut sum = 0; for i in 0..10 { sum += i; } sum + idle }") == "46"


def test_a_second_interrupt_ends_what_cannot_be_reached(kernel: Kernel) -> None:
    kernel.good("let mut unlucky = vec![1]; let unlucky_too = 2;")
    cell = kernel.start(
        'println!("asleep"); std::thread::sleep(std::time::Duration::from_secs(1_000_000));'
    )
    cell.wait_for_print("asleep")
    kernel.interrupt()
    kernel.wait(lambda: "another interrupt ends its process" in cell.stderr, "the warning")
    assert not cell.idle
    kernel.interrupt()
    interrupted(cell)
    assert "unlucky" in cell.evalue and "unlucky_too" in cell.evalue, cell.evalue
    assert "lost" in cell.evalue
    assert kernel.run("unlucky").ename == "CompileError", "a lost variable is unknown"
    assert kernel.value("Tensor::ones([2], (Kind::Float, Device::Cpu)).size()") == "[2]"


def test_a_cell_after_an_interrupt_can_be_interrupted_again(kernel: Kernel) -> None:
    for _ in range(3):
        cell = kernel.start('println!("running"); loop {}').wait_for_print("running")
        kernel.interrupt()
        interrupted(cell)


@pytest.mark.parametrize(
    ("before", "busy"),
    [
        ("std::thread::spawn(move || { while !stopped.load(Relaxed) { ticked.fetch_add(1, Relaxed); std::thread::sleep(Duration::from_millis(1)); } });", "loop {}"),
        ("fn work(stopped: &AtomicBool, ticked: &AtomicU64) { for _ in 0u64.. { if stopped.load(Relaxed) { break; } ticked.fetch_add(1, Relaxed); std::thread::yield_now(); } }\nstd::thread::spawn(move || work(&stopped, &ticked));", "for _ in 0u64.. {}"),
        ("for _ in 0..3 { let (stopped, ticked) = (Arc::clone(&stopped), Arc::clone(&ticked)); std::thread::spawn(move || loop { if stopped.load(Relaxed) { return; } ticked.fetch_add(1, Relaxed); }); }", "while std::hint::black_box(true) { std::thread::sleep(Duration::from_millis(20)); }"),
    ],
    ids=["while", "a function", "three threads"],
)
def test_loops_of_threads_go_on_when_a_cell_is_interrupted(kernel: Kernel, before: str, busy: str) -> None:
    """A thread took the interrupt, and the cell went on (julia#18489)."""
    kernel.good("use std::sync::{Arc, atomic::{AtomicBool, AtomicU64, Ordering::Relaxed}};\nuse std::time::Duration;")
    kernel.good("let stop = Arc::new(AtomicBool::new(false)); let ticks = Arc::new(AtomicU64::new(0)); let precious = vec![1, 2, 3];")
    kernel.good(f"{{ let (stopped, ticked) = (Arc::clone(&stop), Arc::clone(&ticks));\n{before}\n}}")
    cell = kernel.start(f'println!("running"); {busy}').wait_for_print("running")
    kernel.interrupt()
    interrupted(cell)
    seen = "let seen = ticks.load(Relaxed); while ticks.load(Relaxed) == seen { std::thread::sleep(Duration::from_millis(1)); }"
    assert kernel.value(f"{seen}\nprecious.len()") == "3", "the threads are at work"
    kernel.good("stop.store(true, Relaxed);")


def test_an_interrupt_names_the_variables_that_the_cell_had_moved(kernel: Kernel) -> None:
    kernel.good("let given_away = vec![1]; let stays = 2;")
    cell = kernel.start('let taken = given_away; println!("running"); loop {}')
    cell.wait_for_print("running")
    kernel.interrupt()
    interrupted(cell)
    assert "given_away" in cell.evalue and "stays" not in cell.evalue, cell.evalue
    assert kernel.value("stays") == "2"


def test_an_interrupt_keeps_what_a_later_statement_would_have_moved(kernel: Kernel) -> None:
    kernel.good("let mut in_use = vec![1];")
    cell = kernel.start('in_use.push(2); println!("running"); loop {}\ndrop(in_use);')
    cell.wait_for_print("running")
    kernel.interrupt()
    interrupted(cell)
    assert "lost" not in cell.evalue, cell.evalue
    assert kernel.value("in_use") == "[1, 2]"

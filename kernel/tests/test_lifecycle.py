"""Start, restart and end of kernels, and several at once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from driver import Kernel, descendants, wait_until


def session_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("benchbook-session-*"))


def folders_of(process: int) -> set[Path]:
    return {folder for folder in session_folders() if f"-{process}-" in folder.name}


def gone(processes: list[int]) -> bool:
    return not any(Path("/proc", str(process)).exists() for process in processes)


def test_nothing_is_left_after_a_shutdown(kernels) -> None:
    kernel = kernels()
    kernel.good("let a = 1;")
    server, started = kernel.process, descendants(kernel.process)
    assert any(name.startswith("benchbook-work") for name in started.values())
    assert len(folders_of(server)) == 1
    kernel.stop()
    wait_until(lambda: gone([server, *started]), "the end of the kernel's processes")
    assert folders_of(server) == set()


def test_nothing_is_left_after_a_shutdown_of_a_busy_kernel(kernels) -> None:
    kernel = kernels()
    cell = kernel.start(
        'println!("running"); std::thread::sleep(std::time::Duration::from_secs(1_000_000));'
    )
    cell.wait_for_print("running")
    server, started = kernel.process, descendants(kernel.process)
    kernel.stop()
    wait_until(lambda: gone([server, *started]), "the end of the kernel's processes")
    assert folders_of(server) == set()


def test_nothing_is_left_after_a_shutdown_before_the_first_cell(kernels) -> None:
    kernel = kernels()
    server = kernel.process
    wait_until(lambda: bool(descendants(server)), "the start of the worker")
    started = descendants(server)
    kernel.stop()
    wait_until(lambda: gone([server, *started]), "the end of the kernel's processes")
    assert folders_of(server) == set()


def test_a_worker_ends_with_a_killed_server_and_its_folder_at_the_next_start(kernels) -> None:
    kernel = kernels()
    kernel.good("let a = 1;")
    server, started = kernel.process, descendants(kernel.process)
    os.kill(server, 9)
    wait_until(lambda: not kernel.manager.is_alive(), "the end of the server")
    wait_until(lambda: gone(list(started)), "the end of the worker")
    left = folders_of(server)
    assert len(left) == 1
    kernels().good("let a = 1;")
    assert not left & session_folders()


def test_a_restarted_kernel_begins_anew(kernels) -> None:
    kernel: Kernel = kernels()
    kernel.good("let a = 1;")
    kernel.good("a")
    before = descendants(kernel.process)
    kernel.restart()
    cell = kernel.run("a")
    assert cell.ename == "CompileError", cell.problem
    assert cell.reply["execution_count"] == 1
    assert kernel.value("1 + 1") == "2"
    # Faster than the operating system takes note of the end of a child whose parent has gone.
    wait_until(lambda: gone(list(before)), "the end of the former worker")


def test_two_sessions_with_the_same_names_do_not_meet(kernels, tmp_path: Path) -> None:
    one, two = kernels(), kernels()
    cells = [
        one.start(
            "struct Model { layers: i32 } let model = Model { layers: 16 };"
            'fn name() -> String { "one".into() }'
        ),
        two.start(
            "struct Model { name: String } let model = Model { name: name() };"
            'fn name() -> String { "two".into() }'
        ),
    ]
    for cell in cells:
        assert cell.finish().status == "ok", cell.problem
    first, second = one.start("(model.layers, name())"), two.start("(&model.name, name())")
    assert first.finish().result["text/plain"] == '(16, "one")'
    assert second.finish().result["text/plain"] == '("two", "two")'
    # One waits in a cell while the other works, crashes and goes on.
    signal = tmp_path / "go on"
    waiting = one.start(
        f'println!("waiting"); let signal = String::from("{signal}");'
        "while !std::path::Path::new(&signal).exists() { std::thread::yield_now(); }"
    ).wait_for_print("waiting")
    assert two.run("std::process::abort();").ename == "WorkerDied"
    assert two.value("name()") == '"two"'
    two.stop()
    signal.touch()
    assert waiting.finish().status == "ok", waiting.problem
    assert one.value("model.layers") == "16"


def test_only_the_user_reads_the_session_folder(kernel: Kernel) -> None:
    (folder,) = folders_of(kernel.process)
    assert folder.stat().st_mode & 0o777 == 0o700

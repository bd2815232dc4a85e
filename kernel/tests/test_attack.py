"""The kernel under attack: whatever a cell does, and wherever its temporary files lie, the kernel says what
happened and goes on.

Code that no parser can take, compilation that does not end, interrupts in quick succession, processes and
threads that a cell leaves behind, and cells that turn against the process in which they run.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from driver import Cell, Kernel, descendants, is_alive, wait_until
from test_crash import worker
from test_interrupt import ENDLESS_BUILD, compilers, interrupted

# Seconds in which an interrupted cell ends, with room for a busy machine.
SOON = 5

LIBC = """
mod c {
    unsafe extern "C" {
        pub fn close(fd: i32) -> i32;
        pub fn fork() -> i32;
        pub fn getppid() -> i32;
        pub fn kill(process: i32, signal: i32) -> i32;
        pub fn puts(text: *const std::ffi::c_char) -> i32;
        pub fn raise(signal: i32) -> i32;
    }
}
use c::{close, fork, getppid, kill, puts, raise};
"""


def state_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]


def ended_soon(kernel: Kernel, cell: Cell) -> Cell:
    """Interrupts a cell, which ends within a moment."""
    begun = time.monotonic()
    kernel.interrupt()
    cell.finish()
    assert time.monotonic() - begun < SOON, f"{cell} took {time.monotonic() - begun:.1f} s to end"
    return cell


# Code that is too deep or too long

DEEP = {
    "ifs": "if true {" * 1500 + "}" * 1500,
    "a chain of calls": "let a = String::new()" + ".clone()" * 2500 + ";",
    "parentheses": "(" * 20_000 + "1" + ")" * 20_000,
    "open brackets": "[" * 50_000,
    "references": "let a = " + "&" * 20_000 + "1;",
    "a type": "let a: " + "Box<" * 10_000 + "u8" + ">" * 10_000 + ";",
    "a macro's argument": "println!(" + "(" * 20_000 + ")" * 20_000 + ");",
    "too many words": "1 + " * 300_000 + "1",
}


@pytest.mark.parametrize("name", DEEP)
def test_no_text_ends_the_server(kernel: Kernel, name: str) -> None:
    code = DEEP[name]
    kernel.good("let kept = vec![1, 2, 3];")
    server = kernel.process
    assert kernel.ask(kernel.client.is_complete(code))["status"] in ("invalid", "incomplete")
    assert kernel.ask(kernel.client.complete(code, len(code)))["status"] == "ok"
    assert kernel.ask(kernel.client.inspect(code, len(code)))["status"] == "ok"
    cell = kernel.run(code)
    assert cell.status == "error", cell.problem
    assert "at most" in cell.evalue or "never closed" in cell.evalue, cell.problem
    assert kernel.run("1", user_expressions={"a": code}).reply["user_expressions"]["a"]["status"] == "error"
    assert kernel.process == server
    assert kernel.value("kept") == "[1, 2, 3]"


def test_a_deep_cell_does_not_disturb_completion_while_it_is_the_running_one(kernel: Kernel) -> None:
    sum_of_many = " + ".join(["1"] * 900)
    cell = kernel.start(f'println!("running"); let total = {sum_of_many}; loop {{}}')
    cell.wait_for_print("running")
    code = "let b = tot"
    assert kernel.ask(kernel.client.complete(code, len(code)))["status"] == "ok"
    ended_soon(kernel, cell)


# Compilation

def arms(count: int) -> str:
    lines = "".join(f'  {number} => println!("arm {number} of {{x}}"),\n' for number in range(count))
    return f"let x = 5;\nmatch x {{\n{lines}  _ => println!(\"none\"),\n}}"


def test_a_thousand_prints_are_compiled_in_seconds(kernel: Kernel) -> None:
    kernel.good("let warm = vec![1.0];")
    begun = time.monotonic()
    cell = kernel.good(arms(1000))
    assert cell.stdout == "arm 5 of 5\n"
    lines = "".join(f'println!("line {number} {{}}", a);\n' for number in range(300))
    cell = kernel.good(f"let a = 7;\n{lines}")
    assert cell.stdout.splitlines()[299] == "line 299 7"
    assert kernel.good("let total = " + "+".join(["1"] * 1000) + ";\ntotal").result["text/plain"] == "1000"
    assert time.monotonic() - begun < 60
    assert kernel.value("(x, a, total)") == "(5, 7, 1000)"


def test_what_is_left_out_of_the_analysis_keeps_its_place_in_errors(kernel: Kernel) -> None:
    kernel.good("let warm = vec![1.0];")
    cell = kernel.run('let a = 1; println!("a long line {}", a); let b: u8 = "text";')
    assert "line 1, column 55" in cell.traceback, cell.traceback
    cell = kernel.run('let a = 1;\nprintln!("a long line {}", missing);\nlet b = 2;')
    assert "line 2, column 28" in cell.traceback, cell.traceback
    cell = kernel.run('let a = 1;\nprintln!("a long line {}", a);\nlet v: Vec<u8> = vec![1, 2, 3]; v[a + 7]')
    assert cell.ename == "Panic" and "line 3" in cell.traceback, cell.problem


def test_types_are_found_though_prints_are_left_out(kernel: Kernel) -> None:
    kernel.good('let mut v = Vec::new(); println!("{}", v.len()); v.push(3_u8); println!("{v:?}");')
    assert kernel.value("v") == "[3]"
    kernel.good('let w: Vec<f64> = (0..3).map(|i| i as f64 * 0.5).collect::<Vec<_>>(); let n = w.len();')
    assert kernel.value("(w, n)") == "([0.0, 0.5, 1.0], 3)"


def hard() -> str:
    """A cell whose types take rust-analyzer long."""
    parts = " + ".join(f"f({number}.max(y).min(y + {number}))" for number in range(1200))
    return f"fn f(x: i64) -> i64 {{ x }}\nlet y = 3;\nlet hard = {parts};"


def test_an_interrupt_ends_the_inference_of_types(kernel: Kernel) -> None:
    kernel.good("let kept = vec![4, 5];")
    cell = kernel.start(hard())
    busy = cpu_seconds(kernel.process)
    kernel.wait(lambda: cpu_seconds(kernel.process) > busy + 1 or cell.idle, "the inference")
    if not cell.idle:
        ended_soon(kernel, cell)
        assert cell.ename == "KeyboardInterrupt", cell.problem
    assert kernel.value("kept") == "[4, 5]"


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_nothing_is_compiled_after_the_end_of_the_server(kernels) -> None:
    kernel = kernels()
    kernel.good("let a = 1;")
    kernel.start(ENDLESS_BUILD)
    wait_until(lambda: bool(compilers(kernel)), "the compiler to start")
    left = descendants(kernel.process)
    os.kill(kernel.process, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(number) for number in left), f"the end of {left}")


# Interrupts

def test_two_interrupts_at_once_are_one(kernel: Kernel) -> None:
    kernel.good("let precious = vec![1, 2, 3];")
    cell = kernel.start(
        'println!("running"); loop { std::thread::sleep(std::time::Duration::from_millis(300)); }'
    )
    cell.wait_for_print("running")
    kernel.interrupt()
    kernel.interrupt()
    interrupted(cell)
    assert "lost" not in cell.evalue, cell.evalue
    assert kernel.value("precious") == "[1, 2, 3]"


def test_a_background_thread_does_not_take_the_interrupt(kernel: Kernel) -> None:
    kernel.good(
        """
        use std::sync::{Arc, atomic::{AtomicBool, AtomicU64, Ordering}};
        let stop = Arc::new(AtomicBool::new(false));
        let ticks = Arc::new(AtomicU64::new(0));
        {
            let (stop, ticks) = (Arc::clone(&stop), Arc::clone(&ticks));
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {
                ticks.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(1));
            });
        }
        """
    )
    for _ in range(3):
        cell = kernel.start(
            'println!("running"); loop { std::thread::sleep(std::time::Duration::from_millis(400)); }'
        )
        cell.wait_for_print("running")
        interrupted(ended_soon(kernel, cell))
    ticking = """{
        let before = ticks.load(Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(100));
        ticks.load(Ordering::Relaxed) > before
    }"""
    assert kernel.value(ticking) == "true"
    kernel.good("stop.store(true, Ordering::Relaxed);")


def test_threads_that_the_cell_waits_for_are_reached(kernel: Kernel) -> None:
    kernel.good("let beside = 7;")
    for body in (
        'std::thread::scope(|scope| { scope.spawn(|| { println!("in a thread"); loop {} }); });',
        'std::thread::spawn(|| { println!("in a thread"); loop {} }).join().unwrap();',
    ):
        cell = kernel.start(body).wait_for_print("in a thread")
        interrupted(ended_soon(kernel, cell))
        assert kernel.value("beside") == "7"


def test_a_child_process_gets_the_interrupt(kernel: Kernel) -> None:
    kernel.good("let beside = 8;")
    cell = kernel.start(
        'println!("waiting"); println!("{:?}", std::process::Command::new("sleep").arg("100000").status());'
    )
    cell.wait_for_print("waiting")
    wait_until(lambda: "sleep" in descendants(kernel.process).values(), "the child")
    ended_soon(kernel, cell)
    assert "sleep" not in descendants(kernel.process).values()
    assert kernel.value("beside") == "8"


def sleepers(kernel: Kernel) -> list[int]:
    return [number for number, name in descendants(kernel.process).items() if name == "sleep"]


LEFT_BEHIND = """
std::process::Command::new("setsid").args(["sleep", "100000"]).spawn().unwrap();
std::process::Command::new("sh").args(["-c", "sleep 100000 & sleep 100000"]).spawn().unwrap();
"""


@pytest.mark.parametrize("end", ["a crash", ":clear", "a killed server", "a shutdown"])
def test_what_a_cell_has_started_ends_with_its_worker(kernels, end: str) -> None:
    kernel = kernels()
    kernel.good(LEFT_BEHIND)
    wait_until(lambda: len(sleepers(kernel)) == 3, "the children")
    left = list(descendants(kernel.process))
    children = sleepers(kernel)
    if end == "a crash":
        assert kernel.run("std::process::abort();").ename == "WorkerDied"
        left = children
    elif end == ":clear":
        kernel.good(":clear")
        left = children
    elif end == "a killed server":
        os.kill(kernel.process, signal.SIGKILL)
    else:
        kernel.stop()
    wait_until(lambda: not any(is_alive(number) for number in left), f"the end of {left} after {end}")


def test_a_stopped_worker_is_interrupted(kernel: Kernel) -> None:
    kernel.good("let beside = 9;")
    process = worker(kernel)
    os.kill(process, signal.SIGSTOP)
    wait_until(lambda: state_of(process) == "T", "the stop of the worker")
    cell = kernel.start("loop {}")
    # The compiler has done its part, and the worker says nothing.
    wait_until(lambda: not compilers(kernel) and cell.answer is None, "the cell")
    kernel.interrupt()
    cell.finish()
    assert cell.ename == "KeyboardInterrupt", cell.problem
    assert kernel.value("beside") == "9"


def test_a_cell_that_stops_itself_is_interrupted(kernel: Kernel) -> None:
    kernel.good(LIBC)
    kernel.good("let beside = 10;")
    process = worker(kernel)
    cell = kernel.start('println!("stopping"); unsafe { raise(19) }; loop {}').wait_for_print("stopping")
    wait_until(lambda: state_of(process) == "T", "the stop of the worker")
    interrupted(ended_soon(kernel, cell))
    assert kernel.value("beside") == "10"


# A cell against its own process

CONNECTIONS = """
fn connections() -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if number > 2 && target.to_str().unwrap().starts_with("socket:") { found.push(number); }
    }
    found
}
"""


def test_closed_descriptors_are_told(kernel: Kernel) -> None:
    kernel.good(LIBC)
    for code in (
        "for fd in 3..1024 { unsafe { close(fd) }; }",
        "for fd in 3..1024 { unsafe { close(fd) }; } std::thread::sleep(std::time::Duration::from_secs(100));",
        "for fd in 0..1024 { unsafe { close(fd) }; } let mut i = 0_u64; while i < 1 << 40 { i += 1; }",
    ):
        kernel.good("let victim = 1;")
        cell = kernel.run(code)
        assert cell.ename == "WorkerDied", cell.problem
        assert "closed the descriptors" in cell.evalue and "victim" in cell.evalue, cell.problem
        assert kernel.value("1 + 1") == "2"


def test_a_file_that_gets_a_closed_number_receives_no_frames(kernel: Kernel, tmp_path: Path) -> None:
    kernel.good(LIBC)
    kernel.good(CONNECTIONS)
    path = tmp_path / "own.txt"
    cell = kernel.run(
        f"""
        for fd in connections() {{ unsafe {{ close(fd) }}; }}
        let files: Vec<std::fs::File> = (0..20).map(|_| std::fs::File::options().create(true).append(true).open("{path}").unwrap()).collect();
        println!("this must not reach the file");
        """
    )
    assert cell.ename == "WorkerDied", cell.problem
    assert path.read_bytes() == b""


def test_closed_standard_streams_are_opened_again(kernel: Kernel) -> None:
    kernel.good(LIBC)
    kernel.good("let beside = 11;")
    cell = kernel.good("unsafe { close(0); close(1); close(2); }")
    assert "closed standard output" in cell.stderr, cell.events
    assert kernel.good('unsafe { puts(c"from C".as_ptr()) };').stdout == "from C\n"
    assert kernel.value("beside") == "11"


DONE = json.dumps({"type": "done", "token": "guess"}).encode()
FORGERIES = {
    "a completion": b"EVCXR_EXECUTION_COMPLETE\n",
    "a frame": (len(DONE) + 1).to_bytes(4, "little") + b"\x03" + DONE,
    "part of a line": b"EVCXR_",
}


@pytest.mark.parametrize("connection", [0, 1])
@pytest.mark.parametrize("name", FORGERIES)
def test_whatever_is_written_to_a_connection_is_told(kernel: Kernel, name: str, connection: int) -> None:
    """The process has one connection for frames and one for lines; user code cannot tell them apart."""
    kernel.good(CONNECTIONS)
    kernel.good("let beside = 12;")
    text = "".join(f"\\x{byte:02x}" for byte in FORGERIES[name])
    cell = kernel.run(
        f"""
        use std::io::Write;
        use std::os::fd::FromRawFd;
        let by_socket: std::collections::BTreeMap<std::path::PathBuf, i32> = connections()
            .into_iter()
            .map(|fd| (std::fs::read_link(format!("/proc/self/fd/{{fd}}")).unwrap(), fd))
            .collect();
        assert_eq!(by_socket.len(), 2);
        let fd = *by_socket.values().nth({connection}).unwrap();
        let mut file = std::mem::ManuallyDrop::new(unsafe {{ std::fs::File::from_raw_fd(fd) }});
        let _ = file.write_all(b"{text}");
        println!("after");
        let made = 5;
        """
    )
    if cell.status == "ok":
        assert cell.stdout == "after\n", cell.events
        assert "ignored" in cell.stderr, cell.events
        assert kernel.value("(beside, made)") == "(12, 5)"
    else:
        assert cell.ename == "WorkerDied" and "connection" in cell.evalue, cell.problem
    for number in range(3):
        assert kernel.value(f"{number} + 1") == str(number + 1)


def test_a_fork_whose_child_returns_is_no_second_worker(kernel: Kernel) -> None:
    kernel.good(LIBC)
    kernel.good("let beside = 13;")
    cell = kernel.good('let child = unsafe { fork() }; println!("{}", if child == 0 { "child" } else { "parent" });')
    assert "parent\n" in cell.stdout
    cell = kernel.good("let child = unsafe { fork() }; if child == 0 { panic!(\"in the child\") }")
    cell = kernel.run('if unsafe { fork() } == 0 { Err("in the child")?; } 5')
    assert cell.status == "ok" and cell.result["text/plain"] == "5", cell.problem
    for number in range(5):
        assert kernel.value(f"beside + {number}") == str(13 + number)
    wait_until(lambda: len([n for n, name in descendants(kernel.process).items() if name.startswith("benchbook-work") and is_alive(n)]) == 1, "the ends of the forked processes")


def test_a_signal_to_its_group_or_parent_leaves_the_server(kernel: Kernel) -> None:
    kernel.good(LIBC)
    server = kernel.process
    for code in ("unsafe { kill(0, 9) };", "unsafe { kill(getppid(), 9) };"):
        kernel.good("let victim = 1;")
        cell = kernel.run(code + " loop {}")
        assert cell.ename == "WorkerDied", cell.problem
        assert kernel.process == server
        assert kernel.value("1 + 1") == "2"


# The folder for temporary files

def kernel_in(kernels, kernelspec: dict[str, Any], folder: Path, temporary: Path, mount: str = "") -> Kernel:
    """A kernel with another folder for temporary files, on which something may be mounted for it alone."""
    specs = folder / "specs"
    words = list(kernelspec["argv"])
    if mount:
        script = f'mount -t tmpfs {mount} tmpfs "$0" && exec "$@"'
        words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(temporary), *words]
    (specs / "benchbook").mkdir(parents=True)
    (specs / "benchbook/kernel.json").write_text(json.dumps({**kernelspec, "argv": words}))
    temporary.mkdir(parents=True, exist_ok=True)
    return kernels({"TMPDIR": str(temporary)}, specs)


def works(kernel: Kernel) -> None:
    kernel.good("let a = vec![1, 2, 3]; fn f() -> i32 { 4 }")
    assert kernel.value("a.len() as i32 + f()") == "7"
    assert kernel.run("std::process::abort();").ename == "WorkerDied"
    assert kernel.value("f()") == "4"


@pytest.mark.parametrize("name", ["with a blank", "quote's \"and\" $x", "ümlaut", "/".join(["long" * 10] * 6)])
def test_a_session_works_in_any_folder(kernels, kernelspec, tmp_path: Path, name: str) -> None:
    works(kernel_in(kernels, kernelspec, tmp_path, tmp_path / name))


def test_a_session_works_where_no_programs_may_run(kernels, kernelspec, tmp_path: Path) -> None:
    kernel = kernel_in(kernels, kernelspec, tmp_path, tmp_path / "tmp", "-o noexec")
    works(kernel)
    # A crate of the user's own is compiled and linked, too, though into each cell.
    (tmp_path / "own/src").mkdir(parents=True)
    (tmp_path / "own/Cargo.toml").write_text('[package]\nname = "own"\nversion = "0.1.0"\nedition = "2024"\n')
    (tmp_path / "own/src/lib.rs").write_text("pub fn nine() -> u8 { 9 }\n")
    dependency = kernel.good(f':dep own = {{ path = "{tmp_path}/own" }}')
    assert kernel.value("own::nine()") == "9"
    assert "set TMPDIR to another folder" in dependency.stderr, dependency.problem
    assert kernel.run("let lost: u8 = own::nine() - 10;").ename == "Panic"
    assert kernel.value("own::nine() + 1") == "10"


def test_a_colon_in_the_path_is_named(kernels, kernelspec, tmp_path: Path) -> None:
    cell = kernel_in(kernels, kernelspec, tmp_path, tmp_path / "a:b").run("1 + 1")
    assert "TMPDIR" in cell.evalue and "a:b" in cell.evalue, cell.problem


def test_a_full_folder_is_named_and_the_session_recovers(kernels, kernelspec, tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    kernel = kernel_in(kernels, kernelspec, tmp_path, folder, "-o size=24m")
    kernel.good("let kept = vec![1, 2];")
    inside = Path(f"/proc/{kernel.process}/root{folder}")
    filler = inside / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            assert file.write(bytes(4096))
    cell = kernel.run("kept.len() + 1")
    assert cell.status == "error", cell.problem
    assert str(folder) in cell.evalue and "TMPDIR" in cell.evalue and "full" in cell.evalue, cell.problem
    filler.unlink()
    assert kernel.value("kept.len() + 2") == "4"


def test_a_kernel_that_finds_no_room_starts_when_there_is(kernels, kernelspec, tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    kernel = kernel_in(kernels, kernelspec, tmp_path, folder, "-o size=64k")
    cell = kernel.run("1 + 1")
    assert cell.status == "error" and "TMPDIR" in cell.evalue and str(folder) in cell.evalue, cell.problem
    os.system(f"nsenter --target {kernel.process} --user --mount mount -o remount,size=64m {folder}")
    assert kernel.value("1 + 1") == "2"


def test_a_cleaned_folder_is_made_again(kernels, kernelspec, tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    kernel = kernel_in(kernels, kernelspec, tmp_path, folder)
    kernel.good("let kept = vec![1, 2];")
    (session,) = folder.iterdir()
    os.system(f"rm -r '{session}'")
    assert kernel.value("kept") == "[1, 2]"
    assert kernel.run("std::process::abort();").ename == "WorkerDied"
    os.system(f"rm -r '{session}'/crate '{session}'/frames '{session}'/lock")
    assert kernel.value("3 + 4") == "7"
    kernel.good("let more = 5.0;")
    assert kernel.value("more") == "5.0"


def test_a_live_session_is_known_by_its_lock(kernels, kernelspec, tmp_path: Path) -> None:
    import fcntl

    folder = tmp_path / "tmp"
    # A kernel in another container: no process here has its number.
    other = folder / "benchbook-session-4194305-1"
    other.mkdir(parents=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    with (other / "lock").open("w") as lock:
        lock.write(boot)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernel_in(kernels, kernelspec, tmp_path, folder).good("1 + 1")
        assert other.exists()
    kernel_in(kernels, kernelspec, tmp_path / "second", folder).good("1 + 1")
    assert not other.exists()


def test_doctor_checks_the_folder(program: Path, tmp_path: Path) -> None:
    import subprocess

    missing = tmp_path / "not there"
    run = subprocess.run([program, "doctor"], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(missing)})
    (line,) = (line for line in run.stdout.splitlines() if " TMPDIR " in line)
    assert line.startswith("MISSING") and str(missing) in line, run.stdout
    run = subprocess.run([program, "doctor"], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    (line,) = (line for line in run.stdout.splitlines() if " TMPDIR " in line)
    assert line.startswith("ok") and str(tmp_path) in line, run.stdout

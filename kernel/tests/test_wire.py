"""Clients that read late or never, messages without an end, and what blocks: the kernel goes on.

The channels alone are tested in Rust (`kernel/jupyter/tests/integration`: `lagging.rs`, `hostile.rs`,
`history.rs`, `code.rs`); here the whole kernel runs, and its memory is measured from outside.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from driver import PATIENCE, Kernel, memory_mb, wait_until
from figures import keep, say

MEGABYTE = 1_000_000


def test_a_burst_is_complete_for_a_client_that_reads_late(kernel: Kernel) -> None:
    cell = kernel.start('for i in 0..20_000 { display(&Bundle::text(format!("{i}"))); }')
    kernel.take_reply(kernel.client.get_shell_msg(timeout=PATIENCE))
    shown = [text for kind, text in cell.finish().events if kind == "display_data"]
    assert shown == [str(number) for number in range(20_000)]


def subscriber(kernel: Kernel, context: zmq.Context) -> zmq.Socket:
    """A client whose own queue holds one message: what it does not read waits in the kernel."""
    connection = kernel.client.get_connection_info()
    client = context.socket(zmq.SUB)
    client.linger, client.rcvhwm = 0, 1
    client.subscribe(b"")
    client.connect(f"tcp://{connection['ip']}:{connection['iopub_port']}")
    assert client.poll(PATIENCE * 1000), "the subscription is welcomed"
    client.recv_multipart()
    return client


def test_a_client_that_never_reads_costs_little_memory_and_delays_nobody(
    kernels: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel: Kernel = kernels()
    kernel.good("let ready = 1;")
    before = memory_mb(kernel.process)
    with zmq.Context() as context, subscriber(kernel, context):
        cell = kernel.good(
            'for _ in 0..800 { display(&Bundle::text("x".repeat(1_000_000))); }'
        )
        assert len(cell.of("display_data")) == 800
        behind = memory_mb(kernel.process)
        assert behind < before + 450

    def is_given_back() -> bool:
        # The allocator gives back while it works.
        kernel.good("1")
        return memory_mb(kernel.process) < before + 150

    wait_until(is_given_back, "the memory to be given back")
    after = memory_mb(kernel.process)
    keep("lagging", {"server_mb": {"before": before, "800 MB behind": behind, "after": after}})
    say(capsys, f"A client 800 MB behind: server {before:g} MB, {behind:g} MB then, {after:g} MB later")


def test_a_client_that_lags_is_told_what_it_lacks(kernels: Any) -> None:
    kernel: Kernel = kernels()
    kernel.good("let ready = 1;")
    with zmq.Context() as context, subscriber(kernel, context) as late:
        cell = kernel.good(
            'for _ in 0..400 { display(&Bundle::text("x".repeat(1_000_000))); }'
        )
        session = Session(key=kernel.client.session.key)
        shown, told, idle = 0, "", False
        while not idle:
            assert late.poll(PATIENCE * 1000), "the kernel's status is never dropped"
            _, parts = session.feed_identities(late.recv_multipart())
            message = session.deserialize(parts)
            if message["parent_header"].get("msg_id") != cell.request:
                continue
            if message["metadata"].get("benchbook_transient"):
                continue
            shown += message["msg_type"] == "display_data"
            if message["msg_type"] == "stream":
                told += message["content"]["text"]
            idle = message["content"].get("execution_state") == "idle"
    assert 256 <= shown < 400
    assert f"{400 - shown} outputs" in told and "not shown here" in told, told


def unfinished(connection: dict[str, Any], channel: str, part: bytes, count: int) -> socket.socket:
    """Sends parts of a message that has no end, in ZeroMQ's protocol but without a key."""
    client = socket.create_connection((connection["ip"], connection[f"{channel}_port"]), PATIENCE)
    client.sendall(b"\xff" + bytes(8) + b"\x7f\3\0NULL" + bytes(48))
    client.sendall(b"\x04\x06\x05READY")
    if len(part) > 255:
        frame = b"\x03" + len(part).to_bytes(8, "big") + part
    else:
        frame = bytes([1, len(part)]) + part
    at_once = max(1, MEGABYTE // len(frame))
    # The kernel may disconnect it.
    with contextlib.suppress(ConnectionError):
        for _ in range(count // at_once):
            client.sendall(frame * at_once)
    return client


def test_messages_without_an_end_and_without_the_key_cost_little_memory(
    kernels: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel: Kernel = kernels()
    # rust-analyzer gives back memory after the first cells.
    kernel.good("let kept = 1;")
    assert kernel.value("kept") == "1"
    connection = kernel.client.get_connection_info()
    before = memory_mb(kernel.process)
    held = {}
    for channel in ("shell", "control", "stdin", "hb", "iopub"):
        for name, part, count in [
            ("1.5 GB in parts of 10 MB", bytes(10 * MEGABYTE), 150),
            ("20 million empty parts", b"", 20_000_000),
        ]:
            with unfinished(connection, channel, part, count):
                assert kernel.value("kept") == "1"
                held[f"{channel}: {name}"] = round(memory_mb(kernel.process) - before, 1)
    # Together they send far more than one may hold: who holds most is disconnected.
    clients = [unfinished(connection, "shell", bytes(10 * MEGABYTE), 10) for _ in range(20)]
    assert kernel.value("kept") == "1"
    held["shell: 100 MB of each of 20 clients"] = round(memory_mb(kernel.process) - before, 1)
    for client in clients:
        client.close()
    keep("unfinished", {"server_mb": before, "more_mb": held})
    rows = [f"  {mb:8} MB for {name}" for name, mb in held.items()]
    say(capsys, f"Messages without an end: server {before:g} MB, and more:", *rows)
    assert max(held.values()) < 400, held


def test_a_cell_does_not_wait_behind_completions(kernel: Kernel) -> None:
    kernel.good("let images = vec![1, 2, 3];")
    asked = [kernel.client.complete("images.it", 9) for _ in range(300)]
    cell = kernel.start("images.len()")
    answers = [kernel.client.get_shell_msg(timeout=PATIENCE) for _ in range(301)]
    states = {}
    for answer in answers:
        kernel.take_reply(answer)
        states[answer["parent_header"]["msg_id"]] = answer["content"]["status"]
    assert cell.finish().result["text/plain"] == "3"
    assert states[asked[-1]] == "ok", "the latest question is answered"
    answered = sum(states[request] == "ok" for request in asked)
    assert answered < 30, f"{answered} of 300 completions were computed"


def test_a_locked_history_file_delays_nothing(kernels: Any, tmp_path: Path) -> None:
    with open(tmp_path / "history.jsonl", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kernel: Kernel = kernels({"BENCHBOOK_CACHE": str(tmp_path)})
        assert kernel.value("1 + 1") == "2"
        history = kernel.ask(kernel.client.history(hist_access_type="tail", n=5))["history"]
        assert history == [[1, 1, "1 + 1"]]
        fcntl.flock(file, fcntl.LOCK_UN)
    kernel.stop()
    assert "1 + 1" in (tmp_path / "history.jsonl").read_text()


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from driver import Kernel
print(Kernel({"BENCHBOOK_CACHE": sys.argv[2]}).process, flush=True)
sys.stdin.read()
"""


def test_a_kernel_with_a_locked_history_file_ends_with_its_parent(tmp_path: Path) -> None:
    with open(tmp_path / "history.jsonl", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        words = [sys.executable, "-c", PARENT, str(Path(__file__).parent), str(tmp_path)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            process = int(parent.stdout.readline())
            parent.kill()
        wait_until(lambda: not Path(f"/proc/{process}").exists(), "the end of the kernel")


def test_an_output_over_1_gib_is_an_error(kernel: Kernel) -> None:
    kernel.good("let kept = 1;")
    cell = kernel.run('display(&Bundle::text("large").html("x".repeat(1 << 30)));')
    assert cell.status == "error", cell.problem
    assert "too large to be shown" in cell.evalue and "file" in cell.evalue
    assert kernel.value("kept") == "1"


HOLD_STANDARD_OUTPUT = """
std::thread::spawn(|| { let _lock = std::io::stdout().lock(); loop { std::thread::park(); } });
std::thread::sleep(std::time::Duration::from_millis(100));
"""


def test_a_thread_that_holds_standard_output_hinders_no_cell(kernels: Any) -> None:
    kernel: Kernel = kernels()
    kernel.good("let kept = 1;")
    kernel.good(HOLD_STANDARD_OUTPUT)
    assert kernel.good('println!("printed"); display(&Bundle::text("shown")); kept').events == [
        ("stdout", "printed\n"),
        ("display_data", "shown"),
        ("execute_result", "1"),
    ]
    # What takes the lock itself has to wait, and an interrupt says for what.
    cell = kernel.start('{ use std::io::Write; println!("next"); writeln!(std::io::stdout(), "x")?; }')
    cell.wait_for_print("next")
    kernel.interrupt()
    kernel.wait(lambda: "holds the lock of standard output" in cell.stderr, "the reason")


def test_a_question_of_a_thread_does_not_block_the_next_cell(kernel: Kernel) -> None:
    kernel.good(
        'let asking = std::thread::spawn(|| input("From the background? ").unwrap());',
        allow_stdin=True,
    )
    question = kernel.client.get_stdin_msg(timeout=PATIENCE)
    assert question["content"]["prompt"] == "From the background? "
    assert kernel.good('println!("meanwhile"); 6 * 7').events == [
        ("stdout", "meanwhile\n"),
        ("execute_result", "42"),
    ]
    kernel.client.input("yes")
    assert kernel.value("asking.join().unwrap()") == '"yes"'


def test_a_question_ends_with_the_process_that_asked(kernel: Kernel) -> None:
    kernel.good('std::thread::spawn(|| input("Never answered? "));', allow_stdin=True)
    assert "Never" in kernel.client.get_stdin_msg(timeout=PATIENCE)["content"]["prompt"]
    assert kernel.run("std::process::abort()").ename == "WorkerDied"
    cell = kernel.start('input("Next? ")?', allow_stdin=True)
    assert kernel.client.get_stdin_msg(timeout=PATIENCE)["content"]["prompt"] == "Next? "
    kernel.client.input("yes")
    assert cell.finish().result["text/plain"] == '"yes"'


def test_ipc_sockets_are_the_owners_alone(kernels: Any) -> None:
    kernel: Kernel = kernels(transport="ipc")
    assert kernel.value("6 * 7") == "42"
    connection = kernel.client.get_connection_info()
    path = Path(f"{connection['ip']}-{connection['shell_port']}")
    assert stat.filemode(path.stat().st_mode) == "srw-------", "nobody else can connect"
    kernel.stop()
    assert not path.exists()

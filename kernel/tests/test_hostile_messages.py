"""Malformed messages, connections that speak no ZeroMQ, and clients that come and go.

The parser alone is tested in Rust with far more cases (`kernel/jupyter/src/wire/incoming/tests.rs`); here whole messages
go through the sockets. After every batch the kernel answers on the same connection, and at the end it runs cells as before. The
figures are printed and kept in `results/tests/hostile.json`. `environment/soak` sends such messages among other attacks.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from typing import Any

import pytest
import zmq

from driver import PATIENCE, Kernel, memory_mb, wait_until
from figures import FULL, REPOSITORY, dice, keep, say, seed
from malformed import Client, damage, nonsense, oversized

# Damaged messages and signed nonsense for each channel.
DAMAGED, NONSENSE = (30_000, 1_000) if FULL else (1_000, 50)
BATCH = 100


def test_no_message_ends_the_kernel(kernels: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kernel: Kernel = kernels()
    kernel.good('let kept = String::from("kept");')
    before = memory_mb(kernel.process)
    sent: Counter[str] = Counter()
    answers, begun = 0, time.monotonic()
    with zmq.Context() as context:
        for channel in ("shell", "control", "stdin"):
            chance = dice(f"hostile {channel}")
            client = Client(kernel, context, channel)
            # Nothing is answered on stdin, so the end is known by the cell after all.
            answer = client.wait_for_answer if channel != "stdin" else lambda: None
            whole = client.genuine("is_complete_request", {"code": "let x = 1;"})
            for length in range(len(whole)):
                client.send(whole[:length] or [b""])
                sent["cut short"] += 1
            for number in range(DAMAGED):
                client.send(damage(client.genuine("is_complete_request", {"code": "1"}), chance))
                sent["damaged"] += 1
                if number % BATCH == 0:
                    answer()
            for number in range(NONSENSE):
                client.send(nonsense(client, chance))
                sent["signed nonsense"] += 1
                if number % BATCH == 0:
                    answer()
            if channel == "shell":
                for name, parts in oversized(client).items():
                    client.send(parts)
                    sent[name] += 1
                    answer()
            answer()
            answers += client.answers
            client.socket.close()
    seconds = time.monotonic() - begun
    assert kernel.value("kept") == '"kept"'
    # The allocator gives pages back after a while.
    wait_until(lambda: memory_mb(kernel.process) < before + 150, "what was refused to be given back")
    after = memory_mb(kernel.process)

    messages = sent.total()
    path = keep(
        "hostile",
        {
            "form": "full" if FULL else "short",
            "seed": seed(),
            "messages": dict(sent),
            "answers": answers,
            "seconds": round(seconds, 1),
            "server_mb": {"before": before, "after": after},
        },
    )
    say(
        capsys,
        f"Hostile messages: {messages:,} sent in {seconds:.0f} s, {answers:,} answers;"
        f" BENCHBOOK_SEED={seed()}",
        *(f"  {count:7,} × {kind}" for kind, count in sent.items()),
        f"  server: {before:g} MB before, {after:g} MB after; {path.relative_to(REPOSITORY)}",
    )


def test_connections_that_speak_no_zeromq_are_no_matter(kernel: Kernel) -> None:
    connection = kernel.client.get_connection_info()
    chance = dice("connections")
    for channel in ("shell", "control", "stdin", "iopub", "hb"):
        address = (connection["ip"], connection[f"{channel}_port"])
        for text in (b"", b"GET / HTTP/1.1\r\n\r\n", chance.randbytes(2000), b"\xff\0\0\0\0\0\0\0\1\x7f"):
            with socket.create_connection(address, timeout=PATIENCE) as plain:
                plain.sendall(text)
    assert kernel.value("6 * 7") == "42"


def test_clients_that_come_and_go_are_no_matter(kernel: Kernel) -> None:
    with zmq.Context() as context:
        for _ in range(100):
            client = Client(kernel, context, "shell")
            client.send(client.genuine("is_complete_request", {"code": "1"}))
            client.socket.close()
    assert kernel.value("6 * 7") == "42"


def test_what_is_no_subscription_is_no_matter(kernel: Kernel) -> None:
    connection = kernel.client.get_connection_info()
    with zmq.Context() as context, context.socket(zmq.XSUB) as subscriber:
        subscriber.linger = 0
        subscriber.connect(f"tcp://{connection['ip']}:{connection['iopub_port']}")
        subscriber.send(b"\1")  # All topics.
        for parts in ([b"\2" * 100], [b""], [b"\1" * 5000], [b"\0"], [b"a", b"b", b"c"]):
            subscriber.send_multipart(parts)
        cell = kernel.good('println!("published");')
        assert cell.stdout == "published\n"

"""Connections that speak no ZeroMQ, and clients that come and go. `environment/soak` sends malformed messages."""

from __future__ import annotations

import socket

import zmq

from driver import PATIENCE, Kernel
from figures import dice
from malformed import Client


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

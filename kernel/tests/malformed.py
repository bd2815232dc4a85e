"""Messages that are damaged, forged, huge or nonsense, and a client that sends them.

The parser alone is tested in Rust with far more cases (`kernel/jupyter/src/wire/incoming/tests.rs`); here whole messages
go through the sockets.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import zmq
from jupyter_client.session import Session

from driver import PATIENCE, Kernel

DELIMITER = b"<IDS|MSG>"
MEBIBYTE = 1 << 20

Parts = list[bytes]

KINDS = [
    "comm_close",
    "comm_info_request",
    "comm_msg",
    "comm_open",
    "complete_request",
    "connect_request",
    "debug_request",
    "execute_reply",
    "history_request",
    "input_reply",
    "inspect_request",
    "interrupt_request",
    "is_complete_request",
    "kernel_info_request",
    "usage_request",
    "make_coffee_request",
    "",
]

KEYS = [
    "allow_stdin", "code", "comm_id", "cursor_pos", "data", "detail_level", "hist_access_type", "n",
    "other", "output", "pattern", "raw", "restart", "session", "silent", "start", "status", "stop",
    "store_history", "target_name", "unique", "user_expressions", "value",
]  # fmt: skip

LEAVES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400, 0.5, 1e308, "", "x", "tail",
    "range", "search", "*", "[", "\0", "\ud800", "🦀" * 50, "a" * 10_000,
]  # fmt: skip


class Client:
    """A connection to one channel that sends what it likes."""

    def __init__(self, kernel: Kernel, context: zmq.Context, channel: str) -> None:
        connection = kernel.client.get_connection_info()
        self.session = Session(key=connection["key"])
        self.socket = context.socket(zmq.DEALER)
        # What was sent is not taken back by a close.
        self.socket.linger = PATIENCE * 1000
        self.socket.connect(f"tcp://{connection['ip']}:{connection[f'{channel}_port']}")
        self.answers = 0

    def genuine(self, kind: str, content: Any, metadata: Any = None) -> Parts:
        message = self.session.msg(kind, {})
        message["content"], message["metadata"] = content, metadata or {}
        return self.session.serialize(message)

    def signed(self, parts: Parts) -> Parts:
        """The parts after the delimiter with the signature that belongs to them."""
        return [DELIMITER, self.session.sign(parts), *parts]

    def send(self, parts: Parts) -> None:
        self.socket.send_multipart(parts, copy=False)

    def wait_for_answer(self) -> None:
        """Asks a genuine question; the kernel has read everything before it when it answers."""
        question = self.session.msg("kernel_info_request", {})
        self.send(self.session.serialize(question))
        while True:
            assert self.socket.poll(PATIENCE * 1000), "the kernel answers no more"
            _, parts = self.session.feed_identities(self.socket.recv_multipart())
            self.answers += 1
            reply = self.session.deserialize(parts)
            if reply["parent_header"].get("msg_id") == question["header"]["msg_id"]:
                assert reply["content"]["status"] == "ok"
                return


def damage(parts: Parts, dice: Random) -> Parts:
    """Something is done to the parts that leaves no genuine message."""
    parts = list(parts)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(parts)) if parts else 0
        match dice.randrange(7):
            case 0 if parts:
                del parts[at]
            case 1:
                parts.insert(at, dice.choice([DELIMITER, b"", dice.randbytes(40)]))
            case 2 if parts:
                other = dice.randrange(len(parts))
                parts[at], parts[other] = parts[other], parts[at]
            case 3 if parts and parts[at]:
                changed = bytearray(parts[at])
                changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
                parts[at] = bytes(changed)
            case 4 if parts:
                parts[at] = parts[at][: dice.randrange(len(parts[at]) + 1)]
            case 5:
                del parts[at:]
            case _:
                parts = [dice.randbytes(dice.randrange(60)) for _ in range(dice.randrange(1, 9))]
    return parts or [b""]


def value(dice: Random, depth: int = 0) -> Any:
    """Some JSON."""
    if depth == 3 or dice.random() < 0.6:
        return dice.choice(LEAVES)
    if dice.random() < 0.5:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice(KEYS): value(dice, depth + 1) for _ in range(dice.randrange(4))}


def nonsense(client: Client, dice: Random) -> Parts:
    """A message with a good signature and a content that nobody expects."""
    content = value(dice) if dice.random() < 0.2 else {
        key: value(dice) for key in dice.sample(KEYS, dice.randrange(8))
    }  # fmt: skip
    header = client.session.msg_header(dice.choice(KINDS))
    header["date"] = "whenever"
    texts = [header, value(dice), value(dice), content]
    return client.signed([json.dumps(text).encode(errors="surrogatepass") for text in texts])


def oversized(client: Client) -> dict[str, Parts]:
    """Messages that are too much, most of them with a good signature."""
    header = json.dumps(client.session.msg_header("is_complete_request"), default=str).encode()
    nested = b"[" * 5 * MEBIBYTE
    return {
        "64 MiB of code": client.genuine("is_complete_request", {"code": "x" * (64 * MEBIBYTE)}),
        "nested 5 million deep": client.signed([header, b"{}", b"{}", b'{"code":' + nested]),
        "a number of 1 million digits": client.signed(
            [header, b"{}", b"{}", b'{"cursor_pos":' + b"9" * 1_000_000 + b"}"]
        ),
        "5,000 parts": [*client.genuine("is_complete_request", {"code": "x"}), *[b""] * 5000],
        "300 MiB, unsigned": [DELIMITER, b"", b"\0" * (300 * MEBIBYTE), b"", b"", b""],
    }

"""The 27 points of runtimed/kernel-testbed, the public comparison of Jupyter kernels, in our words.

They are asked here as that suite asks them: raw requests, one after the other, and the first
message on the channel is taken for the reply. Where the suite is content with any answer of the
right type, these tests also look at what it says.
"""

from __future__ import annotations

import time
import uuid
from queue import Empty
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from driver import PATIENCE, Kernel

Message = dict[str, Any]


def until_idle(kernel: Kernel, request: str) -> list[Message]:
    """What is published for a request, up to and with its idle status."""
    found: list[Message] = []
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            message = kernel.client.get_iopub_msg(timeout=1)
        except Empty:
            continue
        if message["parent_header"].get("msg_id") == request:
            found.append(message)
            if message["content"].get("execution_state") == "idle":
                return found
    raise AssertionError(f"the kernel did not become idle in {PATIENCE} s")


def first_reply(kernel: Kernel, request: str) -> Message:
    """The next message on the shell channel, which must be the reply and the only one."""
    reply = kernel.client.get_shell_msg(timeout=PATIENCE)
    assert reply["parent_header"].get("msg_id") == request
    return reply


def run(kernel: Kernel, code: str, **options: Any) -> tuple[Message, list[Message]]:
    """The reply to a cell and everything that is published for it."""
    request = kernel.client.execute(code, **options)
    published = until_idle(kernel, request)
    return first_reply(kernel, request), published


def ask(kernel: Kernel, kind: str, content: dict[str, Any]) -> Message:
    """The reply to any other request on the shell channel."""
    message = kernel.client.session.msg(kind, content)
    kernel.client.shell_channel.send(message)
    reply = first_reply(kernel, message["header"]["msg_id"])
    assert reply["msg_type"] == kind.replace("_request", "_reply")
    until_idle(kernel, message["header"]["msg_id"])
    return reply["content"]


def of(published: list[Message], kind: str) -> list[dict[str, Any]]:
    """The contents of one type, without what shows only while a slow cell is compiled."""
    own = [message for message in published if not message["metadata"].get("benchbook_transient")]
    return [message["content"] for message in own if message["msg_type"] == kind]


@pytest.fixture
def info(kernel: Kernel) -> dict[str, Any]:
    return ask(kernel, "kernel_info_request", {})


# Basic protocol


def test_01_the_heartbeat_gives_back_what_it_gets(kernel: Kernel) -> None:
    connection = kernel.client.get_connection_info()
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.connect(f"tcp://{connection['ip']}:{connection['hb_port']}")
        for ping in (b"ping", b"", bytes(range(256))):
            socket.send(ping)
            assert socket.poll(PATIENCE * 1000), "no heartbeat"
            assert socket.recv() == ping


def test_02_kernel_info_is_a_success(info: dict[str, Any]) -> None:
    assert info["status"] == "ok"


def test_03_kernel_info_names_the_language(info: dict[str, Any]) -> None:
    assert info["language_info"]["name"] == "rust"


def test_04_kernel_info_names_the_protocol(info: dict[str, Any]) -> None:
    assert info["protocol_version"] == "5.4"


def test_05_a_print_is_a_stream_on_stdout(kernel: Kernel) -> None:
    _, published = run(kernel, 'println!("hello");')
    assert of(published, "stream") == [{"name": "stdout", "text": "hello\n"}]


def test_06_a_print_to_stderr_is_a_stream_on_stderr(kernel: Kernel) -> None:
    _, published = run(kernel, 'eprintln!("error");')
    assert of(published, "stream") == [{"name": "stderr", "text": "error\n"}]


def test_07_a_valid_cell_is_a_success(kernel: Kernel) -> None:
    reply, _ = run(kernel, "let x = 1;")
    assert reply["msg_type"] == "execute_reply"
    assert reply["content"]["status"] == "ok"


def test_08_busy_comes_first_and_idle_last(kernel: Kernel) -> None:
    _, published = run(kernel, "let x = 1;")
    states = [content["execution_state"] for content in of(published, "status")]
    assert states == ["busy", "idle"]
    assert published[0]["msg_type"] == published[-1]["msg_type"] == "status"


def test_09_the_input_is_broadcast(kernel: Kernel) -> None:
    reply, published = run(kernel, "let x = 1;")
    count = reply["content"]["execution_count"]
    assert of(published, "execute_input") == [{"code": "let x = 1;", "execution_count": count}]


def test_10_a_shutdown_is_answered_before_the_end(kernels: Any) -> None:
    kernel: Kernel = kernels()
    message = kernel.client.session.msg("shutdown_request", {"restart": False})
    kernel.client.control_channel.send(message)
    reply = kernel.client.get_control_msg(timeout=PATIENCE)
    assert reply["msg_type"] == "shutdown_reply"
    assert reply["parent_header"]["msg_id"] == message["header"]["msg_id"]
    assert reply["content"] == {"status": "ok", "restart": False}
    assert kernel.manager.provisioner.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("topic", [b"", b"benchbook"])
def test_11_a_subscriber_is_welcomed(kernel: Kernel, topic: bytes) -> None:
    connection = kernel.client.get_connection_info()
    session = Session(key=connection["key"])
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        socket.subscribe(topic)
        socket.connect(f"tcp://{connection['ip']}:{connection['iopub_port']}")
        assert socket.poll(PATIENCE * 1000), "no welcome"
        identities, parts = session.feed_identities(socket.recv_multipart())
    welcome = session.deserialize(parts)
    assert identities == [topic]
    assert welcome["msg_type"] == "iopub_welcome"
    assert welcome["content"] == {"subscription": topic.decode()}
    assert welcome["parent_header"] == {}


# Interactive features

COMPLETED = "test_variable_for_completion"


def test_12_a_variable_is_completed(kernel: Kernel) -> None:
    run(kernel, f"let {COMPLETED} = 42;")
    prefix = "test_variable_for_"
    reply = ask(kernel, "complete_request", {"code": prefix, "cursor_pos": len(prefix)})
    assert reply["status"] == "ok"
    assert reply["matches"] == [COMPLETED]
    assert (reply["cursor_start"], reply["cursor_end"]) == (0, len(prefix))


def test_13_a_variable_is_inspected(kernel: Kernel) -> None:
    run(kernel, f"let {COMPLETED} = 42;")
    question = {"code": COMPLETED, "cursor_pos": len(COMPLETED), "detail_level": 0}
    reply = ask(kernel, "inspect_request", question)
    assert reply["status"] == "ok" and reply["found"]
    assert "i32" in reply["data"]["text/plain"]


def test_14_a_complete_cell_is_complete(kernel: Kernel) -> None:
    assert ask(kernel, "is_complete_request", {"code": "let x = 1;"})["status"] == "complete"


def test_15_an_open_cell_is_incomplete(kernel: Kernel) -> None:
    assert ask(kernel, "is_complete_request", {"code": "fn foo("})["status"] == "incomplete"


def test_16_the_history_is_told(kernel: Kernel) -> None:
    run(kernel, "let x = 1;")
    question = {"hist_access_type": "tail", "n": 10, "output": False, "raw": True}
    reply = ask(kernel, "history_request", question)
    assert reply["status"] == "ok"
    assert reply["history"][-1][2] == "let x = 1;"


def test_17_open_comms_are_told(kernel: Kernel) -> None:
    # Without a target as that suite asks, which is to mean all of them.
    for question in ({}, {"target_name": None}, {"target_name": "jupyter.widget"}):
        assert ask(kernel, "comm_info_request", question) == {"status": "ok", "comms": {}}


def test_18_a_syntax_error_is_an_error_on_both_channels(kernel: Kernel) -> None:
    reply, published = run(kernel, "fn fn")
    assert reply["content"]["status"] == "error"
    assert [error["ename"] for error in of(published, "error")] == ["CompileError"]


# Rich output


def test_19_a_display_is_published(kernel: Kernel) -> None:
    _, published = run(kernel, 'display(&Bundle::text("bold").html("<b>bold</b>"));')
    (shown,) = of(published, "display_data")
    assert shown["data"] == {"text/plain": "bold", "text/html": "<b>bold</b>"}


def test_20_a_display_is_updated(kernel: Kernel) -> None:
    _, published = run(
        kernel,
        'let handle = display(&Bundle::text("initial")); handle.update(&Bundle::text("updated"));',
    )
    (shown,), (updated,) = of(published, "display_data"), of(published, "update_display_data")
    assert shown["transient"]["display_id"] == updated["transient"]["display_id"]
    assert updated["data"]["text/plain"] == "updated"


def test_21_an_expression_is_a_result(kernel: Kernel) -> None:
    reply, published = run(kernel, "1 + 1")
    (result,) = of(published, "execute_result")
    assert result["data"] == {"text/plain": "2"}
    assert result["execution_count"] == reply["content"]["execution_count"]


# The suite's own cell for Rust, as every user of evcxr writes it: type, method and value in one cell.
EVCXR_HTML = r"""
pub struct Html(pub &'static str);
impl Html {
    pub fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT text/html\n{}\nEVCXR_END_CONTENT", self.0);
    }
}
Html("<b>bold</b>")
"""


@pytest.mark.parametrize(
    "code",
    [EVCXR_HTML, 'Bundle::text("bold").html("<b>bold</b>")'],
    ids=["evcxr_display", "Rich"],
)
def test_22_a_result_is_rich(kernel: Kernel, code: str) -> None:
    _, published = run(kernel, code)
    (result,) = of(published, "execute_result")
    assert result["data"]["text/html"] == "<b>bold</b>"


# Advanced features


def test_23_a_question_reaches_the_user_and_its_answer_the_cell(kernel: Kernel) -> None:
    request = kernel.client.execute('input("Enter: ")?', allow_stdin=True)
    question = kernel.client.get_stdin_msg(timeout=PATIENCE)
    assert question["msg_type"] == "input_request"
    assert question["parent_header"]["msg_id"] == request
    assert question["content"] == {"prompt": "Enter: ", "password": False}
    answer = kernel.client.session.msg("input_reply", {"value": "42", "status": "ok"}, parent=question)
    kernel.client.stdin_channel.send(answer)
    published = until_idle(kernel, request)
    assert first_reply(kernel, request)["content"]["status"] == "ok"
    assert of(published, "execute_result")[0]["data"]["text/plain"] == '"42"'


def test_24_a_comm_that_nobody_knows_is_closed(kernel: Kernel) -> None:
    content = {"comm_id": str(uuid.uuid4()), "target_name": "nobody.knows.this", "data": {}}
    message = kernel.client.session.msg("comm_open", content)
    kernel.client.shell_channel.send(message)
    published = until_idle(kernel, message["header"]["msg_id"])
    assert [close["comm_id"] for close in of(published, "comm_close")] == [content["comm_id"]]
    reply, _ = run(kernel, "let x = 1;")
    assert reply["content"]["status"] == "ok", "nothing else has come on the shell channel"


def test_25_an_interrupt_of_nothing_is_answered(kernel: Kernel) -> None:
    message = kernel.client.session.msg("interrupt_request", {})
    kernel.client.control_channel.send(message)
    reply = kernel.client.get_control_msg(timeout=PATIENCE)
    assert reply["msg_type"] == "interrupt_reply"
    assert reply["parent_header"]["msg_id"] == message["header"]["msg_id"]
    assert reply["content"]["status"] == "ok"


def test_26_the_execution_count_goes_up_by_one(kernel: Kernel) -> None:
    counts = [run(kernel, "let x = 1;")[0]["content"]["execution_count"] for _ in range(3)]
    assert counts == [counts[0], counts[0] + 1, counts[0] + 2]


def test_27_every_message_names_the_request_that_it_belongs_to(kernel: Kernel) -> None:
    reply, published = run(kernel, 'println!("hello"); display(&Bundle::text("a")); 1')
    for message in [reply, *published]:
        assert message["parent_header"]["msg_type"] == "execute_request"
        assert message["parent_header"]["session"] == kernel.client.session.session

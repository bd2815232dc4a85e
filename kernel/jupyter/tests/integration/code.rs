//! Questions about code, between cells and beside them.

use crate::fixture::Session;
use crate::frontend::Channel;
use serde_json::json;

#[test]
fn a_completion_counts_code_points() {
    let mut session = Session::start();
    let request = json!({"code": "let 🦀 = né; more", "cursor_pos": 10});
    session.frontend.execute("");
    let content = session.frontend.asked(Channel::Shell, "complete_request", request);
    assert_eq!(
        content,
        json!({
            "status": "ok", "matches": ["néné", "né!"], "cursor_start": 8, "cursor_end": 10,
            "metadata": {"_jupyter_types_experimental": [
                {"text": "néné", "type": "evaluator", "start": 8, "end": 10},
                {"text": "né!", "type": "", "start": 8, "end": 10},
            ]},
        })
    );
}

#[test]
fn a_cursor_past_the_end_is_the_end() {
    let mut session = Session::start();
    session.frontend.execute("");
    for request in [json!({"code": "ab", "cursor_pos": 9}), json!({"code": "ab"})] {
        let content = session.frontend.asked(Channel::Shell, "complete_request", request);
        assert_eq!(content["matches"][0], "abab");
        assert_eq!(content["cursor_end"], 2);
    }
}

#[test]
fn an_inspection_says_whether_something_was_found() {
    let mut session = Session::start();
    session.frontend.execute("");
    let mut inspect = |request| session.frontend.asked(Channel::Shell, "inspect_request", request);
    assert_eq!(
        inspect(json!({"code": "né x", "cursor_pos": 2, "detail_level": 1})),
        json!({"status": "ok", "found": true, "metadata": {},
               "data": {"text/plain": "evaluator Full né"}})
    );
    assert_eq!(
        inspect(json!({"code": "", "cursor_pos": 0})),
        json!({"status": "ok", "found": false, "metadata": {}, "data": {}})
    );
}

#[test]
fn code_is_complete_or_not() {
    let mut session = Session::start();
    let mut ask =
        |code| session.frontend.asked(Channel::Shell, "is_complete_request", json!({"code": code}));
    assert_eq!(ask("a;"), json!({"status": "complete"}));
    assert_eq!(ask("a {"), json!({"status": "incomplete", "indent": "    "}));
    assert_eq!(ask("a )"), json!({"status": "invalid"}));
    assert_eq!(ask("a"), json!({"status": "unknown"}));
    assert_eq!(ask("a !")["ename"], "KernelPanic");
    assert_eq!(ask("a;"), json!({"status": "complete"}));
}

#[test]
fn questions_are_answered_while_a_cell_runs() {
    let mut session = Session::start();
    let id = session.frontend.running("gate");
    for (kind, request, key, answer) in [
        (
            "complete_request",
            json!({"code": "ab", "cursor_pos": 2}),
            "matches",
            json!(["abab", "ab!"]),
        ),
        (
            "inspect_request",
            json!({"code": "ab", "cursor_pos": 2}),
            "data",
            json!({"text/plain": "control Brief ab"}),
        ),
        ("is_complete_request", json!({"code": "ab;"}), "status", json!("complete")),
        ("kernel_info_request", json!({}), "implementation", json!("echo")),
        (
            "history_request",
            json!({"hist_access_type": "tail", "n": 9, "raw": true, "output": false}),
            "history",
            json!([]),
        ),
    ] {
        let asked = session.frontend.send(Channel::Shell, kind, request);
        let reply = session.frontend.reply(Channel::Shell, &asked);
        assert_eq!(reply.content[key], answer, "{kind}");
        assert_eq!(session.frontend.next_published(2), ["busy", "idle"]);
        let again = session.frontend.recv(Channel::IoPub);
        assert_eq!((again.brief().as_str(), again.parent_id()), ("busy", id.as_str()));
    }
    session.open_gate();
    session.frontend.reply(Channel::Shell, &id);
    assert_eq!(session.frontend.next_published(1), ["idle"]);
}

#[test]
fn a_panic_while_completing_is_answered() {
    let mut session = Session::start();
    session.frontend.execute("");
    let request = json!({"code": "panic", "cursor_pos": 5});
    let content = session.frontend.asked(Channel::Shell, "complete_request", request);
    assert_eq!(content["status"], "error");
    assert_eq!(session.frontend.execute("print a").brief(), ["stdout \"a\""]);
}

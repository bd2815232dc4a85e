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

#[test]
fn a_cell_waits_for_no_questions_and_stale_ones_are_dropped() {
    let mut session = Session::start();
    session.frontend.execute("");
    assert_eq!(session.event(), "execute ");
    let mut ask = |n: usize| {
        let request = json!({"code": format!("slow{n}"), "cursor_pos": 4});
        session.frontend.send(Channel::Shell, "complete_request", request)
    };
    let first = ask(0);
    assert_eq!(session.remote.events.recv().unwrap(), "complete slow0");
    let stale: Vec<String> = (1..300).map(&mut ask).collect();
    let latest = ask(300);
    let cell = session.frontend.start("print a");
    for id in &stale {
        assert_eq!(
            session.frontend.reply(Channel::Shell, id).content,
            json!({"status": "aborted"})
        );
    }
    // The latest has been taken by the other thread, since a cell waits.
    let reply = session.frontend.reply(Channel::Shell, &latest);
    assert_eq!(reply.content["metadata"]["_jupyter_types_experimental"][0]["type"], "control");
    session.open_gate();
    assert_eq!(session.frontend.reply(Channel::Shell, &first).content["status"], "ok");
    assert_eq!(session.frontend.reply(Channel::Shell, &cell).content["status"], "ok");
    assert_eq!(session.event(), "execute print a");
    let mut ids: Vec<&str> = stale.iter().map(String::as_str).collect();
    ids.extend([first.as_str(), latest.as_str(), cell.as_str()]);
    assert_eq!(session.frontend.published_for(&ids)[&cell][1].brief(), "stdout \"a\"");
}

#[test]
fn questions_of_two_clients_do_not_replace_each_other() {
    let mut session = Session::start();
    let mut other = crate::frontend::Frontend::connect(&session.connection);
    let cell = session.frontend.running("gate");
    other.next_published(2);
    let request = json!({"code": "ab", "cursor_pos": 2});
    let one = session.frontend.send(Channel::Shell, "complete_request", request.clone());
    let two = other.send(Channel::Shell, "complete_request", request);
    assert_eq!(session.frontend.reply(Channel::Shell, &one).content["status"], "ok");
    assert_eq!(other.reply(Channel::Shell, &two).content["status"], "ok");
    session.open_gate();
    session.frontend.reply(Channel::Shell, &cell);
    for frontend in [&session.frontend, &other] {
        let mut idle = 0;
        while idle < 3 {
            idle += usize::from(frontend.recv(Channel::IoPub).brief() == "idle");
        }
    }
    other.ended = true;
}

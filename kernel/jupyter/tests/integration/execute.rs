//! Cells: counts, silence, replies.

use crate::fixture::Session;
use serde_json::json;

#[test]
fn a_cell_is_busy_then_echoed_then_shown_then_idle() {
    let mut session = Session::start();
    let ran = session.frontend.execute("print one\neprint two\nresult three");
    assert_eq!(ran.status(), "ok");
    assert_eq!(ran.reply.content["execution_count"], 1);
    let kinds: Vec<_> = ran.outputs.iter().map(|message| message.brief()).collect();
    assert_eq!(kinds, ["execute_input", "stdout \"one\"", "stderr \"two\"", "execute_result"]);
    assert_eq!(
        ran.outputs[0].content,
        json!({"code": "print one\neprint two\nresult three", "execution_count": 1})
    );
    assert_eq!(
        ran.outputs[3].content,
        json!({"execution_count": 1, "data": {"text/plain": "three"}, "metadata": {}, "transient": {}})
    );
}

#[test]
fn every_output_and_the_reply_carry_the_whole_header_of_the_request() {
    let mut session = Session::start();
    let ran = session.frontend.execute("print one\nfail two");
    for message in ran.outputs.iter().chain([&ran.reply]) {
        assert_eq!(message.parent["msg_id"], ran.id.as_str());
        assert_eq!(message.parent["username"], "tester");
        assert!(message.parent.as_object().unwrap().contains_key("subshell_id"));
    }
}

#[test]
fn cells_are_counted_from_one_also_those_that_fail() {
    let mut session = Session::start();
    for (number, code) in [(1, "print a"), (2, "fail b"), (3, "print c")] {
        assert_eq!(session.frontend.execute(code).reply.content["execution_count"], number);
    }
}

#[test]
fn a_silent_cell_publishes_nothing_and_is_not_counted() {
    let mut session = Session::start();
    let code = "print a\ndisplay b\nresult c";
    let silent =
        session.frontend.execute_with(json!({"code": code, "silent": true, "store_history": true}));
    assert_eq!(silent.status(), "ok");
    assert!(silent.outputs.is_empty(), "{:?}", silent.brief());
    let failed = session.frontend.execute_with(json!({"code": "fail x", "silent": true}));
    assert_eq!(failed.reply.content["evalue"], "x");
    assert!(failed.outputs.is_empty());
    assert_eq!(session.frontend.execute("").reply.content["execution_count"], 1);
}

#[test]
fn a_cell_that_is_not_stored_is_shown_but_not_counted() {
    let mut session = Session::start();
    let ran = session.frontend.execute_with(json!({"code": "print a", "store_history": false}));
    assert_eq!(ran.brief(), ["stdout \"a\""]);
    assert_eq!(ran.outputs[0].content["execution_count"], 1);
    assert_eq!(session.frontend.execute("").reply.content["execution_count"], 1);
    assert_eq!(session.frontend.execute("").reply.content["execution_count"], 2);
}

#[test]
fn user_expressions_and_payloads_are_in_the_reply() {
    let mut session = Session::start();
    let ran = session.frontend.execute_with(
        json!({"code": "print x", "user_expressions": {"a": "1 + 1", "b": "fail no"}}),
    );
    let content = &ran.reply.content;
    assert_eq!(
        content["user_expressions"],
        json!({
            "a": {"status": "ok", "data": {"text/plain": "1 + 1"}, "metadata": {}},
            "b": {"status": "error", "ename": "EchoError", "evalue": "no",
                  "traceback": ["EchoError: no"]},
        })
    );
    assert_eq!(
        content["payload"],
        json!([{"source": "set_next_input", "text": "print x", "replace": false}])
    );
    assert_eq!(session.frontend.execute("").reply.content["user_expressions"], json!({}));
}

#[test]
fn the_metadata_says_when_and_how_long() {
    let mut session = Session::start();
    let ok = session.frontend.execute("").reply.metadata;
    assert_eq!(ok["status"], "ok");
    assert_eq!(ok["compile_seconds"], 0.25);
    assert!(ok["started"].as_str().unwrap().ends_with('Z'));
    assert_eq!(session.frontend.execute("fail x").reply.metadata["status"], "error");
}

#[test]
fn a_failure_is_published_once_and_is_in_the_reply() {
    let mut session = Session::start();
    let ran = session.frontend.execute("print before\nfail why");
    assert_eq!(ran.brief(), ["stdout \"before\"", "error"]);
    let failure = json!({"ename": "EchoError", "evalue": "why", "traceback": ["EchoError: why"]});
    assert_eq!(ran.outputs[2].content, failure);
    assert_eq!(ran.status(), "error");
    for (key, value) in failure.as_object().unwrap() {
        assert_eq!(ran.reply.content[key], *value);
    }
}

#[test]
fn a_panic_of_the_evaluator_fails_the_cell_and_nothing_else() {
    let mut session = Session::start();
    let ran = session.frontend.execute("print before\npanic ouch");
    assert_eq!(ran.reply.content["ename"], "KernelPanic");
    assert_eq!(ran.reply.content["evalue"], "ouch");
    assert_eq!(ran.brief(), ["stdout \"before\"", "error"]);
    assert_eq!(session.frontend.execute("print after").brief(), ["stdout \"after\""]);
}

#[test]
fn a_request_without_code_is_answered_with_an_error() {
    let mut session = Session::start();
    let ran = session.frontend.execute_with(json!({"silent": false}));
    assert_eq!(ran.status(), "error");
    assert_eq!(ran.reply.content["ename"], "BadRequest");
    assert!(ran.reply.content["evalue"].as_str().unwrap().contains("`code`"));
    assert_eq!(ran.brief(), ["error"], "a notebook shows outputs, not replies");
}

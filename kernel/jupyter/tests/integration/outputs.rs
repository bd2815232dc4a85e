//! Streams, displays, their order.

use crate::fixture::Session;
use serde_json::json;

#[test]
fn tiny_prints_leave_as_few_messages_in_order() {
    let mut session = Session::start();
    let ran = session.frontend.execute("prints 100000");
    let streams: Vec<_> = ran.outputs.iter().filter(|message| message.kind() == "stream").collect();
    let text: String =
        streams.iter().map(|message| message.content["text"].as_str().unwrap()).collect();
    assert!(text.lines().eq((0..100_000).map(|n| n.to_string())));
    assert!(streams.len() < 1000, "{} messages", streams.len());
}

#[test]
fn text_stays_before_what_follows_it() {
    let mut session = Session::start();
    let ran = session.frontend.execute(
        "print a\ndisplay x\nprint b\neprint c\nprint d\nclear\nprint e\nresult y\nprint f",
    );
    assert_eq!(
        ran.brief(),
        [
            "stdout \"a\"",
            "display_data",
            "stdout \"b\"",
            "stderr \"c\"",
            "stdout \"d\"",
            "clear_output",
            "stdout \"e\"",
            "execute_result",
            "stdout \"f\""
        ]
    );
}

#[test]
fn text_arrives_while_the_cell_runs() {
    let mut session = Session::start();
    let id = session.frontend.running("print live\ngate");
    assert_eq!(session.frontend.next_published(1), ["stdout \"live\""]);
    session.open_gate();
    assert_eq!(
        session.frontend.reply(crate::frontend::Channel::Shell, &id).kind(),
        "execute_reply"
    );
    assert_eq!(session.frontend.next_published(1), ["idle"]);
}

#[test]
fn threads_of_a_cell_can_print_at_once() {
    let mut session = Session::start();
    let ran = session.frontend.execute("threads");
    let text: String = ran.outputs[1..]
        .iter()
        .map(|message| message.content["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(text.matches('a').count(), 100);
    assert_eq!(text.matches('b').count(), 100);
}

#[test]
fn a_display_can_be_updated_by_its_id() {
    let mut session = Session::start();
    let ran = session.frontend.execute("show one\nupdate one\ndisplay two");
    let contents: Vec<_> = ran.outputs[1..].iter().map(|message| &message.content).collect();
    assert_eq!(
        contents,
        [
            &json!({"data": {"text/plain": "shown"}, "metadata": {},
                    "transient": {"display_id": "one"}}),
            &json!({"data": {"text/plain": "updated"}, "metadata": {},
                    "transient": {"display_id": "one"}}),
            &json!({"data": {"text/plain": "two", "text/html": "<b>&</b>"}, "metadata": {},
                    "transient": {}}),
        ]
    );
    assert_eq!(ran.brief(), ["display_data", "update_display_data", "display_data"]);
    let later = session.frontend.execute("update one");
    assert_eq!(later.brief(), ["update_display_data"]);
}

#[test]
fn outputs_can_be_cleared_now_or_when_the_next_comes() {
    let mut session = Session::start();
    let ran = session.frontend.execute("clear\nclear wait");
    assert_eq!(ran.outputs[1].content, json!({"wait": false}));
    assert_eq!(ran.outputs[2].content, json!({"wait": true}));
}

#[test]
fn what_is_shown_for_a_while_leaves_nothing_behind() {
    let mut session = Session::start();
    let ran = session.frontend.execute("transient a\ntransient b\nend\nend\nprint x");
    assert_eq!(
        ran.brief(),
        ["display_data", "update_display_data", "clear_output", "stdout \"x\""]
    );
    let outputs = &ran.outputs[1..];
    // A terminal prints plain text and cannot take it back.
    assert_eq!(outputs[0].content["data"], json!({"text/html": "a"}));
    assert_eq!(outputs[1].content["data"], json!({"text/html": "b"}));
    assert_eq!(outputs[0].content["transient"], outputs[1].content["transient"]);
    assert_eq!(outputs[2].content, json!({"wait": false}));
    let marked: Vec<bool> =
        outputs.iter().map(|message| message.metadata["benchbook_transient"] == true).collect();
    assert_eq!(marked, [true, true, true, false]);
}

#[test]
fn what_is_shown_for_a_while_never_takes_other_outputs_along() {
    let mut session = Session::start();
    for code in ["print x\ntransient a\nend", "transient a\nprint x\nend"] {
        let ran = session.frontend.execute(code);
        let last = ran.outputs.last().unwrap();
        assert_eq!(last.kind(), "update_display_data");
        assert_eq!(last.content["data"], json!({"text/html": ""}));
    }
}

#[test]
fn text_of_a_fast_loop_leaves_some_ten_times_a_second() {
    let mut session = Session::start();
    let ran = session.frontend.execute("spin 500");
    let streams = ran.outputs.iter().filter(|message| message.kind() == "stream").count();
    let text: String = ran.outputs[1..]
        .iter()
        .map(|message| message.content["text"].as_str().unwrap().to_owned())
        .collect();
    assert!(text.ends_with("500\r") && text.starts_with("1\r2\r"), "nothing is lost");
    // The loop says for how many milliseconds it printed; the first and the last text do not wait.
    assert_eq!(session.event(), "execute spin 500");
    let milliseconds: u64 = session.event().parse().unwrap();
    assert!(streams as u64 <= milliseconds / 100 + 3, "{streams} in {milliseconds} ms");
}

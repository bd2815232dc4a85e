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

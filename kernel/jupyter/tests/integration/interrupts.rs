//! Interrupts.

use crate::fixture::Session;
use crate::frontend::Channel;
use serde_json::json;

#[test]
fn a_running_cell_is_interrupted_by_either_channel() {
    let mut session = Session::start();
    for channel in [Channel::Control, Channel::Shell] {
        let id = session.frontend.running("wait");
        assert_eq!(session.event(), "execute wait");
        let request = session.frontend.send(channel, "interrupt_request", json!({}));
        let mut replies = [session.frontend.recv(channel), session.frontend.recv(Channel::Shell)];
        replies.sort_by_key(|reply| reply.kind().to_owned());
        let [cell, interrupt] = replies;
        assert_eq!(interrupt.content, json!({"status": "ok"}));
        assert_eq!(cell.content["ename"], "KeyboardInterrupt");
        assert_eq!(cell.parent_id(), id);
        let published = published_after_start(&session, &id, &request);
        assert_eq!(published, ["error"]);
        assert_eq!(session.event(), "interrupt");
    }
}

/// What the cell published after its start, and the interrupt beside it.
fn published_after_start(session: &Session, cell: &str, interrupt: &str) -> Vec<String> {
    let mut outputs = Vec::new();
    let mut idle = 0;
    while idle < 2 {
        let message = session.frontend.recv(Channel::IoPub);
        assert!([cell, interrupt].contains(&message.parent_id()));
        match message.brief().as_str() {
            "idle" => idle += 1,
            "busy" => {}
            other => outputs.push(other.to_owned()),
        }
    }
    outputs
}

#[test]
fn an_interrupt_aborts_the_cells_that_wait() {
    let mut session = Session::start();
    // The running cell goes on and ends well: what the user wanted to stop must not start anyway.
    let first = session.frontend.running("shrug");
    let second = session.frontend.start("print two");
    let barrier = session.frontend.send(Channel::Shell, "comm_info_request", json!({}));
    session.frontend.reply(Channel::Shell, &barrier);
    assert_eq!(session.frontend.next_published(3), ["busy", "idle", "busy"]);
    let request = session.frontend.send(Channel::Control, "interrupt_request", json!({}));
    session.frontend.reply(Channel::Control, &request);
    assert_eq!(session.frontend.reply(Channel::Shell, &first).content["status"], "ok");
    assert_eq!(session.frontend.reply(Channel::Shell, &second).content["status"], "aborted");
    let mut idle = Vec::new();
    while idle.len() < 3 {
        let message = session.frontend.recv(Channel::IoPub);
        match message.brief().as_str() {
            "idle" => idle.push(message.parent_id().to_owned()),
            other => assert_eq!(other, "busy"),
        }
    }
    idle.sort();
    let mut ids = [first, second, request];
    ids.sort();
    assert_eq!(idle, ids);
    assert_eq!(session.frontend.execute("print after").brief(), ["stdout \"after\""]);
}

#[test]
fn an_interrupt_when_nothing_runs_does_not_reach_the_next_cell() {
    let mut session = Session::start();
    let content = session.frontend.asked(Channel::Control, "interrupt_request", json!({}));
    assert_eq!(content, json!({"status": "ok"}));
    assert_eq!(session.frontend.execute("print a").brief(), ["stdout \"a\""]);
    assert_eq!(session.event(), "execute print a");
}

#[test]
fn an_interrupt_ends_a_question() {
    let mut session = Session::start();
    let id = session.frontend.running("input name?");
    let question = session.frontend.recv(Channel::Stdin);
    assert_eq!(question.parent_id(), id);
    let request = session.frontend.send(Channel::Control, "interrupt_request", json!({}));
    session.frontend.reply(Channel::Control, &request);
    let reply = session.frontend.reply(Channel::Shell, &id);
    assert_eq!(reply.content["evalue"], "interrupted");
    assert_eq!(published_after_start(&session, &id, &request), ["error"]);
}

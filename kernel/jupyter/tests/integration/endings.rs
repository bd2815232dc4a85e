//! Start and end.

use crate::fixture::{Session, connection, settings};
use crate::frontend::Channel;
use benchbook_jupyter::{End, Failure, Settings};
use serde_json::json;
use std::process::{Command, Stdio};

#[test]
fn the_channels_answer_before_the_evaluator_is_built() {
    let (build, may_build) = crossbeam_channel::bounded::<()>(0);
    let mut session = Session::build(connection(), settings(), move |echo| {
        may_build.recv().unwrap();
        echo()
    });
    session.frontend.asked(Channel::Shell, "kernel_info_request", json!({}));
    let cell = session.frontend.start("print a");
    let content = session.frontend.asked(
        Channel::Shell,
        "complete_request",
        json!({"code": "ab", "cursor_pos": 2}),
    );
    assert_eq!(content["metadata"]["_jupyter_types_experimental"][0]["type"], "control");
    build.send(()).unwrap();
    assert_eq!(session.frontend.finish(cell).brief(), ["stdout \"a\""]);
}

#[test]
fn an_evaluator_that_cannot_be_built_fails_every_cell_with_the_reason() {
    let mut session = Session::build(connection(), settings(), |_| {
        Err(Failure::new("NoCompiler", "rustc was not found"))
    });
    for number in 1..3 {
        let ran = session.frontend.execute("print a");
        assert_eq!(ran.reply.content["ename"], "NoCompiler");
        assert_eq!(ran.reply.content["execution_count"], number);
        assert_eq!(ran.brief(), ["error"]);
    }
}

#[test]
fn a_panic_while_the_evaluator_is_built_is_such_a_reason() {
    let mut session = Session::build(connection(), settings(), |_| panic!("no evaluator"));
    assert_eq!(session.frontend.execute("").reply.content["evalue"], "no evaluator");
}

#[test]
fn shutdown_is_answered_published_and_said_to_the_evaluator() {
    for (channel, restart) in [(Channel::Control, true), (Channel::Shell, false)] {
        let mut session = Session::start();
        session.frontend.execute("");
        assert_eq!(session.event(), "execute ");
        let (reply, published) =
            session.frontend.ask(channel, "shutdown_request", json!({"restart": restart}));
        assert_eq!(reply.content, json!({"status": "ok", "restart": restart}));
        assert_eq!(published[0].kind(), "shutdown_reply");
        assert_eq!(session.end(), End::Shutdown { restart });
        assert_eq!(session.event(), format!("shutdown {restart}"));
    }
}

#[test]
fn shutdown_kills_the_running_cell_and_aborts_those_that_wait() {
    let mut session = Session::start();
    let running = session.frontend.running("wait");
    assert_eq!(session.event(), "execute wait");
    let waiting = session.frontend.start("print never");
    let barrier = session.frontend.send(Channel::Shell, "comm_info_request", json!({}));
    session.frontend.reply(Channel::Shell, &barrier);
    assert_eq!(session.frontend.next_published(3), ["busy", "idle", "busy"]);
    let request = session.frontend.send(Channel::Control, "shutdown_request", json!({}));
    session.frontend.reply(Channel::Control, &request);
    assert_eq!(session.end(), End::Shutdown { restart: false });

    let killed = session.frontend.reply(Channel::Shell, &running);
    assert_eq!(killed.content["evalue"], "killed");
    let aborted = session.frontend.reply(Channel::Shell, &waiting);
    assert_eq!(aborted.content["status"], "aborted");
    let mut idle = 0;
    while idle < 3 {
        idle += usize::from(session.frontend.recv(Channel::IoPub).brief() == "idle");
    }
    let events: Vec<String> = session.remote.events.try_iter().collect();
    assert_eq!(events, ["kill", "shutdown false"]);
}

#[test]
fn shutdown_ends_a_question() {
    let mut session = Session::start();
    let id = session.frontend.running("input x");
    session.frontend.recv(Channel::Stdin);
    let request = session.frontend.send(Channel::Control, "shutdown_request", json!({}));
    session.frontend.reply(Channel::Control, &request);
    session.end();
    assert_eq!(
        session.frontend.reply(Channel::Shell, &id).content["evalue"],
        "the kernel shuts down"
    );
    let mut idle = 0;
    while idle < 2 {
        idle += usize::from(session.frontend.recv(Channel::IoPub).brief() == "idle");
    }
}

#[test]
fn the_kernel_ends_with_its_parent() {
    let mut parent = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let settings = Settings { parent: Some(parent.id()), ..settings() };
    let mut session = Session::with(connection(), settings.clone());
    assert_eq!(session.frontend.execute("print a").brief(), ["stdout \"a\""]);
    drop(parent.stdin.take());
    assert_eq!(session.end(), End::Orphaned);

    // The process is gone for good once it is waited for; a kernel that starts now is too late.
    parent.wait().unwrap();
    assert_eq!(Session::with_nobody(settings), End::Orphaned);
}

#[test]
fn signals_interrupt_and_end() {
    let mut session = Session::with(connection(), Settings { signals: true, ..settings() });
    let id = session.frontend.running("wait");
    signal_hook::low_level::raise(signal_hook::consts::SIGINT).unwrap();
    let reply = session.frontend.reply(Channel::Shell, &id);
    assert_eq!(reply.content["evalue"], "interrupted");
    assert_eq!(session.frontend.next_published(2), ["error", "idle"]);
    signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
    assert_eq!(session.end(), End::Terminated);
}

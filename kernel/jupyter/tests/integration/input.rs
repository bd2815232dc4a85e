//! Questions to the user.

use crate::fixture::Session;
use crate::frontend::{Channel, Frontend};
use serde_json::json;

#[test]
fn the_answer_reaches_the_cell() {
    let mut session = Session::start();
    for (command, password) in [("input", false), ("password", true)] {
        let id = session.frontend.running(&format!("{command} Your name: "));
        let question = session.frontend.recv(Channel::Stdin);
        assert_eq!(question.kind(), "input_request");
        assert_eq!(question.content, json!({"prompt": "Your name: ", "password": password}));
        assert_eq!(question.parent_id(), id);
        session.frontend.send(Channel::Stdin, "input_reply", json!({"value": "Ada"}));
        let reply = session.frontend.reply(Channel::Shell, &id);
        assert_eq!(reply.content["status"], "ok");
        assert_eq!(session.frontend.next_published(2), ["stdout \"<Ada>\"", "idle"]);
    }
}

#[test]
fn a_front_end_that_cannot_ask_is_not_asked() {
    let mut session = Session::start();
    let ran = session.frontend.execute_with(json!({"code": "input x", "allow_stdin": false}));
    assert_eq!(ran.status(), "error");
    assert!(ran.reply.content["evalue"].as_str().unwrap().contains("allow_stdin"));
}

#[test]
fn an_answer_to_no_question_is_dropped() {
    let mut session = Session::start();
    session.frontend.send(Channel::Stdin, "input_reply", json!({"value": "too early"}));
    session.frontend.send(Channel::Stdin, "something_else", json!({}));
    // The stdin channel has read both when it answers a question that is asked after them. They
    // could still be on their way when the question is open, so it is asked of another client.
    let mut other = Frontend::connect(&session.connection);
    let id = other.running("input who?");
    assert_eq!(session.frontend.next_published(2), ["busy", "execute_input"]);
    assert_eq!(other.recv(Channel::Stdin).kind(), "input_request");
    session.frontend.send(Channel::Stdin, "input_reply", json!({"value": "not asked"}));
    other.send(Channel::Stdin, "input_reply", json!({"value": "asked"}));
    other.reply(Channel::Shell, &id);
    for frontend in [&other, &session.frontend] {
        assert_eq!(frontend.next_published(2), ["stdout \"<asked>\"", "idle"]);
    }
    other.ended = true;
}

#[test]
fn two_questions_of_a_cell_are_asked_one_after_the_other() {
    let mut session = Session::start();
    let id = session.frontend.running("input a\ninput b");
    for (prompt, answer) in [("a", "1"), ("b", "2")] {
        assert_eq!(session.frontend.recv(Channel::Stdin).content["prompt"], prompt);
        session.frontend.send(Channel::Stdin, "input_reply", json!({"value": answer}));
        assert_eq!(session.frontend.next_published(1), [format!("stdout \"<{answer}>\"")]);
    }
    session.frontend.reply(Channel::Shell, &id);
    assert_eq!(session.frontend.next_published(1), ["idle"]);
}

#[test]
fn a_client_without_a_stdin_channel_gets_an_error() {
    let mut session = Session::start();
    // Another identity on the shell channel than on the stdin channel: nobody can be asked.
    let context = zmq::Context::new();
    let shell = context.socket(zmq::DEALER).unwrap();
    shell.set_linger(0).unwrap();
    shell.set_identity(b"another").unwrap();
    shell.connect(&session.connection.shell_url()).unwrap();
    let (id, parts) = session
        .frontend
        .message("execute_request", &json!({"code": "input x", "allow_stdin": true}));
    shell.send_multipart(parts, 0).unwrap();
    let published = session.frontend.published(&id);
    assert!(published[1].content["evalue"].as_str().unwrap().contains("no stdin channel"));
}

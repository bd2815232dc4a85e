//! Messages that are none.

use crate::fixture::Session;
use crate::frontend::{Channel, DELIMITER};
use serde_json::json;

const CHANNELS: [Channel; 3] = [Channel::Shell, Channel::Control, Channel::Stdin];

#[test]
fn a_forged_message_is_dropped() {
    let mut session = Session::start();
    for channel in CHANNELS {
        let (_, genuine) =
            session.frontend.message("execute_request", &json!({"code": "print forged"}));
        for forge in [
            |parts: &mut Vec<Vec<u8>>| parts[1] = b"0".repeat(64),
            |parts: &mut Vec<Vec<u8>>| parts[1] = Vec::new(),
            |parts: &mut Vec<Vec<u8>>| parts[1].truncate(32),
            |parts: &mut Vec<Vec<u8>>| parts[1] = b"not hexadecimal".to_vec(),
            |parts: &mut Vec<Vec<u8>>| parts[5] = br#"{"code": "print changed"}"#.to_vec(),
            |parts: &mut Vec<Vec<u8>>| parts[3] = b"{} ".to_vec(),
        ] {
            let mut parts = genuine.clone();
            forge(&mut parts);
            session.frontend.send_parts(channel, parts);
        }
    }
    assert_eq!(session.frontend.execute("print genuine").brief(), ["stdout \"genuine\""]);
}

#[test]
fn a_message_that_is_sent_again_is_dropped() {
    let mut session = Session::start();
    let (id, parts) = session.frontend.message("execute_request", &json!({"code": "print once"}));
    session.frontend.send_parts(Channel::Shell, parts.clone());
    assert_eq!(session.frontend.finish(id).status(), "ok");
    let mut capitals = parts.clone();
    capitals[1].make_ascii_uppercase();
    for replayed in [parts, capitals] {
        session.frontend.send_parts(Channel::Shell, replayed.clone());
        session.frontend.send_parts(Channel::Control, replayed);
    }
    assert_eq!(session.frontend.execute("").reply.content["execution_count"], 2);
}

#[test]
fn what_is_no_message_is_dropped() {
    let mut session = Session::start();
    for channel in CHANNELS {
        let frontend = &mut session.frontend;
        for parts in [
            vec![Vec::new()],
            vec![b"no delimiter".to_vec()],
            vec![DELIMITER.to_vec()],
            vec![DELIMITER.to_vec(); 9],
            vec![Vec::new(); 2000],
        ] {
            frontend.send_parts(channel, parts);
        }
        let (_, genuine) = frontend.message("execute_request", &json!({"code": "print x"}));
        for length in 1..genuine.len() {
            frontend.send_parts(channel, genuine[..length].to_vec());
        }
        // Signed, but not as they should be.
        let nested = "[".repeat(100_000);
        let deep = format!(r#"{{"msg_id": {nested}"#);
        for header in [
            "",
            "null",
            "[]",
            "{}",
            "\"x\"",
            r#"{"msg_id": 1, "msg_type": "execute_request"}"#,
            r#"["id", "execute_request", ""]"#,
            "\u{1F980}",
            deep.as_str(),
        ] {
            let mut parts = genuine.clone();
            parts[2] = header.as_bytes().to_vec();
            parts[1] = frontend.sign(&parts[2..]);
            frontend.send_parts(channel, parts);
        }
    }
    assert_eq!(session.frontend.execute("print alive").brief(), ["stdout \"alive\""]);
}

#[test]
fn a_large_cell_and_binary_buffers_are_taken() {
    let mut session = Session::start();
    let code = format!("print {}", "x".repeat(2 << 20));
    let (id, mut parts) = session.frontend.message("execute_request", &json!({"code": code}));
    parts.extend([vec![0; 1 << 20], b"<IDS|MSG>".to_vec()]);
    session.frontend.send_parts(Channel::Shell, parts);
    let ran = session.frontend.finish(id);
    assert_eq!(ran.status(), "ok");
    let printed: usize = ran.outputs[1..]
        .iter()
        .map(|message| message.content["text"].as_str().unwrap().len())
        .sum();
    assert_eq!(printed, 2 << 20);
}

#[test]
fn a_request_that_is_too_large_is_answered_with_an_error() {
    let mut session = Session::start();
    let code = "x".repeat(17 << 20);
    let ran = session.frontend.execute(&code);
    assert_eq!(ran.status(), "error");
    assert_eq!(ran.brief(), ["error"]);
    let words = ran.reply.content["evalue"].as_str().unwrap();
    assert!(words.contains("16777216") && words.contains("from a file"), "{words}");
    let content =
        session.frontend.asked(Channel::Shell, "is_complete_request", json!({"code": code}));
    assert_eq!(content["ename"], "BadRequest");
}

#[test]
fn a_request_of_the_wrong_shape_is_answered_with_an_error() {
    let mut session = Session::start();
    for (kind, content) in [
        ("complete_request", json!({"cursor_pos": 0})),
        ("complete_request", json!({"code": "a", "cursor_pos": -1})),
        ("inspect_request", json!(["a", 0])),
        ("is_complete_request", json!({})),
        ("history_request", json!({})),
        ("shutdown_request", json!({"restart": "yes"})),
    ] {
        let content = session.frontend.asked(Channel::Shell, kind, content);
        assert_eq!(content["ename"], "BadRequest", "{kind}");
        assert!(content["evalue"].as_str().unwrap().contains(kind));
    }
    let id = session.frontend.send(Channel::Shell, "comm_open", json!({"data": 1}));
    assert!(session.frontend.published(&id).is_empty());
}

#[test]
fn a_message_of_an_unknown_type_is_busy_and_idle() {
    let mut session = Session::start();
    for channel in [Channel::Shell, Channel::Control] {
        for kind in ["make_coffee_request", "execute_reply", ""] {
            let id = session.frontend.send(channel, kind, json!({}));
            assert!(session.frontend.published(&id).is_empty());
        }
    }
}

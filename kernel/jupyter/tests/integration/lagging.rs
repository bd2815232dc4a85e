//! Clients that read late, or never.

use crate::channels::by_hand;
use crate::fixture::Session;
use crate::frontend::{Channel, Frontend, Message};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;

/// A subscriber whose own queue holds one message, so that what it does not read waits in the kernel.
fn subscriber(session: &Session) -> Frontend {
    let frontend = Frontend::unsubscribed(&session.connection);
    let iopub = frontend.socket(Channel::IoPub);
    iopub.disconnect(&session.connection.iopub_url()).unwrap();
    iopub.set_rcvhwm(1).unwrap();
    iopub.connect(&session.connection.iopub_url()).unwrap();
    iopub.set_subscribe(b"").unwrap();
    assert_eq!(frontend.recv(Channel::IoPub).kind(), "iopub_welcome");
    frontend
}

/// What the subscriber gets for the cell, from busy to idle.
fn published(frontend: &mut Frontend, id: &str) -> Vec<Message> {
    frontend.ended = true;
    frontend.published(id)
}

fn displays(messages: &[Message]) -> usize {
    messages.iter().filter(|message| message.kind() == "display_data").count()
}

#[test]
fn a_burst_is_complete_for_a_client_that_reads_late() {
    let mut session = Session::start();
    let id = session.frontend.start("displays 50000 10");
    session.frontend.reply(Channel::Shell, &id);
    let outputs = session.frontend.published(&id);
    assert_eq!(displays(&outputs), 50_000);
    assert_eq!(outputs.len(), 50_001);
}

#[test]
fn a_client_may_lag_by_256_megabytes() {
    let mut session = Session::start();
    let mut late = subscriber(&session);
    let ran = session.frontend.execute("displays 256 1000000");
    let outputs = published(&mut late, &ran.id);
    assert_eq!((displays(&ran.outputs), displays(&outputs)), (256, 256));
    assert_eq!(outputs.len(), 257);
}

#[test]
fn a_client_that_lags_further_is_told_what_it_lacks_and_the_others_get_all() {
    let mut session = Session::start();
    let mut late = subscriber(&session);
    let ran = session.frontend.execute("displays 400 1000000\nprint end");
    assert_eq!(displays(&ran.outputs), 400);
    let outputs = published(&mut late, &ran.id);
    let shown = displays(&outputs);
    assert!((256..400).contains(&shown), "{shown}");
    let notice = outputs.last().unwrap();
    assert_eq!((notice.kind(), &notice.content["name"]), ("stream", &json!("stderr")));
    // The text is dropped, too.
    let lost = format!("{} outputs (", 400 - shown + 1);
    let text = notice.content["text"].as_str().unwrap();
    assert!(text.starts_with(&lost) && text.contains(" MB) are not shown"), "{lost}: {text}");
    let next = session.frontend.execute("print next");
    let outputs = published(&mut late, &next.id);
    assert_eq!(outputs.last().unwrap().brief(), "stdout \"next\"", "it has caught up");
}

#[test]
fn an_output_larger_than_the_lag_is_shown() {
    let mut session = Session::start();
    let ran = session.frontend.execute("displays 1 300000000");
    assert_eq!(displays(&ran.outputs), 1);
}

#[test]
fn one_that_never_reads_and_ends_is_no_matter() {
    let mut session = Session::start();
    let late = subscriber(&session);
    session.frontend.execute("displays 300 1000000");
    let mut late = late;
    late.ended = true;
    // Its `Drop` would look for what is left unread.
    std::mem::forget(late);
    assert_eq!(session.frontend.execute("print a").brief(), ["stdout \"a\""]);
}

/// Connections that send nothing sensible, or nothing at all, keep nobody out.
#[test]
fn idle_connections_keep_nobody_out() {
    let session = Session::start();
    let port = session.connection.shell_port;
    let mut idle = Vec::new();
    for n in 0..300 {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // The kernel may have closed it to make room.
        let _ = socket.write_all(&[0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3][..n % 12]);
        idle.push(socket);
    }
    let mut other = Frontend::connect(&session.connection);
    let ran = other.execute("print a");
    assert_eq!(ran.brief(), ["stdout \"a\""]);
    session.frontend.published(&ran.id);
    other.ended = true;
}

/// `kernel/tests/test_wire.py` measures the memory.
#[test]
fn messages_without_an_end_keep_nobody_from_being_served() {
    let mut session = Session::start();
    for channel in [Channel::Shell, Channel::Control, Channel::Stdin] {
        let port = match channel {
            Channel::Shell => session.connection.shell_port,
            Channel::Control => session.connection.control_port,
            _ => session.connection.stdin_port,
        };
        let mut socket = by_hand(port);
        // 256 MiB in parts of 16 MiB, then a million empty ones.
        let mut part = vec![3, 0, 0, 0, 0, 1, 0, 0, 0];
        part.resize(9 + (16 << 20), 0);
        for _ in 0..16 {
            socket.write_all(&part).unwrap();
        }
        socket.write_all(&[1, 0].repeat(1 << 20)).unwrap();
        assert_eq!(session.frontend.execute("print a").brief(), ["stdout \"a\""]);
    }
}

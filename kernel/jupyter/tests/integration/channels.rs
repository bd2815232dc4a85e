//! Sockets: heartbeat, subscriptions, several clients, transports.

use crate::fixture::{Session, connection, settings};
use crate::frontend::{Channel, Frontend};
use benchbook_jupyter::{ConnectionInfo, Error, Kernel, Transport};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn the_heartbeat_echoes_every_part() {
    let session = Session::start();
    for parts in [&[&b"ping"[..]][..], &[b"a", b"", b"\xff\0"], &[b""]] {
        assert_eq!(session.frontend.heartbeat(parts), parts);
    }
}

#[test]
fn the_heartbeat_beats_while_a_cell_runs() {
    let mut session = Session::start();
    let id = session.frontend.running("gate");
    assert_eq!(session.frontend.heartbeat(&[b"ping"]), [b"ping"]);
    session.open_gate();
    session.frontend.reply(Channel::Shell, &id);
    assert_eq!(session.frontend.next_published(1), ["idle"]);
}

#[test]
fn every_subscription_is_welcomed_with_its_topic() {
    let session = Session::start();
    let topics = Frontend::unsubscribed(&session.connection);
    topics.socket(Channel::IoPub).set_subscribe(b"benchbook.stream").unwrap();
    let welcome = topics.recv(Channel::IoPub);
    assert_eq!(welcome.kind(), "iopub_welcome");
    assert_eq!(welcome.content, json!({"subscription": "benchbook.stream"}));

    let mut session = session;
    session.frontend.execute("print a");
    assert_eq!(topics.recv(Channel::IoPub).brief(), "stdout \"a\"");
    drop_subscribed_to_streams(topics);
}

/// This client would not see the busy and idle of a last request.
fn drop_subscribed_to_streams(mut topics: Frontend) {
    topics.ended = true;
}

#[test]
fn two_clients_share_the_kernel_and_see_each_other() {
    let mut session = Session::start();
    let mut other = Frontend::connect(&session.connection);

    let first = session.frontend.start("print first");
    let second = other.start("print second");
    assert_eq!(session.frontend.reply(Channel::Shell, &first).content["status"], "ok");
    assert_eq!(other.reply(Channel::Shell, &second).content["status"], "ok");
    for frontend in [&session.frontend, &other] {
        let published = frontend.published_for(&[&first, &second]);
        assert_eq!(published[&first][1].brief(), "stdout \"first\"");
        assert_eq!(published[&second][1].brief(), "stdout \"second\"");
    }
    other.ended = true;
}

#[test]
fn ipc_sockets_and_unsigned_messages_work() {
    let folder = tempfile::tempdir().unwrap();
    let connection = ConnectionInfo {
        transport: Transport::IPC,
        ip: folder.path().join("kernel").to_str().unwrap().to_owned(),
        shell_port: 1,
        iopub_port: 2,
        stdin_port: 3,
        control_port: 4,
        hb_port: 5,
        key: String::new(),
        ..connection()
    };
    let mut session = Session::with(connection, settings());
    assert_eq!(session.frontend.execute("print a").brief(), ["stdout \"a\""]);
}

#[test]
fn an_address_in_use_is_named() {
    let session = Session::start();
    let Err(error) = Kernel::bind(session.connection.clone(), settings()) else {
        panic!("bound twice")
    };
    let Error::Bind { channel, endpoint, source } = error else { panic!("{error}") };
    assert_eq!((channel, source.kind()), ("heartbeat", std::io::ErrorKind::AddrInUse));
    assert_eq!(endpoint, session.connection.hb_url());
}

/// A connection that speaks ZeroMQ's protocol by hand, past its handshake.
pub fn by_hand(port: u16) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xff, 0x7f, 3, 1);
    greeting[12..16].copy_from_slice(b"NULL");
    socket.write_all(&greeting).unwrap();
    socket.write_all(b"\x04\x06\x05READY").unwrap();
    let mut answer = [0; 64 + 2];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..64], greeting);
    let mut ready = vec![0; usize::from(answer[65])];
    socket.read_exact(&mut ready).unwrap();
    assert!(ready.starts_with(b"\x05READY\x0bSocket-Type"));
    socket
}

#[test]
fn a_ping_is_answered_with_what_it_carries() {
    let session = Session::start();
    let connection = &session.connection;
    for port in [connection.shell_port, connection.iopub_port, connection.hb_port] {
        let mut socket = by_hand(port);
        socket.write_all(b"\x04\x0a\x04PING\0\x09abc").unwrap();
        let mut pong = [0; 10];
        socket.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\x04\x08\x04PONGabc");
    }
}

#[test]
fn a_subscription_ends() {
    let mut session = Session::start();
    let topics = Frontend::unsubscribed(&session.connection);
    for topic in ["benchbook.stream", "benchbook.status"] {
        topics.socket(Channel::IoPub).set_subscribe(topic.as_bytes()).unwrap();
        assert_eq!(topics.recv(Channel::IoPub).kind(), "iopub_welcome");
    }
    topics.socket(Channel::IoPub).set_unsubscribe(b"benchbook.status").unwrap();
    // The subscription that follows has been read when it is welcomed.
    topics.socket(Channel::IoPub).set_subscribe(b"benchbook.error").unwrap();
    assert_eq!(topics.recv(Channel::IoPub).kind(), "iopub_welcome");
    session.frontend.execute("print a\nfail b");
    assert_eq!(topics.recv(Channel::IoPub).brief(), "stdout \"a\"");
    assert_eq!(topics.recv(Channel::IoPub).kind(), "error");
    drop_subscribed_to_streams(topics);
}

#[test]
fn the_socket_that_a_killed_kernel_has_left_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let ip = folder.path().join("kernel").to_str().unwrap().to_owned();
    let connection = ConnectionInfo { transport: Transport::IPC, ip: ip.clone(), ..connection() };
    drop(std::os::unix::net::UnixListener::bind(format!("{ip}-0")).unwrap());
    let mut numbers = 1..;
    let mut port = || numbers.next().unwrap();
    let connection = ConnectionInfo {
        shell_port: port(),
        iopub_port: port(),
        stdin_port: port(),
        control_port: port(),
        ..connection
    };
    let mut session = Session::with(connection.clone(), settings());
    assert_eq!(session.frontend.execute("print a").brief(), ["stdout \"a\""]);
    let Err(error) = Kernel::bind(connection, settings()) else { panic!("bound twice") };
    assert!(error.to_string().contains("heartbeat"), "one that lives is not");
    drop(session);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

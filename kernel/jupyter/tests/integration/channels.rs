//! Sockets: heartbeat, subscriptions, several clients, transports.

use crate::fixture::{Session, connection, settings};
use crate::frontend::{Channel, Frontend};
use benchbook_jupyter::{ConnectionInfo, Error, Kernel, Transport};
use serde_json::json;

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

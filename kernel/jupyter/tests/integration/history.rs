//! The history, in this session and on disk.

use crate::fixture::Session;
use crate::frontend::Channel;
use benchbook_jupyter::{End, Settings};
use serde_json::{Map, Value, json};

fn request(json: Value) -> Map<String, Value> {
    serde_json::from_value(json).unwrap()
}

#[test]
fn cells_are_found_again_in_the_next_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    {
        let mut session = Session::with_history(path.clone());
        session.frontend.execute("print one");
        session.frontend.execute("result two");
        session.frontend.execute("fail three");
        session.frontend.execute_with(json!({"code": "print no", "store_history": false}));
        session.frontend.execute_with(json!({"code": "print no", "silent": true}));
    }
    let mut session = Session::with_history(path);
    session.frontend.execute("print one");
    let frontend = &mut session.frontend;
    assert_eq!(
        frontend.history(request(json!({"hist_access_type": "tail", "n": 10, "output": true}))),
        json!([
            [1, 1, ["print one", null]],
            [1, 2, ["result two", "two"]],
            [1, 3, ["fail three", null]],
            [2, 1, ["print one", null]]
        ])
    );
    assert_eq!(
        frontend.history(request(
            json!({"hist_access_type": "range", "session": -1, "start": 2, "stop": 3})
        )),
        json!([[1, 2, "result two"]])
    );
    assert_eq!(
        frontend.history(request(
            json!({"hist_access_type": "search", "pattern": "p*one", "unique": true})
        )),
        json!([[2, 1, "print one"]])
    );
}

#[test]
fn the_history_of_a_cell_is_there_with_its_reply() {
    let mut session = Session::start();
    for n in 1..20 {
        session.frontend.execute(&format!("print {n}"));
        let tail = session.frontend.history(request(json!({"hist_access_type": "tail", "n": 1})));
        assert_eq!(tail, json!([[1, n, format!("print {n}")]]));
    }
}

#[test]
fn a_request_for_an_unknown_access_is_answered_with_an_error() {
    let mut session = Session::start();
    let content = session.frontend.asked(
        Channel::Shell,
        "history_request",
        json!({"hist_access_type": "guess"}),
    );
    assert_eq!(content["status"], "error");
    assert!(content["evalue"].as_str().unwrap().contains("guess"));
}

/// Holds the history file as a process does that does not go on.
fn locked(folder: &std::path::Path) -> (std::path::PathBuf, std::fs::File) {
    let path = folder.join("history.jsonl");
    let file = std::fs::File::create(&path).unwrap();
    file.lock().unwrap();
    (path, file)
}

#[test]
fn a_locked_file_delays_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = locked(folder.path());
    let mut session = Session::with_history(path.clone());
    let asked = request(json!({"hist_access_type": "tail", "n": 10}));
    let sent = session.frontend.send(Channel::Shell, "history_request", asked.clone().into());
    // Though it was sent later, the cell does not wait for the file.
    let cell = session.frontend.start("print one");
    session.frontend.reply(Channel::Shell, &cell);
    session.frontend.reply(Channel::Shell, &sent);
    session.frontend.published_for(&[&cell, &sent]);
    assert_eq!(session.frontend.history(asked), json!([[1, 1, "print one"]]));
    file.unlock().unwrap();
    drop(session);
    assert!(std::fs::read_to_string(path).unwrap().contains("print one"));
}

#[test]
fn a_kernel_with_a_locked_file_ends_with_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _file) = locked(folder.path());
    let mut parent = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let settings = Settings {
        history: Some(history),
        parent: Some(parent.id()),
        ..crate::fixture::settings()
    };
    let (end, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || end.send(Session::with_nobody(settings)));
    drop(parent.stdin.take());
    parent.wait().unwrap();
    assert_eq!(ended.recv_timeout(std::time::Duration::from_secs(20)), Ok(End::Orphaned));
}

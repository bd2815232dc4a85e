use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn request(json: &str) -> HistoryRequest {
    serde_json::from_str(json).unwrap()
}

fn inputs(found: Vec<HistoryItem>) -> Vec<String> {
    found
        .into_iter()
        .map(|item| match item {
            HistoryItem::Input(_, _, input) | HistoryItem::Both(_, _, (input, _)) => input,
        })
        .collect()
}

impl History {
    /// The number of the session, once all that was added is in the file.
    fn session(&self) -> u64 {
        self.all().0
    }
}

fn three() -> History {
    let history = History::open(None);
    history.add(1, "let a = 1;", None);
    history.add(2, "a + 1", Some("2".into()));
    history.add(3, "a + 1", Some("2".into()));
    history
}

#[test]
fn the_tail_is_the_latest_entries_oldest_first() {
    let tail = three().find(&request(r#"{"hist_access_type": "tail", "n": 2, "raw": true}"#));
    assert_eq!(
        tail,
        [HistoryItem::Input(1, 2, "a + 1".into()), HistoryItem::Input(1, 3, "a + 1".into())]
    );
}

#[test]
fn outputs_are_given_when_asked_for() {
    let found =
        three().find(&request(r#"{"hist_access_type": "range", "output": true, "stop": 3}"#));
    assert_eq!(
        found,
        [
            HistoryItem::Both(1, 1, ("let a = 1;".into(), None)),
            HistoryItem::Both(1, 2, ("a + 1".into(), Some("2".into()))),
        ]
    );
}

#[test]
fn a_search_takes_patterns_and_leaves_out_what_is_repeated() {
    let find = |json: &str| inputs(three().find(&request(json)));
    assert_eq!(find(r#"{"hist_access_type": "search", "pattern": "a*"}"#), ["a + 1", "a + 1"]);
    assert_eq!(
        find(r#"{"hist_access_type": "search", "pattern": "a ?**1**", "unique": true}"#),
        ["a + 1"]
    );
    assert_eq!(find(r#"{"hist_access_type": "search", "pattern": "a*", "n": 1}"#), ["a + 1"]);
    assert_eq!(find(r#"{"hist_access_type": "search", "pattern": "let [ab] =*"}"#), ["let a = 1;"]);
    assert_eq!(find(r#"{"hist_access_type": "search", "pattern": "[not closed"}"#), [""; 0]);
}

#[test]
fn sessions_are_numbered_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("folder/history.jsonl");
    let open = || History::open(Some(path.clone()));
    let first = open();
    first.add(1, "one", None);
    assert_eq!(first.session(), 1);
    let second = open();
    second.add(1, "two", Some("→".into()));
    assert_eq!(second.session(), 2);
    first.add(2, "three", None);
    drop((first, second));

    let third = open();
    let tail = request(r#"{"hist_access_type": "tail", "n": 9}"#);
    assert_eq!(inputs(third.find(&tail)), ["one", "two", "three"]);
    let range = |session: i64| {
        let json = format!(r#"{{"hist_access_type": "range", "session": {session}, "start": 1}}"#);
        inputs(third.find(&request(&json)))
    };
    assert_eq!(range(1), ["one", "three"]);
    assert_eq!(range(-1), ["two"]);
    assert_eq!(range(0), [""; 0]);
    assert_eq!(range(-9), [""; 0]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_line_cut_by_a_crash_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    History::open(Some(path.clone())).add(1, "one", None);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{{\"session\": 1, \"li")).unwrap();
    let history = History::open(Some(path.clone()));
    assert_eq!(history.session(), 2);
    history.add(1, "two", None);
    drop(history);
    let all = History::open(Some(path)).find(&request(r#"{"hist_access_type": "tail", "n": 9}"#));
    assert_eq!(inputs(all), ["one", "two"]);
}

#[test]
fn the_file_is_bounded_and_keeps_the_latest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let line = |n| format!(r#"{{"session":7,"line":{n},"input":"cell {n}"}}"#);
    let lines: Vec<String> = (0..=KEPT_ENTRIES).map(line).collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let history = History::open(Some(path.clone()));
    assert_eq!(history.session(), 8);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), KEPT_ENTRIES / 2 + 1);
    let tail = request(r#"{"hist_access_type": "tail", "n": 1}"#);
    assert_eq!(inputs(history.find(&tail)), [format!("cell {KEPT_ENTRIES}")]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_cannot_be_used_costs_only_other_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::open(Some(folder.path().to_owned()));
    history.add(1, "one", None);
    let tail = request(r#"{"hist_access_type": "tail", "n": 9}"#);
    assert_eq!(inputs(history.find(&tail)), ["one"]);
}

#[test]
fn a_locked_file_costs_only_other_sessions_until_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    History::open(Some(path.clone())).add(1, "before", None);
    let held = fs::File::open(&path).unwrap();
    held.lock().unwrap();
    let history = History::open(Some(path.clone()));
    history.add(1, "one", None);
    let tail = request(r#"{"hist_access_type": "tail", "n": 9}"#);
    for _ in 0..100 {
        // Only the first waits: a hundred times half a second would be noticed.
        assert_eq!(inputs(history.find(&tail)), ["one"]);
    }
    held.unlock().unwrap();
    drop(history);
    let next = History::open(Some(path));
    assert_eq!(inputs(next.find(&tail)), ["before", "one"]);
    assert_eq!(next.session(), 3);
}

#[test]
fn a_pipe_is_no_history_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let history = History::open(Some(path));
    history.add(1, "one", None);
    let tail = request(r#"{"hist_access_type": "tail", "n": 9}"#);
    assert_eq!(inputs(history.find(&tail)), ["one"]);
}

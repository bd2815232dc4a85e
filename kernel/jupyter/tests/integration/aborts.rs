//! Cells that wait when one before them fails.

use crate::fixture::Session;
use crate::frontend::{Channel, Frontend};
use serde_json::json;

/// Makes sure that the kernel has read what was sent on the shell channel.
fn barrier(frontend: &mut Frontend) {
    let id = frontend.send(Channel::Shell, "comm_info_request", json!({}));
    frontend.reply(Channel::Shell, &id);
    let published = frontend.next_published(3);
    assert_eq!(published, ["busy", "idle", "busy"], "the cell's own status is said again");
}

#[test]
fn cells_that_wait_are_aborted_after_a_failure() {
    let mut session = Session::start();
    let first = session.frontend.running("gate\nfail first");
    let waiting = [session.frontend.start("print two"), session.frontend.start("print three")];
    barrier(&mut session.frontend);
    session.open_gate();

    let failed = session.frontend.reply(Channel::Shell, &first);
    assert_eq!(failed.content["status"], "error");
    assert_eq!(session.frontend.next_published(2), ["error", "idle"]);
    for id in waiting {
        let ran = session.frontend.finish(id);
        assert_eq!(ran.status(), "aborted");
        assert_eq!(ran.reply.metadata["status"], "aborted");
        assert!(ran.outputs.is_empty());
    }
    let after = session.frontend.execute("print four");
    assert_eq!(after.status(), "ok");
    assert_eq!(after.reply.content["execution_count"], 2);
    assert_eq!(session.event(), "execute gate\nfail first");
    assert_eq!(session.event(), "execute print four");
}

#[test]
fn cells_that_wait_run_when_the_failed_one_does_not_stop_them() {
    let mut session = Session::start();
    let first =
        session.frontend.start_with(json!({"code": "gate\nfail first", "stop_on_error": false}));
    assert_eq!(session.frontend.next_published(2), ["busy", "execute_input"]);
    let second = session.frontend.start("print two");
    barrier(&mut session.frontend);
    session.open_gate();
    assert_eq!(session.frontend.reply(Channel::Shell, &first).content["status"], "error");
    assert_eq!(session.frontend.next_published(2), ["error", "idle"]);
    assert_eq!(session.frontend.finish(second).brief(), ["stdout \"two\""]);
}

#[test]
fn a_cell_sent_on_seeing_the_failure_runs() {
    let mut session = Session::start();
    for _ in 0..50 {
        let failed = session.frontend.start("fail");
        session.frontend.reply(Channel::Shell, &failed);
        let next = session.frontend.start("print next");
        let reply = session.frontend.reply(Channel::Shell, &next);
        assert_eq!(reply.content["status"], "ok");
        session.frontend.published_for(&[&failed, &next]);
    }
}

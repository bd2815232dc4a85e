//! Comms: none are known.

use crate::fixture::Session;
use crate::frontend::Channel;
use serde_json::json;

#[test]
fn a_comm_for_an_unknown_target_is_closed() {
    let mut session = Session::start();
    let open = json!({"comm_id": "c1", "target_name": "nobody", "data": {}});
    let id = session.frontend.send(Channel::Shell, "comm_open", open);
    let published = session.frontend.published(&id);
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].kind(), "comm_close");
    assert_eq!(published[0].content, json!({"comm_id": "c1", "data": {}}));
}

#[test]
fn messages_of_comms_are_ignored_and_none_is_open() {
    let mut session = Session::start();
    for kind in ["comm_msg", "comm_close"] {
        let content = json!({"comm_id": "c1", "data": {"x": 1}});
        let id = session.frontend.send(Channel::Shell, kind, content);
        assert!(session.frontend.published(&id).is_empty());
    }
    let content = session.frontend.asked(Channel::Shell, "comm_info_request", json!({}));
    assert_eq!(content, json!({"status": "ok", "comms": {}}));
}

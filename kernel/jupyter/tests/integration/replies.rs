//! Where replies go.

use crate::fixture::Session;
use crate::frontend::Channel;
use serde_json::json;

#[test]
fn a_cell_sent_on_the_control_channel_is_answered_there() {
    let mut session = Session::start();
    let (reply, published) =
        session.frontend.ask(Channel::Control, "execute_request", json!({"code": "print a"}));
    assert_eq!(reply.content["status"], "ok");
    assert_eq!(published[1].brief(), "stdout \"a\"");
}

#[test]
fn identities_of_any_number_are_given_back() {
    let mut session = Session::start();
    // A proxy between client and kernel adds identities of its own.
    let (id, mut parts) = session.frontend.message("kernel_info_request", &json!({}));
    parts.splice(0..0, [b"proxy".to_vec(), b"\0\xff".to_vec()]);
    session.frontend.send_parts(Channel::Shell, parts);
    let reply = session.frontend.socket(Channel::Shell).recv_multipart(0).unwrap();
    assert_eq!(reply[..2], [b"proxy".to_vec(), b"\0\xff".to_vec()]);
    assert!(session.frontend.published(&id).is_empty());
}

//! What the kernel says of itself and of the machine.

use crate::fixture::Session;
use crate::frontend::Channel;
use serde_json::json;

#[test]
fn kernel_info_is_complete_and_correctly_spelt() {
    let mut session = Session::start();
    for channel in [Channel::Shell, Channel::Control] {
        let content = session.frontend.asked(channel, "kernel_info_request", json!({}));
        assert_eq!(
            content,
            json!({
                "status": "ok",
                "protocol_version": "5.4",
                "implementation": "echo",
                "implementation_version": "1.2.3",
                "language_info": {
                    "name": "echo", "version": "4.5", "mimetype": "text/echo",
                    "file_extension": ".echo", "pygments_lexer": "echo", "codemirror_mode": "echo",
                },
                "banner": "Says what you say",
                "debugger": false,
                "supported_features": [],
                "help_links": [{"text": "Help", "url": "https://example.org"}],
            })
        );
    }
}

#[test]
fn connect_says_the_ports() {
    let mut session = Session::start();
    let content = session.frontend.asked(Channel::Shell, "connect_request", json!({}));
    let connection = &session.connection;
    assert_eq!(
        content,
        json!({
            "status": "ok", "shell_port": connection.shell_port,
            "iopub_port": connection.iopub_port, "stdin_port": connection.stdin_port,
            "control_port": connection.control_port, "hb_port": connection.hb_port,
        })
    );
}

#[test]
fn usage_has_the_form_of_ipykernel() {
    let mut session = Session::start();
    let first = session.frontend.asked(Channel::Control, "usage_request", json!({}));
    assert!(first.get("host_cpu_percent").is_none(), "nothing to compare with yet");
    let content = session.frontend.asked(Channel::Control, "usage_request", json!({}));
    assert_eq!(content["pid"], std::process::id());
    assert!(content["hostname"].is_string());
    assert!(content["kernel_cpu"].as_f64().unwrap() >= 0.0);
    assert!(content["kernel_memory"].as_u64().unwrap() > 1 << 20);
    assert!(content["cpu_count"].as_u64().unwrap() >= 1);
    assert!(content["host_cpu_percent"].is_number());
    let memory = &content["host_virtual_memory"];
    assert!(memory["total"].as_u64() > memory["available"].as_u64());
    assert!((0.0..=100.0).contains(&memory["percent"].as_f64().unwrap()));
    assert_eq!((&content["gpu_memory"], &content["gpu_memory_total"]), (&json!(3), &json!(4)));
}

#[test]
fn there_is_no_debugger() {
    let mut session = Session::start();
    let request = json!({"type": "request", "seq": 1, "command": "debugInfo"});
    let content = session.frontend.asked(Channel::Control, "debug_request", request);
    assert_eq!(content["status"], "error");
    assert_eq!(content["ename"], "NotSupported");
}

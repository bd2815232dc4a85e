//! A client: real sockets, real signatures, and a `Drop` that asserts that nothing is left unread.

use benchbook_jupyter::ConnectionInfo;
use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an expected message may take. It is waited out only when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub const DELIMITER: &[u8] = b"<IDS|MSG>";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Shell,
    Control,
    Stdin,
    IoPub,
}

/// A message that was received.
#[derive(Clone, Debug)]
pub struct Message {
    pub header: Value,
    pub parent: Value,
    pub metadata: Value,
    pub content: Value,
}

impl Message {
    pub fn kind(&self) -> &str {
        self.header["msg_type"].as_str().unwrap()
    }

    pub fn parent_id(&self) -> &str {
        self.parent["msg_id"].as_str().unwrap_or_default()
    }

    /// Its type, and the state of a status or the text of a stream.
    pub fn brief(&self) -> String {
        match self.kind() {
            "status" => self.content["execution_state"].as_str().unwrap().to_owned(),
            "stream" => {
                let text = self.content["text"].as_str().unwrap();
                format!("{} {text:?}", self.content["name"].as_str().unwrap())
            }
            kind => kind.to_owned(),
        }
    }
}

/// A cell's reply and what it published between busy and idle.
pub struct Ran {
    pub id: String,
    pub reply: Message,
    pub outputs: Vec<Message>,
}

impl Ran {
    pub fn status(&self) -> &str {
        self.reply.content["status"].as_str().unwrap()
    }

    /// The outputs in brief, without `execute_input`.
    pub fn brief(&self) -> Vec<String> {
        let shown = self.outputs.iter().filter(|message| message.kind() != "execute_input");
        shown.map(Message::brief).collect()
    }
}

pub struct Frontend {
    shell: zmq::Socket,
    control: zmq::Socket,
    stdin: zmq::Socket,
    iopub: zmq::Socket,
    heartbeat: zmq::Socket,
    key: String,
    session: String,
    sent: usize,
    /// The kernel has ended, so that it cannot be asked whether all has been read.
    pub ended: bool,
}

impl Frontend {
    /// Connects all channels and waits until the subscription is welcomed.
    pub fn connect(connection: &ConnectionInfo) -> Self {
        let frontend = Self::unsubscribed(connection);
        frontend.iopub.set_subscribe(b"").unwrap();
        let welcome = frontend.recv(Channel::IoPub);
        assert_eq!(welcome.kind(), "iopub_welcome");
        assert_eq!(welcome.content, json!({"subscription": ""}));
        assert_eq!(welcome.parent, json!({}));
        frontend
    }

    pub fn unsubscribed(connection: &ConnectionInfo) -> Self {
        let context = zmq::Context::new();
        let session = uuid::Uuid::new_v4().to_string();
        let socket = |kind, endpoint: String| {
            let socket = context.socket(kind).unwrap();
            socket.set_linger(0).unwrap();
            socket.set_rcvtimeo(PATIENCE.as_millis() as i32).unwrap();
            socket.set_identity(session.as_bytes()).unwrap();
            socket.connect(&endpoint).unwrap();
            socket
        };
        Self {
            shell: socket(zmq::DEALER, connection.shell_url()),
            control: socket(zmq::DEALER, connection.control_url()),
            stdin: socket(zmq::DEALER, connection.stdin_url()),
            iopub: socket(zmq::SUB, connection.iopub_url()),
            heartbeat: socket(zmq::REQ, connection.hb_url()),
            key: connection.key.clone(),
            session: session.clone(),
            sent: 0,
            ended: false,
        }
    }

    pub fn socket(&self, channel: Channel) -> &zmq::Socket {
        match channel {
            Channel::Shell => &self.shell,
            Channel::Control => &self.control,
            Channel::Stdin => &self.stdin,
            Channel::IoPub => &self.iopub,
        }
    }

    /// The parts of a message, and its id.
    pub fn message(&mut self, kind: &str, content: &Value) -> (String, Vec<Vec<u8>>) {
        self.sent += 1;
        let id = format!("{}-{}", self.session, self.sent);
        let header = json!({
            "msg_id": id, "session": self.session, "username": "tester", "msg_type": kind,
            "date": "2026-01-01T00:00:00.000000Z", "version": "5.4", "subshell_id": null,
        });
        let json = [header, json!({}), json!({}), content.clone()];
        let json = json.map(|part| serde_json::to_vec(&part).unwrap());
        let mut parts = vec![DELIMITER.to_vec(), self.sign(&json)];
        parts.extend(json);
        (id, parts)
    }

    pub fn sign(&self, parts: &[Vec<u8>]) -> Vec<u8> {
        if self.key.is_empty() {
            return Vec::new();
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).unwrap();
        parts.iter().for_each(|part| mac.update(part));
        hex::encode(mac.finalize().into_bytes()).into_bytes()
    }

    /// Sends a message and returns its id.
    pub fn send(&mut self, channel: Channel, kind: &str, content: Value) -> String {
        let (id, parts) = self.message(kind, &content);
        self.send_parts(channel, parts);
        id
    }

    pub fn send_parts(&self, channel: Channel, parts: Vec<Vec<u8>>) {
        self.socket(channel).send_multipart(parts, 0).unwrap();
    }

    /// The next message of a channel, its signature checked.
    pub fn recv(&self, channel: Channel) -> Message {
        let parts = self
            .socket(channel)
            .recv_multipart(0)
            .unwrap_or_else(|error| panic!("expected a message on {channel:?}, found {error}"));
        self.parse(&parts)
    }

    fn parse(&self, parts: &[Vec<u8>]) -> Message {
        let delimiter = parts.iter().position(|part| part == DELIMITER).unwrap();
        let [signature, json @ ..] = &parts[delimiter + 1..] else { panic!("no signature") };
        assert_eq!(*signature, self.sign(json), "the kernel's signature");
        let part = |n: usize| serde_json::from_slice::<Value>(&json[n]).unwrap();
        let message =
            Message { header: part(0), parent: part(1), metadata: part(2), content: part(3) };
        assert_eq!(message.header["version"], "5.4");
        message
    }

    /// Sends a request; returns its reply and what was published between busy and idle.
    pub fn ask(&mut self, channel: Channel, kind: &str, content: Value) -> (Message, Vec<Message>) {
        let id = self.send(channel, kind, content);
        let reply = self.reply(channel, &id);
        assert_eq!(reply.kind(), kind.replace("_request", "_reply"));
        (reply, self.published(&id))
    }

    /// The content of the reply to a request that publishes nothing.
    pub fn asked(&mut self, channel: Channel, kind: &str, content: Value) -> Value {
        let (reply, published) = self.ask(channel, kind, content);
        assert!(published.is_empty(), "{published:?}");
        reply.content
    }

    /// The next message of the channel, which must be the reply to the message with this id.
    pub fn reply(&self, channel: Channel, id: &str) -> Message {
        let reply = self.recv(channel);
        assert_eq!(reply.parent_id(), id, "{reply:?}");
        reply
    }

    /// What was published for a request between busy and idle, when nothing else is published.
    pub fn published(&self, id: &str) -> Vec<Message> {
        let mut all = self.published_for(&[id]);
        all.remove(id).unwrap()
    }

    /// What was published for several requests, until the last is idle. A repeated busy of a cell
    /// that runs beside others is left out.
    pub fn published_for(&self, ids: &[&str]) -> BTreeMap<String, Vec<Message>> {
        let mut published: BTreeMap<String, Vec<Message>> = BTreeMap::new();
        let mut open: Vec<&str> = ids.to_vec();
        while !open.is_empty() {
            let message = self.recv(Channel::IoPub);
            let id = message.parent_id().to_owned();
            assert!(open.contains(&id.as_str()), "not expected: {message:?}");
            let started = published.contains_key(&id);
            let messages = published.entry(id.clone()).or_default();
            match message.brief().as_str() {
                "busy" => {}
                "idle" => open.retain(|other| *other != id),
                _ => messages.push(message),
            }
            assert!(started || messages.is_empty(), "busy comes first");
        }
        published
    }

    /// The next published messages in brief, whatever they belong to.
    pub fn next_published(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.recv(Channel::IoPub).brief()).collect()
    }

    pub fn start(&mut self, code: &str) -> String {
        self.start_with(json!({"code": code, "allow_stdin": true}))
    }

    /// Sends a cell, waits until it runs, and returns its id.
    pub fn running(&mut self, code: &str) -> String {
        let id = self.start(code);
        assert_eq!(self.next_published(2), ["busy", "execute_input"]);
        id
    }

    pub fn start_with(&mut self, content: Value) -> String {
        self.send(Channel::Shell, "execute_request", content)
    }

    pub fn execute(&mut self, code: &str) -> Ran {
        self.execute_with(json!({"code": code}))
    }

    pub fn execute_with(&mut self, content: Value) -> Ran {
        let id = self.start_with(content);
        self.finish(id)
    }

    pub fn finish(&mut self, id: String) -> Ran {
        let reply = self.reply(Channel::Shell, &id);
        assert_eq!(reply.kind(), "execute_reply");
        let outputs = self.published(&id);
        Ran { id, reply, outputs }
    }

    pub fn heartbeat(&self, parts: &[&[u8]]) -> Vec<Vec<u8>> {
        self.heartbeat.send_multipart(parts, 0).unwrap();
        self.heartbeat.recv_multipart(0).unwrap()
    }

    pub fn shut_down(&mut self, restart: bool) {
        let (reply, published) =
            self.ask(Channel::Control, "shutdown_request", json!({"restart": restart}));
        assert_eq!(reply.content, json!({"status": "ok", "restart": restart}));
        let kinds: Vec<&str> = published.iter().map(Message::kind).collect();
        assert_eq!(kinds, ["shutdown_reply"]);
        self.ended = true;
    }

    pub fn history(&mut self, mut request: Map<String, Value>) -> Value {
        request.entry("raw").or_insert(true.into());
        request.entry("output").or_insert(false.into());
        self.asked(Channel::Shell, "history_request", request.into())["history"].clone()
    }
}

impl Drop for Frontend {
    /// Nothing may be left unread. What was sent before the answers to two last requests has
    /// arrived when they have.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if !self.ended {
            for channel in [Channel::Control, Channel::Shell] {
                self.ask(channel, "kernel_info_request", json!({}));
            }
        }
        for channel in [Channel::Shell, Channel::Control, Channel::Stdin, Channel::IoPub] {
            if let Ok(parts) = self.socket(channel).recv_multipart(zmq::DONTWAIT) {
                panic!("left unread on {channel:?}: {:?}", self.parse(&parts));
            }
        }
    }
}

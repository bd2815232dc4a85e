//! A kernel in this process.

use crate::echo::{Remote, echo};
use crate::frontend::Frontend;
use benchbook_jupyter::{
    About, CodeMirrorMode, ConnectionInfo, End, Evaluator, Failure, HelpLink, Kernel, LanguageInfo,
    Settings, Transport,
};
use std::path::PathBuf;
use std::thread::JoinHandle;

pub fn about() -> About {
    About {
        implementation: "echo".into(),
        implementation_version: "1.2.3".into(),
        language: LanguageInfo {
            name: "echo".into(),
            version: "4.5".into(),
            mimetype: Some("text/echo".into()),
            file_extension: Some(".echo".into()),
            pygments_lexer: Some("echo".into()),
            codemirror_mode: Some(CodeMirrorMode::Simple("echo".into())),
            nbconvert_exporter: None,
        },
        banner: "Says what you say".into(),
        help_links: vec![HelpLink { text: "Help".into(), url: "https://example.org".into() }],
    }
}

/// Free ports on this machine, and a key.
pub fn connection() -> ConnectionInfo {
    ConnectionInfo {
        ip: "127.0.0.1".into(),
        transport: Transport::TCP,
        shell_port: 0,
        iopub_port: 0,
        stdin_port: 0,
        control_port: 0,
        hb_port: 0,
        key: "a key for tests".into(),
        signature_scheme: "hmac-sha256".into(),
        kernel_name: None,
    }
}

pub fn settings() -> Settings {
    Settings { signals: false, parent: None, ..Settings::new(about()) }
}

/// A kernel that runs, and a client that is connected to it.
pub struct Session {
    pub frontend: Frontend,
    pub remote: Remote,
    pub connection: ConnectionInfo,
    kernel: Option<JoinHandle<End>>,
}

impl Session {
    pub fn start() -> Self {
        Self::with(connection(), settings())
    }

    pub fn with_history(path: PathBuf) -> Self {
        Self::with(connection(), Settings { history: Some(path), ..settings() })
    }

    pub fn with(connection: ConnectionInfo, settings: Settings) -> Self {
        Self::build(connection, settings, |echo| echo())
    }

    /// A kernel whose evaluator is built by `build`, which is given what builds the echo.
    pub fn build(
        connection: ConnectionInfo,
        settings: Settings,
        build: impl FnOnce(
            Box<dyn FnOnce() -> Result<Box<dyn Evaluator>, Failure>>,
        ) -> Result<Box<dyn Evaluator>, Failure>
        + Send
        + 'static,
    ) -> Self {
        let (evaluator, control, remote) = echo();
        let kernel = Kernel::bind(connection, settings).unwrap();
        let connection = kernel.connection().clone();
        let kernel = std::thread::spawn(move || {
            kernel
                .run(control, move || {
                    build(Box::new(move || Ok(Box::new(evaluator) as Box<dyn Evaluator>)))
                })
                .unwrap()
        });
        let frontend = Frontend::connect(&connection);
        Self { frontend, remote, connection, kernel: Some(kernel) }
    }

    /// Waits for the kernel's end.
    pub fn end(&mut self) -> End {
        self.frontend.ended = true;
        self.kernel.take().unwrap().join().unwrap()
    }

    /// Waits for an event of the evaluator or the control.
    pub fn event(&self) -> String {
        self.remote.events.recv_timeout(std::time::Duration::from_secs(20)).unwrap()
    }

    pub fn open_gate(&self) {
        self.remote.gate.send(()).unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if std::thread::panicking() || self.kernel.is_none() {
            return;
        }
        self.frontend.shut_down(false);
        assert_eq!(self.end(), End::Shutdown { restart: false });
    }
}

impl Session {
    /// How a kernel ends that no client talks to.
    pub fn with_nobody(settings: Settings) -> End {
        let (evaluator, control, _remote) = echo();
        let kernel = Kernel::bind(connection(), settings).unwrap();
        kernel.run(control, move || Ok(Box::new(evaluator) as Box<dyn Evaluator>)).unwrap()
    }
}

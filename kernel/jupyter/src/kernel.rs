//! A kernel: its sockets, its threads, its end.

use crate::core::Core;
use crate::error::Error;
use crate::evaluator::{Control, Evaluator, Failure};
use crate::execution::{self, Executor};
use crate::handler::{Assistant, answer_from_history, assist};
use crate::history::History;
use crate::settings::Settings;
use crate::socket::iopub::{self, IoPub};
use crate::socket::router::{Post, Router, Wire};
use crate::socket::stdin::{self, Stdin};
use crate::socket::{Sockets, control, heartbeat, shell};
use crate::usage::Meter;
use crate::wake::Mailbox;
use crate::watch::Watch;
use crate::wire::{Outgoing, Parent, Status};
use jupyter_protocol::ConnectionInfo;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long the shutdown waits for the evaluator.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Why the kernel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A client requested a shutdown.
    Shutdown {
        /// Whether the client restarts the kernel.
        restart: bool,
    },
    /// SIGTERM or SIGHUP.
    Terminated,
    /// The process that started the kernel has ended.
    Orphaned,
}

/// A kernel with bound sockets: clients can connect, and their messages wait.
pub struct Kernel {
    connection: ConnectionInfo,
    settings: Settings,
    wire: Arc<Wire>,
    watch: Watch,
    sockets: Sockets,
}

impl Kernel {
    /// Binds the sockets of the connection file, and starts to watch signals and the parent. A port
    /// of 0 takes any free port; [`Kernel::connection`] returns it.
    ///
    /// # Errors
    /// [`Error::Bind`] if an address is not available, [`Error::System`] if a signal handler cannot
    /// be installed.
    pub fn bind(mut connection: ConnectionInfo, settings: Settings) -> Result<Self, Error> {
        let watch = Watch::new(settings.parent, settings.signals).map_err(Error::System)?;
        let sockets = Sockets::bind(&mut connection)?;
        let wire = Arc::new(Wire::new(&connection.key));
        Ok(Self { connection, settings, wire, watch, sockets })
    }

    /// The address to which clients connect.
    pub fn connection(&self) -> &ConnectionInfo {
        &self.connection
    }

    /// Serves clients until the kernel ends, and returns the reason.
    ///
    /// The channels answer at once. `evaluator` is called on the execute thread; until it returns,
    /// cells wait. If it fails, every cell fails with that failure. When the kernel ends, it kills
    /// the running cell ([`Control::kill`]), shuts the evaluator down on its thread, waiting at
    /// most [`SHUTDOWN_GRACE`], and delivers all sent messages.
    ///
    /// Each socket has a thread of its own; one more runs the cells, and one answers completions
    /// and inspections while a cell runs. The calling thread waits for the end.
    ///
    /// # Errors
    /// [`Error::System`] if a thread cannot be started.
    pub fn run<F>(self, control: Arc<dyn Control>, evaluator: F) -> Result<End, Error>
    where
        F: FnOnce() -> Result<Box<dyn Evaluator>, Failure> + Send + 'static,
    {
        let Self { connection, settings, wire, watch, sockets } = self;
        let (historian, asked_of_history) = crossbeam_channel::unbounded();
        let core = Arc::new(Core {
            about: settings.about,
            connection,
            control,
            shell_posts: Arc::new(Mailbox::new().map_err(Error::System)?),
            control_posts: Arc::new(Mailbox::new().map_err(Error::System)?),
            iopub: Arc::new(IoPub::new().map_err(Error::System)?),
            stdin: Arc::new(Stdin::new().map_err(Error::System)?),
            executor: Executor::default(),
            assistant: Assistant::default(),
            history: History::open(settings.history),
            historian,
            meter: Mutex::new(Meter::new()),
            ends: Arc::new(Mailbox::new().map_err(Error::System)?),
        });
        let router = |channel, server, posts: &Arc<Mailbox<Post>>| Router {
            channel,
            server,
            posts: posts.clone(),
            wire: wire.clone(),
        };
        let silence = Arc::new(Mailbox::new().map_err(Error::System)?);
        core.iopub.send(Outgoing::publish(&Parent::none(), &Status::Starting));

        let heartbeat_stop = silence.clone();
        let heartbeat =
            spawn("heartbeat", move || heartbeat::serve(sockets.heartbeat, &heartbeat_stop))?;
        let (socket_wire, published) = (wire.clone(), core.iopub.clone());
        let iopub = spawn("iopub", move || iopub::serve(sockets.iopub, &socket_wire, &published))?;
        let (socket_wire, asked) = (wire.clone(), core.stdin.clone());
        let stdin = spawn("stdin", move || stdin::serve(sockets.stdin, &socket_wire, &asked))?;
        let (shell_router, shared) =
            (router("shell", sockets.shell, &core.shell_posts), core.clone());
        let shell = spawn("shell", move || shell::serve(shell_router, &shared))?;
        let (control_router, shared) =
            (router("control", sockets.control, &core.control_posts), core.clone());
        let control = spawn("control", move || control::serve(control_router, &shared))?;
        let shared = core.clone();
        spawn("assistant", move || assist(&shared))?;
        let shared = core.clone();
        spawn("history", move || answer_from_history(&shared, &asked_of_history))?;
        let shared = core.clone();
        let (executed, execute_ended) = crossbeam_channel::bounded::<()>(0);
        spawn("execute", move || {
            execution::serve(&shared, Box::new(evaluator));
            // Dropping the sender signals the end, even if this thread panics.
            drop(executed);
        })?;

        let end = watch.wait(&core);
        tracing::info!(?end, "the kernel ends");
        let restart = matches!(end, End::Shutdown { restart: true });
        core.stdin.close();
        core.executor.close(restart, &*core.control);
        if execute_ended.recv_timeout(SHUTDOWN_GRACE)
            == Err(crossbeam_channel::RecvTimeoutError::Timeout)
        {
            tracing::warn!("the evaluator did not end in time; it is left behind");
        }
        // The control may block the assistant, so the kernel does not wait for it.
        core.assistant.close();
        let _ = core.historian.send(None);
        core.history.close();
        core.shell_posts.post(Post::Stop);
        core.control_posts.post(Post::Stop);
        core.stdin.stop();
        core.iopub.stop();
        silence.post(());
        for thread in [shell, control, stdin, iopub, heartbeat] {
            if thread.join().is_err() {
                tracing::error!("a channel had ended by a panic");
            }
        }
        Ok(end)
    }
}

fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, Error> {
    thread::Builder::new().name(name.into()).spawn(body).map_err(Error::System)
}

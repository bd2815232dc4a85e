//! Receives what workers send, and knows what the running cell is doing.

use super::building;
use super::markers::{Markers, Part};
use super::processes;
use super::text::Decoder;
use crate::cargo::moved::MOVED;
use crate::cargo::progress::PROGRESS;
use crate::cargo::statics::{DEFINED, LIVE, Statics};
use crate::cargo::{INTERRUPTED, files};
use crate::evcxr_contract::EXECUTION_PATH;
use benchbook_display::Bundle;
use benchbook_frames::{Answer, Frame, Message, Stream};
use benchbook_guard as guard;
use benchbook_jupyter::{Failure, Output};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The socket to which workers connect, and the state of the cell that runs.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The socket to which workers connect.
    socket: PathBuf,
    /// The crate's folder, by whose files server and stand-in for cargo talk.
    folder: PathBuf,
    /// The worker program.
    program: PathBuf,
}

/// What is to be done before a compiled cell shows anything: it is told whether the cell runs, and tells how to find the
/// places of a traceback in the cell.
pub type BeforeRun = Box<dyn FnOnce(bool) -> Places + Send>;

/// The places of a traceback, in the user's cell and not in the file that was compiled.
pub type Places = Box<dyn Fn(Vec<String>) -> Vec<String> + Send>;

#[derive(Default)]
struct State {
    /// Where outputs go; kept after the cell for what background threads still print.
    output: Option<Output>,
    /// What a worker wrote to standard error before the first cell, which shows it.
    early: String,
    /// The newest cell.
    cell: CellState,
    /// Counts cells, so that who watches a build knows that it is still the same one.
    cells: u64,
    /// The files from which a model can be loaded, newest last.
    checkpoints: Vec<PathBuf>,
    /// Connected workers: 0 or 1, and for a moment 2 when one replaces another.
    connected: usize,
    /// How many workers have ended.
    ended: usize,
    worker: Option<u32>,
    stdout: Decoder,
    stderr: Decoder,
    markers: Markers,
    /// The statics of the cells that the worker has loaded, and as they were before the newest.
    statics: Statics,
    statics_before: Statics,
}

/// What begins anew with each cell.
#[derive(Default)]
struct CellState {
    phase: Phase,
    failure: Option<Failure>,
    /// The newest panics of the cell's main thread, oldest first.
    panics: Vec<Panic>,
    /// The variables that the failed cell has left in the store, with whether they are `mut`.
    kept: Vec<(String, bool)>,
    /// The end of what was written to standard error during the cell.
    said: String,
    /// What is shown of a build that takes long.
    building: Option<String>,
    /// To be called when the cell begins to run, or at its end if it never did.
    before_run: Option<BeforeRun>,
    /// Finds the places of what the running cell's threads panic with.
    places: Option<Places>,
    /// The values of expressions are kept here and not shown, while one is evaluated for the front
    /// end.
    values: Option<Vec<Bundle>>,
    /// How many workers had ended when the cell began.
    ended_before: usize,
    interrupts: u32,
    /// The user was told that another interrupt ends the process.
    warned: bool,
    /// What runs only takes up variables again, and is not interrupted.
    restoring: bool,
    ran: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// No cell runs.
    #[default]
    Idle,
    /// evcxr works on the cell, or its compiler does.
    Compiling {
        /// The worker has run a part of it.
        has_run: bool,
    },
    /// The worker runs it.
    Running { since: Instant },
}

impl Phase {
    fn is_first_build(self) -> bool {
        self == Self::Compiling { has_run: false }
    }

    fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// How long the worker has run, if it is not done.
    fn running(self) -> Duration {
        match self {
            Self::Running { since } => since.elapsed(),
            _ => Duration::ZERO,
        }
    }
}

/// A cell that has begun. Its end takes it, so that none ends that has not begun, and none twice.
#[must_use = "a cell that has begun has to be ended"]
pub struct Begun {
    host: Host,
    /// Its number.
    cell: u64,
}

/// A panic of a cell's main thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// What it says.
    pub message: String,
    /// Where it happened, one line each.
    pub traceback: Vec<String>,
}

/// How many panics are kept: one that happens while another unwinds, and what Rust then says.
const PANICS: usize = 3;

/// How long the first interrupt has the cell to itself. What follows within this time is taken for
/// the same one.
const MOMENT: Duration = Duration::from_secs(1);

/// What the user is told of a cell that has not reacted for that long.
const WARNING: &str = "the cell has not reacted to the interrupt yet; it may still do so, and another interrupt ends its process, with which all variables are lost\n";

/// What is heard of a worker whose frames cannot be understood.
pub const GARBLED: &str = "the cell wrote to the connection of its process with the kernel";

/// The error of a cell whose library the worker could not load.
const NOT_LOADED: &str = "LinkError";

/// What a forged message gets.
const FORGED: &str =
    "the cell wrote to the connection of its process with the kernel; the text was ignored\n";

/// How much of standard error is kept to tell what a worker died of, in bytes.
const SAID: usize = 4096;

/// How a cell ended, as far as the worker tells.
#[derive(Debug)]
pub struct Ended {
    /// The error that the cell reported.
    pub failure: Option<Failure>,
    /// Whether the user interrupted it.
    pub interrupted: bool,
    /// How long it ran in the worker.
    pub ran: Duration,
    /// Its newest panics, oldest first, whether they were caught or not.
    pub panics: Vec<Panic>,
    /// The variables that evcxr takes for moved and that the store has still, since the cell failed
    /// before; with whether they are `mut`.
    pub kept: Vec<(String, bool)>,
    /// The end of what was written to standard error.
    pub said: String,
    /// The values of expressions, if they were kept.
    pub values: Vec<Bundle>,
}

impl Host {
    /// The host of a session, whose workers will connect in `folder`, and whose crate is in another one.
    pub fn new(folder: &Path, crate_folder: PathBuf, program: PathBuf) -> Self {
        let state = Mutex::new(State::default());
        let program = program.canonicalize().unwrap_or(program);
        let socket = folder.join("frames");
        let shared =
            Shared { state, changed: Condvar::new(), socket, folder: crate_folder, program };
        Self { shared: Arc::new(shared) }
    }

    /// Listens, if the socket is not there yet or has been removed.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn listen(&self) -> io::Result<()> {
        let path = &self.shared.socket;
        if path.symlink_metadata().is_ok() {
            return Ok(());
        }
        // The path of a socket is limited to 107 bytes; by way of its folder's descriptor it is short.
        let folder = File::open(path.parent().unwrap_or(path))?;
        let name = path.file_name().unwrap_or_default();
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        let listener = UnixListener::bind(short)?;
        let accepting = self.clone();
        thread::Builder::new().name("workers".into()).spawn(move || {
            for socket in listener.incoming().flatten() {
                let host = accepting.clone();
                // A worker whose reader cannot be started gets no answer and ends.
                let _ =
                    thread::Builder::new().name("frames".into()).spawn(move || host.read(socket));
            }
        })?;
        Ok(())
    }

    /// The socket to which workers connect.
    pub fn socket(&self) -> &Path {
        &self.shared.socket
    }

    /// A cell begins; its outputs go to `output`. If its build takes long, that is shown.
    pub fn begin(&self, output: Option<&Output>) -> Begun {
        let begun = self.begin_cell(output, CellState::default());
        if output.is_some() {
            let (host, cell) = (self.clone(), begun.cell);
            // Without the thread nothing is shown of the build.
            let _ =
                thread::Builder::new().name("build".into()).spawn(move || host.watch_build(cell));
        }
        begun
    }

    /// An expression for the front end begins: nothing is shown of its build, and values of last expressions are kept
    /// instead of shown.
    pub fn begin_expression(&self, output: &Output) -> Begun {
        let values = Some(Vec::new());
        self.begin_cell(Some(output), CellState { values, ..CellState::default() })
    }

    /// What must not be interrupted and takes a moment begins.
    pub fn begin_restoring(&self, output: &Output) -> Begun {
        self.begin_cell(Some(output), CellState { restoring: true, ..CellState::default() })
    }

    fn begin_cell(&self, output: Option<&Output>, begun: CellState) -> Begun {
        for file in [INTERRUPTED, PROGRESS, MOVED, EXECUTION_PATH] {
            let _ = std::fs::remove_file(self.file(file));
        }
        let mut state = self.state();
        state.output = output.cloned();
        let (phase, ended_before) = (Phase::Compiling { has_run: false }, state.ended);
        state.cell = CellState { phase, ended_before, ..begun };
        state.cells += 1;
        if !self.file(LIVE).exists() {
            // The folder may have been cleaned.
            let statics = std::mem::take(&mut state.statics);
            self.keep_statics(&mut state, statics);
        }
        let cell = state.cells;
        let early = output.map(|_| std::mem::take(&mut state.early)).unwrap_or_default();
        drop(state);
        if let Some(output) = output.filter(|_| !early.is_empty()) {
            write(output, Stream::Stderr, &early);
        }
        Begun { host: self.clone(), cell }
    }

    /// Shows what is being compiled as long as a cell's first build takes.
    fn watch_build(&self, cell: u64) {
        let builds = |state: &mut State| state.cells == cell && state.cell.phase.is_first_build();
        let mut pause = building::PATIENCE;
        let mut state = self.state();
        loop {
            let waited = self.shared.changed.wait_timeout_while(state, pause, builds);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !builds(&mut state) {
                return;
            }
            let now = building::now(&self.file(PROGRESS));
            if state.cell.building.as_ref() != Some(&now)
                && let Some(output) = &state.output
            {
                output.transient(&building::html(&now));
                state.cell.building = Some(now);
            }
            pause = building::LOOK;
        }
    }

    /// A file in the crate's folder.
    fn file(&self, name: &str) -> PathBuf {
        self.shared.folder.join(name)
    }

    /// Text that reached the server by another way than a frame: the last words of a worker.
    pub fn log(&self, line: &str) {
        let mut state = self.state();
        state.hear(&format!("{line}\n"));
        let output = state.output.clone();
        drop(state);
        match output {
            Some(output) => write(&output, Stream::Stderr, &format!("{line}\n")),
            None => tracing::warn!("worker: {line}"),
        }
    }

    /// The newest file from which a model can be loaded and that is still there.
    pub fn checkpoint(&self) -> Option<PathBuf> {
        self.state().checkpoints.iter().rev().find(|path| path.is_file()).cloned()
    }

    /// Asks the running cell to stop: the compiler at once, the worker and what it has started by a
    /// signal. If the cell does not react, the user is told, and the next interrupt ends the worker.
    pub fn interrupt(&self) {
        let mut state = self.state();
        let again = state.cell.interrupts > 0;
        let runs = state.cell.phase.is_running();
        if state.cell.restoring || (again && !state.cell.warned && runs) {
            return;
        }
        state.cell.interrupts += 1;
        if !again {
            let (host, cell) = (self.clone(), state.cells);
            // Without the thread another interrupt does nothing more.
            let _ = thread::Builder::new()
                .name("interrupt".into())
                .spawn(move || host.watch_interrupt(cell));
        }
        match state.cell.phase {
            Phase::Idle => {}
            Phase::Compiling { .. } => {
                let _ = std::fs::write(self.file(INTERRUPTED), "");
                // The worker keeps the variables; it may be starting and not have connected yet.
                // rust-analyzer would take the lost answer of `cargo metadata` for a crate without
                // dependencies, and keep it.
                processes::kill_all_but(|process| {
                    processes::runs(process, &self.shared.program)
                        || processes::has_argument(process, "metadata")
                });
                if let Some(worker) = state.worker {
                    // One that was stopped could not say that the cell has started.
                    processes::signal(worker, libc::SIGCONT);
                    if state.cell.warned && self.is_handed_over(&state) {
                        processes::signal(worker, libc::SIGKILL);
                    }
                }
            }
            Phase::Running { .. } => {
                if let Some(worker) = state.worker {
                    if state.cell.warned {
                        processes::signal(worker, libc::SIGKILL);
                    } else {
                        processes::interrupt(worker);
                    }
                }
            }
        }
    }

    /// Whether the worker has the cell that was begun last.
    pub fn runs(&self) -> bool {
        let state = self.state();
        state.cell.phase.is_running() || self.is_handed_over(&state)
    }

    /// Whether the worker has the cell, though it has not said so.
    fn is_handed_over(&self, state: &State) -> bool {
        state.cell.phase.is_first_build() && self.file(EXECUTION_PATH).exists()
    }

    /// Tells the user of a cell that has not reacted to its first interrupt after a moment.
    fn watch_interrupt(&self, cell: u64) {
        let runs = |state: &mut State| state.cells == cell && state.cell.phase != Phase::Idle;
        let mut state = self.state();
        loop {
            let waited = self.shared.changed.wait_timeout_while(state, MOMENT, runs);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !runs(&mut state) {
                return;
            }
            // The compiler ends by itself; what is cleared away behind it takes a moment more.
            if state.cell.phase.is_running() || self.is_handed_over(&state) {
                break;
            }
        }
        state.cell.warned = true;
        let output = state.output.clone();
        drop(state);
        if let Some(output) = output {
            write(&output, Stream::Stderr, WARNING);
        }
    }

    /// Ends the worker and what it has started, and waits until they are gone.
    pub fn end_worker(&self) {
        let worker = self.state().worker;
        if let Some(worker) = worker {
            processes::end_guarded(worker);
        }
    }

    /// Something that is not for the user but tells what a worker died of.
    pub fn hear(&self, text: &str) {
        self.state().hear(&format!("{text}\n"));
    }

    /// The process that runs the cells now.
    pub fn worker(&self) -> Option<u32> {
        self.state().worker
    }

    /// Ends the compiler and the worker.
    pub fn kill(&self) {
        let _ = std::fs::write(self.file(INTERRUPTED), "");
        processes::kill_all_but(|_| false);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the frames of one worker until it ends.
    fn read(&self, mut socket: UnixStream) {
        {
            let mut state = self.state();
            state.connected += 1;
            state.worker = peer(&socket);
            self.keep_statics(&mut state, Statics::default());
        }
        let mut token = None;
        let lost = loop {
            match Frame::read_from(&mut socket) {
                Ok(Some(Frame::Message(Message::Ready { token: said }))) => {
                    // Before any cell could say it.
                    token.get_or_insert(said);
                }
                Ok(Some(Frame::Message(
                    Message::Started { token: said } | Message::Done { token: said },
                ))) if Some(&said) != token.as_ref() => {
                    let output = self.state().output.clone();
                    output.iter().for_each(|output| write(output, Stream::Stderr, FORGED));
                }
                Ok(Some(frame)) => self.take(frame, &mut socket),
                Ok(None) => break guard::LOST,
                Err(error) => {
                    tracing::error!("the worker's frames cannot be understood: {error}");
                    break GARBLED;
                }
            }
        };
        // What the cells of a worker do could no longer be told.
        if let Some(worker) = peer(&socket).filter(|worker| !processes::ends_soon(*worker)) {
            self.hear(lost);
            processes::signal(worker, libc::SIGKILL);
        }
        let mut state = self.state();
        state.connected -= 1;
        state.ended += 1;
        if state.connected == 0 {
            state.worker = None;
            self.keep_statics(&mut state, Statics::default());
        }
        if let Some(output) = &state.output {
            output.end_question();
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// The worker loads a cell: its statics are there for later ones. The user is told of those that replace
    /// others.
    fn load_statics(&self, state: &mut State) {
        let path = self.file(DEFINED);
        if !path.exists() {
            return;
        }
        state.statics_before = state.statics.clone();
        let mut statics = state.statics.clone();
        let anew = statics.load(Statics::read(&path));
        let _ = std::fs::remove_file(path);
        self.keep_statics(state, statics);
        if let Some(output) = &state.output {
            for name in anew {
                let text = format!(
                    "the static `{name}` begins anew, since its definition or its type has changed\n"
                );
                write(output, Stream::Stderr, &text);
            }
        }
    }

    /// Notes for the stand-in which statics the worker has.
    fn keep_statics(&self, state: &mut State, statics: Statics) {
        if state.statics == statics {
            return;
        }
        let path = self.file(LIVE);
        if let Err(error) = statics.write(&path) {
            // The next cell's statics begin anew then, as if there were none.
            tracing::error!("{}: {error}", path.display());
            let _ = std::fs::remove_file(&path);
        }
        state.statics = statics;
    }

    fn take(&self, frame: Frame, socket: &mut UnixStream) {
        let mut state = self.state();
        let output = state.output.clone();
        match frame {
            Frame::Print(Stream::Stdout, bytes) => {
                let text = state.stdout.take(&bytes);
                let parts = state.markers.take(&text);
                drop(state);
                if let Some(output) = output {
                    show(&output, parts);
                }
            }
            Frame::Print(Stream::Stderr, bytes) => {
                let text = state.stderr.take(&bytes);
                state.hear(&text);
                match output {
                    Some(output) => {
                        drop(state);
                        write(&output, Stream::Stderr, &text);
                    }
                    None => state.early.push_str(&text),
                }
            }
            Frame::Message(Message::Started { .. }) => {
                state.built(true);
                self.load_statics(&mut state);
                state.cell.phase = Phase::Running { since: Instant::now() };
                self.shared.changed.notify_all();
                if state.cell.interrupts > 0
                    && let Some(worker) = state.worker
                {
                    // It was asked for between the compiler's end and this moment.
                    processes::interrupt(worker);
                }
            }
            Frame::Message(Message::Done { .. }) => {
                let ran = state.cell.phase.running();
                state.cell.ran += ran;
                state.cell.phase = Phase::Compiling { has_run: true };
                drop(state);
                // Only now does the worker tell evcxr: otherwise a cell could be over before its
                // outputs and its error have been read. A worker that is gone does not wait.
                let _ = socket.write_all(b"\n");
            }
            Frame::Message(Message::Showing) => state.markers.begin_result(),
            Frame::Message(Message::Error { ename, evalue, traceback }) => {
                if ename == NOT_LOADED {
                    let before = state.statics_before.clone();
                    self.keep_statics(&mut state, before);
                }
                state.cell.failure = Some(Failure { ename, evalue, traceback });
            }
            Frame::Message(Message::Panicked { message, traceback }) => {
                if state.cell.panics.len() == PANICS {
                    state.cell.panics.remove(0);
                }
                state.cell.panics.push(Panic { message, traceback });
            }
            Frame::Message(Message::ThreadPanicked { thread, message, traceback, newest }) => {
                let places = state.cell.places.as_ref().filter(|_| newest);
                let traceback = match places {
                    Some(places) => places(traceback),
                    None => traceback
                        .into_iter()
                        .map(|line| if in_cell(&line) { IN_EARLIER.into() } else { line })
                        .collect(),
                };
                let thread = thread.as_deref().unwrap_or("without a name");
                let text =
                    format!("thread {thread} panicked: {message}\n{}\n", traceback.join("\n"));
                state.hear(&text);
                drop(state);
                if let Some(output) = output {
                    write(&output, Stream::Stderr, &text);
                }
            }
            Frame::Message(Message::Kept { name, mutable }) => {
                state.cell.kept.push((name, mutable));
            }
            Frame::Message(Message::Checkpoint { path }) => {
                let path = PathBuf::from(path);
                state.checkpoints.retain(|known| *known != path);
                state.checkpoints.push(path);
            }
            Frame::Message(Message::Result { bundle }) if state.cell.values.is_some() => {
                state.cell.values.get_or_insert_default().push(bundle);
            }
            Frame::Message(message) => {
                drop(state);
                let Some(output) = output else { return };
                match message {
                    Message::Display { bundle, display_id } => {
                        output.display(&bundle, display_id.as_deref());
                    }
                    Message::Update { bundle, display_id } => {
                        output.update_display(&bundle, &display_id);
                    }
                    Message::Result { bundle } => output.result(&bundle),
                    Message::Clear { wait } => output.clear(wait),
                    Message::Input { prompt, password } => ask(prompt, password, &output, socket),
                    other => tracing::error!("a message that is not passed on: {other:?}"),
                }
            }
        }
    }
}

impl Begun {
    /// Has something done as soon as the cell is compiled, before it shows anything.
    pub fn before_run(&self, action: BeforeRun) {
        self.host.state().cell.before_run = Some(action);
    }

    /// The cell has ended as far as evcxr is concerned. A worker that lives has waited until all it
    /// had sent was taken (`finish` in the helper's `worker.rs`); for what one that died had still
    /// sent, this waits.
    pub fn end(self, worker_died: bool) -> Ended {
        let patience = Duration::from_secs(10);
        let unread = |state: &mut State| {
            worker_died && state.connected > 0 && state.ended == state.cell.ended_before
        };
        let shared = &self.host.shared;
        let (mut state, _) = shared
            .changed
            .wait_timeout_while(self.host.state(), patience, unread)
            .unwrap_or_else(PoisonError::into_inner);
        state.built(false);
        let cell = std::mem::take(&mut state.cell);
        shared.changed.notify_all();
        let rest = [(Stream::Stdout, state.stdout.rest()), (Stream::Stderr, state.stderr.rest())];
        let parts = state.markers.rest();
        let output = state.output.clone();
        drop(state);
        if let Some(output) = output {
            show(&output, parts);
            for (stream, text) in rest.into_iter().filter(|(_, text)| !text.is_empty()) {
                write(&output, stream, text);
            }
        }
        Ended {
            failure: cell.failure,
            interrupted: cell.interrupts > 0,
            // A worker that died in it could not say that it was done.
            ran: cell.ran + cell.phase.running(),
            panics: cell.panics,
            kept: cell.kept,
            said: cell.said,
            values: cell.values.unwrap_or_default(),
        }
    }
}

impl State {
    /// The cell's build has ended: what was shown of it is removed.
    fn built(&mut self, runs: bool) {
        if self.cell.building.take().is_some()
            && let Some(output) = &self.output
        {
            output.end_transient();
        }
        if let Some(action) = self.cell.before_run.take() {
            self.cell.places = Some(action(runs));
        }
    }

    /// Keeps the end of what is written to standard error.
    fn hear(&mut self, text: &str) {
        let said = &mut self.cell.said;
        said.push_str(text);
        if said.len() > SAID {
            let from = said.ceil_char_boundary(said.len() - SAID);
            said.drain(..from);
        }
    }
}

/// What is said of a place whose text is no longer there.
const IN_EARLIER: &str = "in code of an earlier cell";

/// Whether a line of a traceback names the compiled file of a cell.
fn in_cell(line: &str) -> bool {
    line.strip_prefix("at ").and_then(files::in_cell).is_some()
}

/// Asks the user in a thread of its own: a thread of the cell may have asked, and all others go on.
fn ask(prompt: String, password: bool, output: &Output, socket: &UnixStream) {
    let answer = |mut socket: &UnixStream, line: Result<String, String>| {
        if let Ok(mut text) = serde_json::to_string(&Answer { line }) {
            text.push('\n');
            // A worker that is gone does not wait for the answer.
            let _ = socket.write_all(text.as_bytes());
        }
    };
    let asking = socket.try_clone().and_then(|socket| {
        let output = output.clone();
        thread::Builder::new().name("question".into()).spawn(move || {
            let line = output.input_while(&prompt, password, || is_connected(&socket));
            answer(&socket, line.map_err(|error| error.to_string()));
        })
    });
    if let Err(error) = asking {
        answer(socket, Err(format!("the question cannot be asked: {error}")));
    }
}

fn show(output: &Output, parts: Vec<Part>) {
    for part in parts {
        match part {
            Part::Text(text) => write(output, Stream::Stdout, &text),
            Part::Rich(bundle) => output.display(&bundle, None),
            Part::Result(bundle) => output.result(&bundle),
        }
    }
}

fn write(output: &Output, stream: Stream, text: &str) {
    let stream = match stream {
        Stream::Stdout => benchbook_jupyter::Stream::Stdout,
        Stream::Stderr => benchbook_jupyter::Stream::Stderr,
    };
    output.stream(stream, text);
}

/// Whether the other end of a socket is open.
fn is_connected(socket: &UnixStream) -> bool {
    let mut byte = 0_u8;
    // SAFETY: the pointer and the length describe the local byte, which the call may fill.
    let peeked = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            (&raw mut byte).cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    peeked > 0 || (peeked < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock)
}

/// The process at the other end of a socket.
fn peer(socket: &UnixStream) -> Option<u32> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe the local structure that the call fills.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    (result == 0).then(|| u32::try_from(credentials.pid).ok()).flatten()
}

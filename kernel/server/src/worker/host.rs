//! Receives the messages of workers, and tracks the phase of the running cell.

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
    /// The crate's folder; server and stand-in for cargo communicate through its files.
    folder: PathBuf,
    /// The worker program.
    program: PathBuf,
}

/// Called before a compiled cell produces output, with whether the cell runs; returns the function
/// that maps a traceback's places to the cell.
pub type BeforeRun = Box<dyn FnOnce(bool) -> Places + Send>;

/// Maps the places of a traceback from the compiled file to the user's cell.
pub type Places = Box<dyn Fn(Vec<String>) -> Vec<String> + Send>;

#[derive(Default)]
struct State {
    /// Destination of outputs; kept after the cell for background threads.
    output: Option<Output>,
    /// A worker's standard error before the first cell, which shows it.
    early: String,
    /// The newest cell.
    cell: CellState,
    /// Counts cells, so that a thread that watches a build can detect the next cell.
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
    /// The statics of the cells loaded by the worker, and those before the newest cell.
    statics: Statics,
    statics_before: Statics,
}

/// State that is reset for each cell.
#[derive(Default)]
struct CellState {
    phase: Phase,
    failure: Option<Failure>,
    /// The newest panics of the cell's main thread, oldest first.
    panics: Vec<Panic>,
    /// The variables that the failed cell left in the store, and whether each is `mut`.
    kept: Vec<(String, bool)>,
    /// The end of the cell's standard error.
    said: String,
    /// The displayed progress of a long build.
    building: Option<String>,
    /// Called when the cell begins to run, or at its end if it never ran.
    before_run: Option<BeforeRun>,
    /// Maps the places of panics in the running cell's threads.
    places: Option<Places>,
    /// Collected values of expressions; values are not shown while an expression is evaluated for
    /// the front end.
    values: Option<Vec<Bundle>>,
    /// Number of workers that had ended when the cell began.
    ended_before: usize,
    interrupts: u32,
    /// Whether the user was told that another interrupt ends the process.
    warned: bool,
    /// Whether the running code only restores variables and must not be interrupted.
    restoring: bool,
    ran: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// No cell is running.
    #[default]
    Idle,
    /// evcxr or the compiler processes the cell.
    Compiling {
        /// Whether the worker has run a part of the cell.
        has_run: bool,
    },
    /// The worker runs the cell.
    Running { since: Instant },
}

impl Phase {
    fn is_first_build(self) -> bool {
        self == Self::Compiling { has_run: false }
    }

    fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// How long the worker has been running, if it has not finished.
    fn running(self) -> Duration {
        match self {
            Self::Running { since } => since.elapsed(),
            _ => Duration::ZERO,
        }
    }
}

/// A cell that has begun. Ending it consumes this value, so that each cell that has begun ends at most once.
#[must_use = "a cell that has begun has to be ended"]
pub struct Begun {
    host: Host,
    /// The cell's number.
    cell: u64,
}

/// A panic of a cell's main thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// The panic's message.
    pub message: String,
    /// The traceback, one place a line.
    pub traceback: Vec<String>,
}

/// Number of panics kept: a panic during unwinding, and Rust's message about it.
const PANICS: usize = 3;

/// Time for a cell to react to the first interrupt. Interrupts within this time count as the same one.
const MOMENT: Duration = Duration::from_secs(1);

/// The warning about a cell that has not reacted within [`MOMENT`].
const WARNING: &str = "the cell has not reacted to the interrupt yet; it may still do so, and another interrupt ends its process, with which all variables are lost\n";

/// The recorded cause if a worker's frames cannot be parsed.
pub const GARBLED: &str = "the cell wrote to the connection of its process with the kernel";

/// The error of a cell whose library the worker could not load.
const NOT_LOADED: &str = "LinkError";

/// The reply to a forged message.
const FORGED: &str =
    "the cell wrote to the connection of its process with the kernel; the text was ignored\n";

/// How much of standard error is kept to explain a worker's death, in bytes.
const SAID: usize = 4096;

/// How a cell ended, as far as the worker reported it.
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
    /// The variables that evcxr considers moved but that are still in the store because the cell
    /// failed earlier, and whether each is `mut`.
    pub kept: Vec<(String, bool)>,
    /// The end of its standard error.
    pub said: String,
    /// The collected values of expressions.
    pub values: Vec<Bundle>,
}

impl Host {
    /// The host of a session; workers connect to a socket in `folder`.
    pub fn new(folder: &Path, crate_folder: PathBuf, program: PathBuf) -> Self {
        let state = Mutex::new(State::default());
        let program = program.canonicalize().unwrap_or(program);
        let socket = folder.join("frames");
        let shared =
            Shared { state, changed: Condvar::new(), socket, folder: crate_folder, program };
        Self { shared: Arc::new(shared) }
    }

    /// Opens the socket if it does not exist or has been removed.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub fn listen(&self) -> io::Result<()> {
        let path = &self.shared.socket;
        if path.symlink_metadata().is_ok() {
            return Ok(());
        }
        // A socket's path is limited to 107 bytes; the path through its folder's descriptor is short.
        let folder = File::open(path.parent().unwrap_or(path))?;
        let name = path.file_name().unwrap_or_default();
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        let listener = UnixListener::bind(short)?;
        let accepting = self.clone();
        thread::Builder::new().name("workers".into()).spawn(move || {
            for socket in listener.incoming().flatten() {
                let host = accepting.clone();
                // A worker without a reading thread gets no answer and ends.
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

    /// Begins a cell whose outputs go to `output`. Shows the progress of a long build.
    pub fn begin(&self, output: Option<&Output>) -> Begun {
        let begun = self.begin_cell(output, CellState::default());
        if output.is_some() {
            let (host, cell) = (self.clone(), begun.cell);
            // Without the thread, the build's progress is not shown.
            let _ =
                thread::Builder::new().name("build".into()).spawn(move || host.watch_build(cell));
        }
        begun
    }

    /// Begins an expression for the front end: build progress is not shown, and values of last
    /// expressions are collected instead of shown.
    pub fn begin_expression(&self, output: &Output) -> Begun {
        let values = Some(Vec::new());
        self.begin_cell(Some(output), CellState { values, ..CellState::default() })
    }

    /// Begins the restoring of variables, which is short and must not be interrupted.
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

    /// Shows the current build step during a cell's first build.
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

    /// Handles text that arrived outside a frame, such as a worker's last lines.
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

    /// The newest model file that still exists.
    pub fn checkpoint(&self) -> Option<PathBuf> {
        self.state().checkpoints.iter().rev().find(|path| path.is_file()).cloned()
    }

    /// Interrupts the running cell: the compiler at once, the worker and its child processes by a signal. If
    /// the cell does not react, the user is warned, and the next interrupt ends the worker.
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
            // Without the thread, another interrupt has no further effect.
            let _ = thread::Builder::new()
                .name("interrupt".into())
                .spawn(move || host.watch_interrupt(cell));
        }
        match state.cell.phase {
            Phase::Idle => {}
            Phase::Compiling { .. } => {
                let _ = std::fs::write(self.file(INTERRUPTED), "");
                // The worker holds the variables; it may be starting and not connected yet.
                // rust-analyzer would treat the lost output of `cargo metadata` as a crate without
                // dependencies, and keep that result.
                processes::kill_all_but(|process| {
                    processes::runs(process, &self.shared.program)
                        || processes::has_argument(process, "metadata")
                });
                if let Some(worker) = state.worker {
                    // A stopped worker cannot report that the cell has started.
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

    /// Whether the worker runs the cell begun last.
    pub fn runs(&self) -> bool {
        let state = self.state();
        state.cell.phase.is_running() || self.is_handed_over(&state)
    }

    /// Whether the worker has the cell but has not reported it.
    fn is_handed_over(&self, state: &State) -> bool {
        state.cell.phase.is_first_build() && self.file(EXECUTION_PATH).exists()
    }

    /// Warns the user if a cell has not reacted to its first interrupt within [`MOMENT`].
    fn watch_interrupt(&self, cell: u64) {
        let runs = |state: &mut State| state.cells == cell && state.cell.phase != Phase::Idle;
        let mut state = self.state();
        loop {
            let waited = self.shared.changed.wait_timeout_while(state, MOMENT, runs);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !runs(&mut state) {
                return;
            }
            // The compiler ends by itself; the cleanup after it takes a little longer.
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

    /// Ends the worker and its child processes, and waits for their end.
    pub fn end_worker(&self) {
        let worker = self.state().worker;
        if let Some(worker) = worker {
            processes::end_guarded(worker);
        }
    }

    /// Collects text that may explain a worker's death, without showing it to the user.
    pub fn hear(&self, text: &str) {
        self.state().hear(&format!("{text}\n"));
    }

    /// The current worker process.
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
                    // Before any cell could send it.
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
        // The actions of a worker's cells can no longer be observed.
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

    /// Records the statics of the cell that the worker loads, for later cells. Tells the user about
    /// redefined statics.
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
                    "the static `{name}` is reset because its definition or type has changed\n"
                );
                write(output, Stream::Stderr, &text);
            }
        }
    }

    /// Writes the worker's statics for the stand-in.
    fn keep_statics(&self, state: &mut State, statics: Statics) {
        if state.statics == statics {
            return;
        }
        let path = self.file(LIVE);
        if let Err(error) = statics.write(&path) {
            // The next cell's statics then start anew.
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
                    // The interrupt arrived between the compiler's end and this moment.
                    processes::interrupt(worker);
                }
            }
            Frame::Message(Message::Done { .. }) => {
                let ran = state.cell.phase.running();
                state.cell.ran += ran;
                state.cell.phase = Phase::Compiling { has_run: true };
                drop(state);
                // Only now may the worker report to evcxr: otherwise a cell could end before its
                // outputs and its error have been read. A dead worker does not wait.
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
    /// Registers an action for the moment when the cell is compiled, before it produces output.
    pub fn before_run(&self, action: BeforeRun) {
        self.host.state().cell.before_run = Some(action);
    }

    /// Ends the cell for evcxr. A living worker has waited until all its messages were read (`finish` in the
    /// helper's `worker.rs`); for the remaining messages of a dead worker, this function waits.
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
            // A worker that died during the cell could not report its end.
            ran: cell.ran + cell.phase.running(),
            panics: cell.panics,
            kept: cell.kept,
            said: cell.said,
            values: cell.values.unwrap_or_default(),
        }
    }
}

impl State {
    /// Ends the cell's build: removes the displayed progress.
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

    /// Keeps the end of standard error.
    fn hear(&mut self, text: &str) {
        let said = &mut self.cell.said;
        said.push_str(text);
        if said.len() > SAID {
            let from = said.ceil_char_boundary(said.len() - SAID);
            said.drain(..from);
        }
    }
}

/// Replaces a place whose text no longer exists.
const IN_EARLIER: &str = "in code of an earlier cell";

/// Whether a line of a traceback names the compiled file of a cell.
fn in_cell(line: &str) -> bool {
    line.strip_prefix("at ").and_then(files::in_cell).is_some()
}

/// Requests input in a separate thread: a thread of the cell may wait for it while all others continue.
fn ask(prompt: String, password: bool, output: &Output, socket: &UnixStream) {
    let answer = |mut socket: &UnixStream, line: Result<String, String>| {
        if let Ok(mut text) = serde_json::to_string(&Answer { line }) {
            text.push('\n');
            // A dead worker does not wait for the answer.
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

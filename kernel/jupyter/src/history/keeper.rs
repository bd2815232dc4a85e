//! The thread that reads and writes the history file. The file can be locked by a process that does
//! not go on, or lie on a disk that does not answer; nothing but this thread waits for it.

use super::Entry;
use super::file::HistoryFile;
use crate::wake::locked;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// How long a reply waits for the file.
const PATIENCE: Duration = Duration::from_millis(500);

/// Maximum number of cells that wait to be written; further cells are not saved.
const WAITING: usize = 1000;

/// The other threads' handle to the thread.
pub(super) struct Keeper {
    jobs: Mutex<Option<Sender<Job>>>,
    ended: Receiver<()>,
    /// A requested result that has not arrived in time.
    late: Mutex<Option<Receiver<Others>>>,
}

enum Job {
    Add(Entry),
    Read(Sender<Others>),
}

/// The entries of other sessions, and the number of this one.
pub(super) struct Others {
    pub(super) session: u64,
    pub(super) entries: Vec<Entry>,
}

impl Keeper {
    /// Begins a session. `None`, with a warning in the log, if the thread cannot be started.
    pub(super) fn start(path: PathBuf) -> Option<Self> {
        let (jobs, waiting) = bounded(WAITING);
        let (end, ended) = bounded::<()>(0);
        let file = HistoryFile::new(path);
        let thread = std::thread::Builder::new().name("history file".into()).spawn(move || {
            serve(&file, &waiting);
            drop(end);
        });
        match thread {
            Ok(_) => Some(Self { jobs: Mutex::new(Some(jobs)), ended, late: Mutex::default() }),
            Err(error) => {
                tracing::warn!(%error, "the history of other sessions is not available");
                None
            }
        }
    }

    /// Writes an entry of this session.
    pub(super) fn add(&self, entry: Entry) {
        if !self.send(Job::Add(entry)) {
            tracing::warn!("a cell is not in the history file, which does not answer");
        }
    }

    /// Ends the session, and waits a limited time for its last cells to be written.
    pub(super) fn close(&self) {
        locked(&self.jobs).take();
        let _ = self.ended.recv_timeout(PATIENCE);
    }

    fn send(&self, job: Job) -> bool {
        locked(&self.jobs).as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }

    /// The content of the file; `None` if it does not respond in time.
    pub(super) fn read(&self) -> Option<Others> {
        let mut late = locked(&self.late);
        if let Some(receiver) = late.take()
            && receiver.try_recv().is_err_and(|error| error == TryRecvError::Empty)
        {
            *late = Some(receiver);
            return None;
        }
        let (sender, receiver) = bounded(1);
        if !self.send(Job::Read(sender)) {
            return None;
        }
        match receiver.recv_timeout(PATIENCE) {
            Ok(others) => Some(others),
            Err(_) => {
                tracing::warn!(
                    "the history of other sessions is not available: the file does not answer"
                );
                *late = Some(receiver);
                None
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.close();
    }
}

fn serve(file: &HistoryFile, jobs: &Receiver<Job>) {
    let session = file.begin_session().unwrap_or_else(|error| {
        tracing::warn!(%error, "the history of other sessions is not available");
        1
    });
    for job in jobs {
        match job {
            Job::Add(entry) => {
                if let Err(error) = file.append(&Entry { session, ..entry }) {
                    tracing::warn!(%error, "a cell is not in the history file");
                }
            }
            Job::Read(answer) => {
                let mut entries = file.read();
                entries.retain(|entry| entry.session != session);
                // The receiver no longer exists if this result is late.
                let _ = answer.send(Others { session, entries });
            }
        }
    }
}

//! Messages from the server: acknowledged frames, and answers of the user.
//!
//! A thread of an earlier cell may ask while later cells run, so a question can outlast its cell.

use super::lock;
use std::io::{self, BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

/// The received messages by kind.
pub(super) struct Answers {
    taken: Mutex<Receiver<()>>,
    /// Locked while a question is open.
    answers: Mutex<Receiver<String>>,
}

impl Answers {
    /// Listens in a thread that lives as long as the worker.
    pub(super) fn listen(socket: UnixStream) -> io::Result<Self> {
        let (take, taken) = channel();
        let (answer, answers) = channel();
        std::thread::Builder::new().name("answers".into()).spawn(move || {
            for line in BufReader::new(socket).lines().map_while(Result::ok) {
                // The receivers live as long as the process.
                let _ = match line.is_empty() {
                    true => take.send(()).map_err(drop),
                    false => answer.send(line).map_err(drop),
                };
            }
        })?;
        Ok(Self { taken: Mutex::new(taken), answers: Mutex::new(answers) })
    }

    /// Waits until the server has taken all frames. Returns at once if the server is gone: evcxr's pipe
    /// closes then, which ends the worker.
    pub(super) fn wait_until_taken(&self) {
        let _ = lock(&self.taken).recv();
    }

    /// Asks by calling `question`, once no other question is open, and waits for the answer.
    pub(super) fn ask(&self, question: impl FnOnce()) -> io::Result<String> {
        let answers = lock(&self.answers);
        question();
        answers.recv().map_err(|_| io::Error::other("the kernel has ended"))
    }
}

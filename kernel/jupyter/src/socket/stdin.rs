//! The stdin channel: questions to the user and their answers.

use super::LINGER;
use super::router::Wire;
use crate::output::InputError;
use crate::wake::{Mailbox, locked};
use crate::wire::{Incoming, InputReply, InputRequest, Outgoing, Parent};
use crate::zmtp::{Server, encode};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a request waits for a front end that has not connected its stdin channel yet.
const CONNECT_GRACE: Duration = Duration::from_secs(1);

/// Interval of attempts meanwhile.
const RETRY: Duration = Duration::from_millis(20);

/// An input request to the user.
pub(crate) struct Question<'a> {
    /// The identities of the client.
    pub(crate) client: &'a [Vec<u8>],
    pub(crate) parent: &'a Parent,
    pub(crate) prompt: &'a str,
    pub(crate) password: bool,
}

type Answer = Result<String, InputError>;

/// The other threads' handle to the channel.
pub(crate) struct Stdin {
    posts: Mailbox<Post>,
    /// Held while a request is pending, so that a second thread's request waits.
    asking: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: Option<Pending>,
    closed: bool,
}

/// The pending request.
struct Pending {
    client: Vec<Vec<u8>>,
    answer: crossbeam_channel::Sender<Answer>,
}

enum Post {
    Ask(Outgoing),
    Stop,
}

impl Stdin {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { posts: Mailbox::new()?, asking: Mutex::default(), state: Mutex::default() })
    }

    /// Sends a request and waits. `interrupted` says whether the cell was interrupted before
    /// [`Stdin::cancel`] could cancel the request.
    pub(crate) fn ask(&self, question: Question<'_>, interrupted: impl Fn() -> bool) -> Answer {
        let _turn = locked(&self.asking);
        let (sender, receiver) = crossbeam_channel::bounded(1);
        {
            let mut state = locked(&self.state);
            if state.closed {
                return Err(InputError::Closed);
            }
            state.pending = Some(Pending { client: question.client.to_vec(), answer: sender });
        }
        if interrupted() {
            self.cancel(InputError::Interrupted);
        } else {
            let content =
                InputRequest { prompt: question.prompt.to_owned(), password: question.password };
            let message = Outgoing::publish(question.parent, &content).to(question.client.to_vec());
            self.posts.post(Post::Ask(message));
        }
        receiver.recv().unwrap_or(Err(InputError::Closed))
    }

    /// Cancels the pending request, if there is one.
    pub(crate) fn cancel(&self, reason: InputError) {
        self.answer(Err(reason), |_| true);
    }

    /// Cancels the pending request and all later ones.
    pub(crate) fn close(&self) {
        locked(&self.state).closed = true;
        self.cancel(InputError::Closed);
    }

    /// Ends the channel's thread.
    pub(crate) fn stop(&self) {
        self.close();
        self.posts.post(Post::Stop);
    }

    /// Whether a request is pending.
    fn is_asking(&self) -> bool {
        locked(&self.state).pending.is_some()
    }

    /// Answers the pending request if `meant` accepts its client.
    fn answer(&self, answer: Answer, meant: impl Fn(&Pending) -> bool) -> bool {
        let pending = locked(&self.state).pending.take_if(|pending| meant(pending));
        // The cell may have ended; then the answer is not needed.
        pending.is_some_and(|pending| pending.answer.send(answer).is_ok())
    }

    fn received(&self, message: &Incoming) {
        if message.header.msg_type != "input_reply" {
            tracing::warn!(kind = message.header.msg_type, "expected an input_reply on stdin");
            return;
        }
        match message.content::<InputReply>() {
            Ok(reply) => {
                if !self.answer(Ok(reply.value), |asked| asked.client == message.identities) {
                    tracing::warn!("an input_reply was dropped: its client was not asked");
                }
            }
            Err(error) => tracing::warn!(%error, "an input_reply was dropped"),
        }
    }
}

/// Serves the channel until it is stopped.
pub(crate) fn serve(mut server: Server, wire: &Wire, stdin: &Arc<Stdin>) {
    // A request that could not be sent yet, and when to give up.
    let mut unsent: Option<(Outgoing, Instant)> = None;
    loop {
        let again = unsent.is_some().then(|| Instant::now() + RETRY);
        match server.wait(&stdin.posts.wake, again) {
            Ok(arrived) => {
                wire.handle("stdin", arrived, &mut |message| stdin.received(&message));
            }
            Err(error) => {
                tracing::error!(%error, "the stdin channel ended");
                return stdin.close();
            }
        }
        for post in stdin.posts.take() {
            match post {
                Post::Ask(message) => unsent = Some((message, Instant::now() + CONNECT_GRACE)),
                Post::Stop => return server.finish(LINGER),
            }
        }
        if let Some((message, until)) = unsent.take()
            && stdin.is_asking()
        {
            let client = message.identities().first().and_then(|client| server.find(client));
            match client {
                Some(client) => {
                    let parts = wire.sender.parts(message);
                    server.send(client, encode(&parts[1..]));
                }
                None if Instant::now() < until => unsent = Some((message, until)),
                None => {
                    tracing::warn!("a question could not be sent: its client has no stdin channel");
                    stdin.cancel(InputError::Unreachable);
                }
            }
        }
    }
}

//! What the threads of a kernel share.

use crate::evaluator::Control;
use crate::execution::Executor;
use crate::handler::{Assistant, Channel, Request};
use crate::history::History;
use crate::kernel::End;
use crate::settings::About;
use crate::socket::iopub::IoPub;
use crate::socket::router::Post;
use crate::socket::stdin::Stdin;
use crate::usage::Meter;
use crate::wake::{Mailbox, locked};
use crate::wire::Outgoing;
use jupyter_protocol::ConnectionInfo;
use std::sync::{Arc, Mutex};

/// What the threads of a kernel share: their queues, and what is to be known everywhere.
pub(crate) struct Core {
    pub(crate) about: About,
    pub(crate) connection: ConnectionInfo,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) shell_posts: Arc<Mailbox<Post>>,
    pub(crate) control_posts: Arc<Mailbox<Post>>,
    pub(crate) iopub: Arc<IoPub>,
    pub(crate) stdin: Arc<Stdin>,
    pub(crate) executor: Executor,
    pub(crate) assistant: Assistant,
    pub(crate) history: History,
    /// Requests for the thread that answers what is asked of the history; `None` ends it.
    pub(crate) historian: crossbeam_channel::Sender<Option<Request>>,
    pub(crate) meter: Mutex<Meter>,
    /// Why the kernel ends, for the thread that waits for it.
    pub(crate) ends: Arc<Mailbox<End>>,
}

impl Core {
    /// The queue of the channel on which a request came and its answer goes.
    pub(crate) fn posts(&self, channel: Channel) -> &Mailbox<Post> {
        match channel {
            Channel::Shell => &self.shell_posts,
            Channel::Control => &self.control_posts,
        }
    }

    /// Sends an answer on the channel on which the request came.
    pub(crate) fn reply(&self, channel: Channel, message: Outgoing) {
        self.posts(channel).post(Post::Send(message));
    }

    /// The user asks the running cell to stop, and those that wait not to start.
    pub(crate) fn interrupt(&self) {
        self.executor.interrupt(&*self.control);
        self.stdin.cancel(crate::InputError::Interrupted);
    }

    /// Computes the usage of the machine.
    pub(crate) fn usage(&self) -> crate::wire::UsageReply {
        let gpu = self.control.gpu_memory();
        locked(&self.meter).measure(gpu)
    }
}

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

/// The state that a kernel's threads share: queues and settings.
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
    /// Requests for the history thread; `None` ends it.
    pub(crate) historian: crossbeam_channel::Sender<Option<Request>>,
    pub(crate) meter: Mutex<Meter>,
    /// The reason for the kernel's end, for the thread that waits for it.
    pub(crate) ends: Arc<Mailbox<End>>,
}

impl Core {
    /// The queue of the channel for a request and its reply.
    pub(crate) fn posts(&self, channel: Channel) -> &Mailbox<Post> {
        match channel {
            Channel::Shell => &self.shell_posts,
            Channel::Control => &self.control_posts,
        }
    }

    /// Sends a reply on the channel of its request.
    pub(crate) fn reply(&self, channel: Channel, message: Outgoing) {
        self.posts(channel).post(Post::Send(message));
    }

    /// Interrupts the running cell and aborts the waiting ones.
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

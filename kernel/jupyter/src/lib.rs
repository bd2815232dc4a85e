//! The Jupyter messaging layer, protocol 5.4, over ZeroMQ's wire protocol.
//!
//! It knows nothing of the language that is evaluated. A kernel gives it an [`Evaluator`], which
//! runs cells on a thread of its own, and a [`Control`], which answers from any thread at any time:
//!
//! ```no_run
//! use benchbook_jupyter::{About, Completeness, Control, Evaluator, Kernel, Settings, connection};
//! # fn example(about: About, control: std::sync::Arc<dyn Control>) -> Result<(), benchbook_jupyter::Error> {
//! # struct Mine;
//! # impl Evaluator for Mine {
//! #     fn execute(&mut self, _: &benchbook_jupyter::Cell, _: &benchbook_jupyter::Output) -> benchbook_jupyter::Executed {
//! #         benchbook_jupyter::Outcome::ok().into()
//! #     }
//! # }
//! let connection = connection::read("kernel.json".as_ref())?;
//! // From here on clients can connect; their messages wait for `run`.
//! let kernel = Kernel::bind(connection, Settings::new(about))?;
//! let end = kernel.run(control, || Ok(Box::new(Mine) as Box<dyn Evaluator>));
//! println!("ended by {end:?}");
//! # Ok(())
//! # }
//! ```
//!
//! Every socket has a thread of its own (see [`Kernel::run`]); other threads reach it through a
//! queue and never touch the socket. Whatever arrives that is no genuine message is logged and
//! dropped.

pub mod connection;
mod core;
mod error;
mod evaluator;
mod execution;
mod handler;
mod history;
mod kernel;
mod output;
mod panics;
mod position;
mod settings;
mod socket;
mod usage;
mod wake;
mod watch;
mod wire;
mod zmtp;

pub use error::Error;
pub use evaluator::{
    Cell, Completeness, Completions, Control, Detail, Evaluator, Executed, Expression, Failure,
    GpuMemory, Match, Outcome, Payload,
};
pub use jupyter_protocol::{CodeMirrorMode, ConnectionInfo, HelpLink, LanguageInfo, Transport};
pub use kernel::{End, Kernel, SHUTDOWN_GRACE};
pub use output::{InputError, Output, Stream};
pub use settings::{About, Settings};
pub use watch::parent_from_environment;
pub use wire::PROTOCOL_VERSION;

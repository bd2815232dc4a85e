//! Records of runs, their statistics, and comparisons that say when they are none.
//!
//! A [`Record`] is what one run was and what it took, whoever wrote it: the helper library, a Python
//! program, or somebody who typed in a published table. [`Records`] reads files of them, one JSON
//! line each, from any number of machines. [`compare`] puts two backends' records side by side: it
//! gives a ratio only of like with like, and otherwise says what differs. [`Study`] draws all of it.
//! [`runner`] executes the runs of a study, each in a process of its own.
//!
//! No library of deep learning is linked or named here beyond strings.

pub mod agreement;
mod ceiling;
mod compare;
pub mod conditions;
mod error;
pub mod files;
mod price;
mod proportion;
mod published;
pub mod record;
mod records;
pub mod references;
mod report;
mod reproduction;
pub mod resources;
pub mod runner;
pub mod statistics;
mod study;
mod tensorboard;
mod verdict;

pub use ceiling::{Ceiling, ceilings};
pub use compare::{Comparison, PerImage, Quantity, compare, counts};
pub use conditions::{Difference, differences};
pub use error::Error;
pub use price::Price;
pub use proportion::{Evaluation, wilson_interval};
pub use published::{Figure, Published, PublishedTable, PublishedValue, Source, published};
pub use record::Record;
pub use records::{Records, RecordsLock, Unreadable, append};
pub use report::report_2019;
pub use reproduction::Reproduction;
pub use study::{ADVISED_ROUNDS, Study};
pub use tensorboard::write_events;
pub use verdict::{Limit, Rates};

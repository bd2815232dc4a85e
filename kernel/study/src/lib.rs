//! Records of runs, their statistics, and comparisons of comparable runs.
//!
//! A [`Record`] holds the conditions and results of one run. The helper library, a Python program or the author of a
//! published table writes it. [`Records`] reads files of records, one JSON line each, from any number of machines.
//! [`compare()`] compares the records of two backends: it gives a ratio if all conditions are equal, and otherwise lists
//! the differences. [`Study`] draws tables and charts. [`runner`] executes the runs of a study, each in its own process.
//!
//! This crate links no deep-learning library.

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

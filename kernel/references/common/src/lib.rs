//! What the programs of Rust libraries share, as `common.py` is for those in Python.
//!
//! A program is an interpreter of the job's graph in its library's own layers, which implements [`Library`], and a `main`
//! that calls [`run`]. Images are decoded by `benchbook-data`, so that all of these programs and Benchbook's own backends
//! get the same pixels.

mod arrays;
mod images;
mod job;
mod run;
mod trace;

pub use benchbook_backend::{Array, Compute, Convention, Optimizer, Parameters, Precision};
pub use benchbook_nets as nets;
pub use job::{Job, Question};
pub use run::{Library, run};
pub use trace::different;

//! The common parts of the programs for Rust libraries; `common.py` has those of the Python programs.
//!
//! A program is an interpreter of the job's graph in its library's own layers, which implements [`Library`], and a `main`
//! that calls [`run`]. `benchbook-data` decodes the images, so that these programs and Benchbook's own backends get the
//! same pixels.

mod images;
mod job;
mod run;
mod trace;

pub use benchbook_backend::{Array, Compute, Convention, Optimizer, Parameters, Precision};
pub use benchbook_nets as nets;
pub use job::Job;
pub use run::{Library, run};
pub use trace::different;

//! The Benchbook kernel server and its command line.
//!
//! `kernel/ARCHITECTURE.md` gives an overview. [`kernel`] serves Jupyter, [`evaluate`] runs cells
//! with evcxr, [`cargo`] is the program that evcxr calls instead of cargo, [`worker`] is the server's side
//! of the process that runs cells, and [`install`] builds the [`template`] that all sessions
//! share.

pub mod bench;
pub mod cache;
pub mod cargo;
pub mod clean;
mod definitions;
mod diagnostic;
pub mod doctor;
pub mod evaluate;
mod evcxr_contract;
mod gpu;
pub mod gpu_support;
pub mod install;
pub mod is_complete;
pub mod kernel;
pub mod kernelspec;
pub mod libtorch;
mod linker;
pub mod machine;
pub mod names;
pub mod nesting;
mod parsed;
pub mod record;
pub mod session;
pub mod setup;
pub mod study;
pub mod template;
pub mod toolchain;
pub mod tools;
pub mod worker;

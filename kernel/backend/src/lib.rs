//! The boundary between training and the deep-learning libraries.
//!
//! Training, history, records and callbacks know a model only as a [`Network`]: numbers go in and out as slices of
//! `f32` in documented shapes, so that no library's tensor type shows. What all libraries must agree on (the net, its
//! starting weights, the order of images, the dropout masks) is made on this side; what they are compared by (how they
//! compute) on theirs.
//!
//! A backend is one type that implements [`Backend`] and one that implements [`Network`].

mod about;
mod compute;
pub mod cuda;
mod device;
mod error;
mod network;
mod optimizer;
mod parameters;
mod random;

pub use about::About;
pub use benchbook_ranks::Rank;
pub use compute::{Compute, Precision};
pub use device::Device;
pub use error::BackendError;
pub use network::{
    Backend, BackendInfo, Input, Network, Plan, Step, StepResult, class_numbers, code_elsewhere,
    dropout_mask, without_code, without_ranks,
};
pub use optimizer::{Convention, Optimizer};
pub use parameters::{Array, Parameters, ParametersError};
pub use random::normal;

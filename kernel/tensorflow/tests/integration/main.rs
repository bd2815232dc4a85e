//! Nets in the real library, against results that anybody can recompute. Without TensorFlow each test
//! says that it was skipped.

mod checkpoints;
mod conformance;
mod gradients;
mod operations;
mod optimizers;
mod reference;
mod refusals;
mod support;

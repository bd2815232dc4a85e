//! TensorFlow from Rust, without Python and without linking to it.
//!
//! [`Library::load`] finds `libtensorflow_cc.so.2` (of a Python environment's TensorFlow, or of
//! `environment/tensorflow`), opens it and binds the functions of its C API that are needed. [`TensorFlow`] builds each
//! net as one graph with one session: variables, a forward pass for training and one for inference, gradients by
//! `TF_AddGradients`, and the optimiser's updates.
//!
//! Values come and go in the layouts that all backends share: images `[batch, channels, height, width]`, convolutions
//! `[outputs, inputs, rows, columns]`, dense layers `[outputs, inputs]`. Inside, everything is in Keras' layouts
//! (`[batch, height, width, channels]`, `[rows, columns, inputs, outputs]`, `[inputs, outputs]`), so that TensorFlow
//! runs the same kernels.

mod api;
mod backend;
mod graph;
mod layout;
mod library;
mod net;
mod optimizer;
mod session;
mod status;
mod tensor;

pub use backend::TensorFlow;
pub use library::{Library, LoadError, MINIMUM};

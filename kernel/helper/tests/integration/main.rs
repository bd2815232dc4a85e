//! The helper library as a notebook uses it: real JPEG files, real LibTorch.

mod agreement;
mod bad_input;
mod comforts;
mod nets;
mod not_finite;
mod photos;
mod pictures;
mod records;
mod resizing;
mod resume;
mod training;

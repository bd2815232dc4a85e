//! The helper library as a notebook uses it: real JPEG files, real LibTorch.

mod bad_input;
mod photos;
mod pictures;
mod records;
mod training;

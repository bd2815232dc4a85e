//! Generated drawings of cats and dogs, and of up to ten kinds of animals, as JPEG files in the folders that a classifier learns from.
//!
//! The images take the place of photos wherever none can be shipped: in tests, in the quickstart and
//! in committed outputs. Colours, brightness, backgrounds, sizes and positions come from the same
//! distributions for all animals, so that only their shape tells them apart; `tests/integration/regression.rs`
//! holds what a classifier without an eye for shape may reach.
//!
//! [`kaggle`] brings real photos into the same folders.

mod animal;
mod colour;
mod command;
mod dice;
mod figure;
mod folder;
pub mod kaggle;
mod light;
mod output;
mod picture;
mod scene;
mod shape;

pub use animal::Animal;
pub use command::{Arguments, run};
pub use folder::{
    CLASSES, Description, Existing, GENERATOR_VERSION, Plan, SIDES, Written, estimate_bytes,
    file_name, generate,
};
pub use output::{CHECKSUM_FILE, DESCRIPTION_FILE, DatasetError};
pub use picture::{Frame, JPEG_QUALITY, Picture, Split};

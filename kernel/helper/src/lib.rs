//! What a Benchbook cell sees: tensors, images, training, timing, plots and rich output.
//!
//! `use benchbook::prelude::*;` is in effect in every cell. The raw libraries are re-exported for
//! those who want them: [`tch`], [`image`], [`plotters`], [`serde_json`].

pub use benchbook_chart as chart;
pub use benchbook_data as data;
pub use {image, plotters, serde_json, tch};

pub mod display;
pub mod interrupt;
pub mod worker;

/// What every cell imports.
pub mod prelude {
    pub use crate::display::{Bundle, DisplayHandle, Rich, clear_output, display};
    pub use crate::interrupt;
    pub use tch::{self, Device, IndexOp, Kind, Tensor};
}

//! The library of Benchbook cells: tensors, images, training, timing, plots and rich output.
//!
//! `use benchbook::prelude::*;` is in effect in every cell. The underlying libraries are
//! re-exported: [`tch`], [`image`], [`plotters`], [`serde_json`].

pub use benchbook_chart as chart;
pub use benchbook_data as data;
pub use benchbook_nets as nets;
pub use benchbook_weights as weights;
pub use error::Error;
pub use train::metric as metrics;
pub use {image, plotters, serde_json, tch};

pub mod backend;
pub mod display;
pub mod download;
mod error;
#[doc(hidden)]
pub mod evcxr_runtime;
mod files;
mod input;
pub mod interrupt;
pub mod job;
pub mod model;
mod print;
pub mod python;
mod ranks;
pub mod record;
pub mod run;
pub mod scale;
pub mod show;
pub mod study;
pub mod train;
pub mod worker;

/// What every cell imports.
pub mod prelude {
    pub use crate::backend::{
        BackendId, Compute, Convention, LibTorch, Optimizer, Precision, TensorFlow, libraries,
    };
    pub use crate::chart::{
        BarChart, Chart, ConfusionMatrix, Curves, Histogram, LineChart, PictureGrid, Scatter,
        Table, plot,
    };
    pub use crate::data::{
        Arrays, Augmentation, Cache, Crop, Dataset, Fill, Filter, ImageFolder, Loader,
        LoaderConfig, OnBadImage, Split,
    };
    pub use crate::display::{Bundle, DisplayHandle, Rich, clear_output, display};
    pub use crate::input::{input, password};
    pub use crate::interrupt;
    pub use crate::job::{self, Job};
    pub use crate::metrics::{self, Metric};
    pub use crate::model::{Build, Evaluation, Model, Predictions, Publisher, TchNet, Weights};
    // A new architecture needs only its line in that module.
    pub use crate::nets::architectures::*;
    pub use crate::nets::{Architecture, Net, Sequential};
    pub use crate::record::Record;
    pub use crate::run::Run;
    pub use crate::scale::Scale;
    pub use crate::study::{Study, StudyPlan, published, report_2019};
    pub use crate::train::{
        Builtin, Callback, EpochMetrics, Fit, History, KerasLog, Live, Schedule, TorchLog,
    };
    pub use std::ops::ControlFlow;
    pub use tch::{self, Device, IndexOp, Kind, Tensor};
}

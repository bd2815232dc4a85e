//! Operations of layers. A new operation is a file here and three lines below: the module, its type, and its entry in
//! the list. An operation owns its shapes, parameters, starting values and printed names; backends have one arm for each.

mod activation;
mod convolution;
mod custom;
mod dense;
mod dropout;
mod flatten;
mod gru;
mod join;
mod lstm;
mod normalization;
mod pooling;
mod recurrent;
mod rows;
mod upsample;

pub use activation::{Activation, Function};
pub use convolution::Conv2d;
pub use custom::{Custom, Variable};
pub use dense::Dense;
pub use dropout::Dropout;
pub use flatten::{Flatten, FlattenOrder};
pub use gru::GruLayer;
pub use join::{Add, Concat};
pub use lstm::LstmLayer;
pub use normalization::{BatchNorm, LayerNorm};
pub use pooling::{AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, MaxPool2d};
pub use rows::Rows;
pub use upsample::Upsample;

use crate::net::Init;
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Describes an operation.
pub trait Rule {
    /// The shape of the output for one example.
    ///
    /// # Errors
    /// [`Mismatch`] if the operation cannot take these inputs, or its own settings are impossible.
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Mismatch>;

    /// The parameters with the suffixes of their names. Called only after [`Rule::output`] has accepted the inputs.
    fn parameters(&self, _inputs: &[Shape]) -> Vec<(&'static str, Tensor)> {
        Vec::new()
    }

    /// The parameters with their names in a node of this name.
    fn named_parameters(&self, node: &str, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let named = |(suffix, tensor)| (format!("{node}.{suffix}"), tensor);
        self.parameters(inputs).into_iter().map(named).collect()
    }

    /// The layer's class in Keras' table.
    fn keras(&self) -> &'static str;

    /// PyTorch's printed form of the module.
    fn pytorch(&self, inputs: &[Shape]) -> String;
}

/// A parameter before it has a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Lengths of the axes, in PyTorch's layout.
    pub shape: Vec<usize>,
    /// Starting values.
    pub init: Init,
    /// Whether gradients change it.
    pub learned: bool,
}

impl Tensor {
    fn he(shape: Vec<usize>, fan_in: usize) -> Self {
        Self { shape, init: Init::He { fan_in }, learned: true }
    }

    fn constant(length: usize, value: f32) -> Self {
        Self { shape: vec![length], init: Init::Constant(value), learned: true }
    }

    fn fixed(self) -> Self {
        Self { learned: false, ..self }
    }
}

/// An operation's requirement and the inputs or setting that break it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// For example `a feature map [channels, height, width]`.
    pub expected: String,
    /// For example `[512]`.
    pub got: String,
}

impl Mismatch {
    fn new(expected: impl Into<String>, got: impl ToString) -> Self {
        Self { expected: expected.into(), got: got.to_string() }
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The operation of a layer. In JSON a map with `type` (`conv2d`, `batch_norm`, …) and the fields of the
        /// operation.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum Operation {
            $($(#[$doc])* $name($name)),+
        }

        impl Operation {
            /// The operation's description.
            pub fn rule(&self) -> &dyn Rule {
                match self {
                    $(Operation::$name(operation) => operation),+
                }
            }
        }

        $(impl From<$name> for Operation {
            fn from(operation: $name) -> Self {
                Operation::$name(operation)
            }
        })+
    };
}

operations! {
    /// Activation function of each value.
    Activation,
    /// Average pooling to a fixed output size.
    AdaptiveAvgPool2d,
    /// Sum of inputs of equal shape.
    Add,
    /// Average of each window.
    AvgPool2d,
    /// Batch normalisation of each channel.
    BatchNorm,
    /// Concatenation along the channels.
    Concat,
    /// Two-dimensional convolution (a cross-correlation, as in both libraries).
    Conv2d,
    /// A forward pass in the user's code.
    Custom,
    /// Fully connected layer.
    Dense,
    /// Zeroes values in training.
    Dropout,
    /// Flattens a feature map into a vector.
    Flatten,
    /// Average of each channel.
    GlobalAvgPool2d,
    /// Gated recurrent unit over a sequence: `gru` in JSON.
    #[serde(rename = "gru")]
    GruLayer,
    /// Layer normalisation of a vector.
    LayerNorm,
    /// Long short-term memory over a sequence: `lstm` in JSON.
    #[serde(rename = "lstm")]
    LstmLayer,
    /// Largest value of each window.
    MaxPool2d,
    /// Turns a feature map into a sequence.
    Rows,
    /// Repeats rows and columns.
    Upsample,
}

/// Rows and columns added around a map. In JSON `[top, bottom, left, right]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[usize; 4]", into = "[usize; 4]")]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same on all four sides.
    pub fn all(width: usize) -> Self {
        Self::from([width; 4])
    }

    /// Keras' `padding="same"` for a stride of 1: the map keeps its size. With an even kernel the extra row and column
    /// are at the bottom and on the right.
    pub fn same([rows, columns]: [usize; 2]) -> Self {
        let (down, across) = (rows.saturating_sub(1), columns.saturating_sub(1));
        Self {
            top: down / 2,
            bottom: down - down / 2,
            left: across / 2,
            right: across - across / 2,
        }
    }

    /// Whether all four sides are zero.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// `[rows, columns]` if opposite sides are equal, as PyTorch's layers need it.
    pub fn symmetric(&self) -> Option<[usize; 2]> {
        (self.top == self.bottom && self.left == self.right).then_some([self.top, self.left])
    }

    fn is_default(padding: &Self) -> bool {
        padding.is_none()
    }

    /// PyTorch's printed form; asymmetric padding is `(left, right, top, bottom)`, the order of `ZeroPad2d`.
    fn pytorch(&self) -> String {
        match self.symmetric() {
            Some([rows, columns]) => format!("({rows}, {columns})"),
            None => format!("({}, {}, {}, {})", self.left, self.right, self.top, self.bottom),
        }
    }
}

impl From<[usize; 4]> for Padding {
    fn from([top, bottom, left, right]: [usize; 4]) -> Self {
        Self { top, bottom, left, right }
    }
}

impl From<Padding> for [usize; 4] {
    fn from(padding: Padding) -> Self {
        [padding.top, padding.bottom, padding.left, padding.right]
    }
}

/// The single input of an operation.
fn one(inputs: &[Shape]) -> Result<Shape, Mismatch> {
    match inputs {
        [input] => Ok(*input),
        _ => Err(Mismatch::new("1 input", format!("{} inputs", inputs.len()))),
    }
}

/// The single input of an operation on feature maps.
fn map(inputs: &[Shape]) -> Result<[usize; 3], Mismatch> {
    match one(inputs)? {
        Shape::Map(axes) => Ok(axes),
        Shape::Vector(_) => {
            Err(Mismatch::new("a feature map [channels, height, width]", inputs[0]))
        }
    }
}

/// The single input of an operation on vectors.
fn vector(inputs: &[Shape]) -> Result<usize, Mismatch> {
    match one(inputs)? {
        Shape::Vector([length]) => Ok(length),
        Shape::Map(_) => {
            Err(Mismatch::new("a vector (put `flatten` or a global pooling before it)", inputs[0]))
        }
    }
}

/// Rows and columns that a window visits.
fn windows(
    map: [usize; 3],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
) -> Result<[usize; 2], Mismatch> {
    for (what, [rows, columns]) in [("kernel", kernel), ("stride", stride)] {
        if rows == 0 || columns == 0 {
            return Err(Mismatch::new(
                format!("a {what} of at least 1 × 1"),
                format!("{rows} × {columns}"),
            ));
        }
    }
    let [_, height, width] = map;
    let padded = [height + padding.top + padding.bottom, width + padding.left + padding.right];
    if padded[0] < kernel[0] || padded[1] < kernel[1] {
        let padded = if padding.is_none() { "" } else { " with its padding" };
        return Err(Mismatch::new(
            format!(
                "a map of at least {} × {}{padded} for its window (enlarge the net's input)",
                kernel[0], kernel[1]
            ),
            Shape::Map(map),
        ));
    }
    Ok([0, 1].map(|axis| (padded[axis] - kernel[axis]) / stride[axis] + 1))
}

/// `(3, 3)`.
fn pair([rows, columns]: [usize; 2]) -> String {
    format!("({rows}, {columns})")
}

/// PyTorch prints what was given: one number for a square.
fn short([rows, columns]: [usize; 2]) -> String {
    if rows == columns { rows.to_string() } else { pair([rows, columns]) }
}

//! Nets as data, without any deep-learning library.
//!
//! A [`Graph`] lists operations by name; it is what users write, what JSON holds and what architectures return.
//! [`Net::new`] checks a graph and infers every shape and parameter; backends, printed forms and the readers of weight
//! files work from a [`Net`] alone. Data flows one way: architecture → graph → net → backend.
//!
//! - A new architecture is one file in `architectures/` (a type that implements [`Architecture`]).
//! - A new operation is one file in `operations/` (a type that implements [`Rule`]) and one arm in each backend.
//!
//! ```
//! use benchbook_nets::{Architecture, Net, Sequential};
//!
//! let graph = Sequential::image(3, 64, 64)
//!     .conv(32, 3).relu().max_pool(2)
//!     .conv(64, 3).relu().max_pool(2)
//!     .flatten().dense(128).relu().dropout(0.5).dense(10)
//!     .graph();
//! let net = Net::new(graph)?;
//! assert_eq!(net.classes(), 10);
//! assert_eq!(net.layers()[0].output.to_string(), "[32, 64, 64]");
//! # Ok::<(), benchbook_nets::NetError>(())
//! ```

mod architectures;
mod error;
mod graph;
mod net;
mod operations;
mod printed;
mod sequential;
mod shape;

pub use architectures::{
    Architecture, Head, Named, ResNet18, SmallCnn, Vgg, Vgg11, Vgg13, Vgg16, Vgg19,
};
pub use error::NetError;
pub use graph::{Graph, Node};
pub use net::{Init, Layer, Loss, Net, Parameter, Source};
pub use operations::{
    Activation, AdaptiveAvgPool2d, Add, AvgPool2d, BatchNorm, Concat, Conv2d, Custom, Dense,
    Dropout, Flatten, FlattenOrder, Function, GlobalAvgPool2d, LayerNorm, MaxPool2d, Mismatch,
    Operation, Padding, Rule, Tensor, Variable,
};
pub use printed::thousands;
pub use sequential::Sequential;
pub use shape::Shape;

//! Nets as data, without any deep-learning library.
//!
//! A [`Graph`] lists operations by name; it is what users write, what JSON holds and what architectures return.
//! [`Net::new`] checks a graph and infers every shape and parameter; backends, printed forms and the readers of weight
//! files work from a [`Net`] alone. Data flows one way: architecture → graph → net → backend.
//!
//! `CONTRIBUTING.md` says how to add an architecture or an operation.
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

pub mod architectures;
mod error;
mod graph;
mod net;
mod operations;
mod printed;
mod sequential;
mod shape;

// The lists in these two modules decide what is public, so that an addition is made in one place.
pub use architectures::*;
pub use error::NetError;
pub use graph::{Graph, Node};
pub use net::{Init, Layer, Loss, Net, Parameter, Source};
pub use operations::*;
pub use printed::thousands;
pub use sequential::Sequential;
pub use shape::Shape;

//! Nets by name. A new architecture is one file here and three lines below: the module, its type, and its name in the
//! list. What is public here is in the crate's root and in every cell.

mod alexnet;
mod mlp;
mod mobilenet;
mod recurrent;
mod resnet;
mod small_cnn;
mod vgg;

pub use alexnet::AlexNet;
pub use mlp::Mlp;
pub use mobilenet::MobileNetV2;
pub use recurrent::{Gru, Lstm};
pub use resnet::{ResNet, ResNet18, ResNet34, ResNet50};
pub use small_cnn::SmallCnn;
pub use vgg::{Head, Vgg, Vgg11, Vgg13, Vgg16, Vgg19};

use crate::graph::Graph;
use crate::sequential::Sequential;
use serde::{Deserialize, Serialize};

/// The settings of a net, from which its graph is built.
pub trait Architecture {
    /// The net's graph. It is checked by [`Net::new`](crate::Net::new).
    fn graph(&self) -> Graph;
}

impl Architecture for Graph {
    fn graph(&self) -> Graph {
        self.clone()
    }
}

impl<A: Architecture + ?Sized> Architecture for &A {
    fn graph(&self) -> Graph {
        (**self).graph()
    }
}

macro_rules! architectures {
    ($($variant:ident($type:ty) = $name:literal),+ $(,)?) => {
        /// An architecture as JSON states it: its name as `architecture`, and its settings. Every other net is a
        /// `graph`.
        ///
        /// ```json
        /// { "architecture": "vgg16", "classes": 3, "size": 64, "batch_norm": true }
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "architecture")]
        pub enum Named {
            $(#[doc = concat!("`", $name, "`.")] #[serde(rename = $name)] $variant($type)),+,
            /// `graph`: a list of operations.
            #[serde(rename = "graph")]
            Graph(Graph),
        }

        impl Named {
            /// The names that JSON can state.
            pub const NAMES: &[&str] = &[$($name),+, "graph"];
        }

        impl Named {
            /// Sets the height and width of the input; `false` for a graph, whose layers depend on its input.
            pub fn set_size(&mut self, pixels: usize) -> bool {
                match self {
                    $(Named::$variant(architecture) => architecture.size = pixels),+,
                    Named::Graph(_) => return false,
                }
                true
            }
        }

        impl Architecture for Named {
            fn graph(&self) -> Graph {
                match self {
                    $(Named::$variant(architecture) => architecture.graph()),+,
                    Named::Graph(graph) => graph.clone(),
                }
            }
        }

        $(impl From<$type> for Named {
            fn from(architecture: $type) -> Self {
                Named::$variant(architecture)
            }
        })+
    };
}

architectures! {
    AlexNet(AlexNet) = "alexnet",
    Vgg11(Vgg11) = "vgg11",
    Vgg13(Vgg13) = "vgg13",
    Vgg16(Vgg16) = "vgg16",
    Vgg19(Vgg19) = "vgg19",
    ResNet18(ResNet18) = "resnet18",
    ResNet34(ResNet34) = "resnet34",
    ResNet50(ResNet50) = "resnet50",
    MobileNetV2(MobileNetV2) = "mobilenet_v2",
    Mlp(Mlp) = "mlp",
    Lstm(Lstm) = "lstm",
    Gru(Gru) = "gru",
    SmallCnn(SmallCnn) = "small_cnn",
}

impl From<Graph> for Named {
    fn from(graph: Graph) -> Self {
        Named::Graph(graph)
    }
}

impl From<Sequential> for Named {
    fn from(net: Sequential) -> Self {
        Named::Graph(net.graph())
    }
}

impl Default for Named {
    /// The report's net.
    fn default() -> Self {
        Named::Vgg16(Vgg16::default())
    }
}

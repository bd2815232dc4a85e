//! Recurrent nets that read an image row by row.

use super::Architecture;
use crate::graph::Graph;
use crate::sequential::Sequential;
use serde::{Deserialize, Serialize};

macro_rules! recurrent {
    ($net:ident, $layer:ident, $title:literal) => {
        #[doc = $title]
        /// over the image's rows, from the top, and a dense layer on its last hidden state. All but the dense layer is
        /// the base.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $net {
            /// Number of classes. Default: 2.
            pub classes: usize,
            /// Height and width of the input in pixels: the number of steps. Default: 64.
            pub size: usize,
            /// Length of the hidden state. Default: 128.
            pub units: usize,
        }

        impl $net {
            /// The net at 64 × 64 with this number of classes.
            pub fn new(classes: usize) -> Self {
                Self { classes, size: 64, units: 128 }
            }
        }

        impl Default for $net {
            fn default() -> Self {
                Self::new(2)
            }
        }

        impl Architecture for $net {
            fn graph(&self) -> Graph {
                let image = Sequential::image(3, self.size, self.size).named(stringify!($layer));
                image.rows().$layer(self.units).end_base().dense(self.classes).graph()
            }
        }
    };
}

recurrent!(Lstm, lstm, "Long short-term memory");
recurrent!(Gru, gru, "A gated recurrent unit");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;

    #[test]
    fn their_parameters_are_those_of_their_layers() {
        // Gates · (3·64·128 + 128·128 + 128) + 128·3+3
        for (graph, name, gates) in
            [(Lstm::new(3).graph(), "lstm", 164_352), (Gru::new(3).graph(), "gru", 123_264)]
        {
            let net = Net::new(graph).unwrap();
            assert_eq!(net.name(), name);
            assert_eq!(net.parameter_counts(false).0, gates + 387);
            assert_eq!(net.features().unwrap().to_string(), "[128]");
            assert_eq!(net.layers()[0].output.to_string(), "[1, 64, 192]");
        }
    }
}

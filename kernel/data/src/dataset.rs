//! Datasets: the samples for training, validation and test.

use std::sync::Arc;

use crate::split::Split;

/// Data for training, validation and test. [`ImageFolder`](crate::ImageFolder) and
/// [`Arrays`](crate::Arrays) are datasets, and so is a pair of splits `(train, validation)`.
///
/// Batches come from a [`Loader`](crate::Loader) for one of the splits. A custom dataset makes
/// its splits from image files ([`Split::new`]) or from any source of samples ([`Split::from_samples`]).
pub trait Dataset: Send + Sync {
    /// The name in records and messages.
    fn name(&self) -> String;

    /// The training samples. Their class names are those of the dataset.
    fn train(&self) -> Split;

    /// The validation samples; may be empty.
    fn validation(&self) -> Split;

    /// The test samples, with or without labels. Default: none.
    fn test(&self) -> Split {
        Split::from_parts("test", &self.class_names().into(), Vec::new())
    }

    /// The class names in the order of their numbers.
    fn class_names(&self) -> Vec<String> {
        self.train().class_names().to_vec()
    }

    /// The number of classes.
    fn classes(&self) -> usize {
        self.train().classes()
    }
}

/// A training split and a validation split.
impl Dataset for (Split, Split) {
    fn name(&self) -> String {
        format!("{} and {}", self.0.name(), self.1.name())
    }

    fn train(&self) -> Split {
        self.0.clone()
    }

    fn validation(&self) -> Split {
        self.1.clone()
    }
}

macro_rules! forwarded {
    ($($pointer:ident),+) => {$(
        impl<D: Dataset + ?Sized> Dataset for $pointer<D> {
            fn name(&self) -> String {
                (**self).name()
            }

            fn train(&self) -> Split {
                (**self).train()
            }

            fn validation(&self) -> Split {
                (**self).validation()
            }

            fn test(&self) -> Split {
                (**self).test()
            }

            fn class_names(&self) -> Vec<String> {
                (**self).class_names()
            }

            fn classes(&self) -> usize {
                (**self).classes()
            }
        }
    )+};
}

forwarded!(Arc, Box);

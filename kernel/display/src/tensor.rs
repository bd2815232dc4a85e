//! Tensors of LibTorch show shape, kind, device and their values as PyTorch prints them.

use crate::{Bundle, Rich, escape};
use tch::Tensor;

/// Longer tensors are shown by their first values, as everything in them would flood the page.
const MOST_VALUES: usize = 10_000;

impl Rich for Tensor {
    fn bundle(&self) -> Bundle {
        let head = format!("Tensor {:?} {:?} on {:?}", self.size(), self.kind(), self.device());
        let values = if self.numel() > MOST_VALUES {
            format!("{} values, too many to show", self.numel())
        } else {
            // tch ends its printing with a line that repeats kind and shape.
            let text = format!("{self}");
            text.lines().filter(|line| !line.starts_with("Tensor[")).collect::<Vec<_>>().join("\n")
        };
        Bundle::text(format!("{head}\n{values}")).html(format!(
            "<b>{}</b><pre style=\"margin:0\">{}</pre>",
            escape(&head),
            escape(&values)
        ))
    }
}

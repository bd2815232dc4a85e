//! Finds the bottleneck of a run: the net, the loader, or contention between them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Images per second of the parts of a training, each measured separately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// The net alone: training steps on one batch, which stays on the device if the library can hold it there.
    pub synthetic: f64,
    /// The loader alone: its batches are discarded.
    pub loader: f64,
    /// Net and loader together, as in the training.
    pub real: f64,
}

/// The bottleneck of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The net; a faster loader would not help.
    Compute,
    /// The loader; a faster device would not help.
    Input,
    /// Contention: net and loader together are slower than the slower of them, since they share cores or alternate.
    Overlap,
}

/// The ratio from which two rates count as equal.
const NEAR: f64 = 0.85;

impl Rates {
    /// The bottleneck; `None` if a rate is missing or invalid.
    pub fn limit(&self) -> Option<Limit> {
        let all = [self.synthetic, self.loader, self.real];
        if !all.iter().all(|rate| rate.is_finite() && *rate > 0.0) {
            return None;
        }
        let slower = self.synthetic.min(self.loader);
        Some(if self.real < slower * NEAR {
            Limit::Overlap
        } else if self.loader < self.synthetic {
            Limit::Input
        } else {
            Limit::Compute
        })
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.limit() {
            None => "bottleneck unknown",
            Some(Limit::Compute) => "limited by the net",
            Some(Limit::Input) => "limited by the loader",
            Some(Limit::Overlap) => "net and loader slow each other down",
        };
        write!(
            f,
            "{words}: {:.1} images/s, the net alone {:.1}, the loader alone {:.1}",
            self.real, self.synthetic, self.loader
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_part_holds_a_run_back_unless_both_together_are_slower_still() {
        let verdict = |synthetic, loader, real| Rates { synthetic, loader, real }.limit();
        assert_eq!(verdict(36.0, 500.0, 35.0), Some(Limit::Compute));
        assert_eq!(verdict(2000.0, 500.0, 480.0), Some(Limit::Input));
        // One after the other: 1 / (1/100 + 1/100) = 50.
        assert_eq!(verdict(100.0, 100.0, 50.0), Some(Limit::Overlap));
        assert_eq!(verdict(100.0, 0.0, 50.0), None);
        let words = Rates { synthetic: 2000.0, loader: 500.0, real: 480.0 }.to_string();
        assert_eq!(
            words,
            "limited by the loader: 480.0 images/s, the net alone 2000.0, the loader alone 500.0"
        );
    }
}

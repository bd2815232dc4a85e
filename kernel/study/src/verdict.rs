//! What holds a run back: the net, its input, or that they wait for each other.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Pictures a second of the parts of a training, each measured by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// The net alone: training steps on one batch that is there already.
    pub synthetic: f64,
    /// The loader alone: batches that nobody uses.
    pub loader: f64,
    /// Both together, as in the training.
    pub real: f64,
}

/// What holds a run back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The net computes as fast as it can; a faster loader would bring nothing.
    Compute,
    /// The loader delivers as fast as it can; a faster device would bring nothing.
    Input,
    /// Both together are clearly slower than the slower of them: they share cores, or take turns.
    Overlap,
}

/// How near a rate must be to another one to be called the same.
const NEAR: f64 = 0.85;

impl Rates {
    /// The verdict; `None` if a rate is missing or impossible.
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
            None => "no verdict",
            Some(Limit::Compute) => "held back by the net",
            Some(Limit::Input) => "held back by the loader",
            Some(Limit::Overlap) => "net and loader hold each other back",
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
            "held back by the loader: 480.0 images/s, the net alone 2000.0, the loader alone 500.0"
        );
    }
}

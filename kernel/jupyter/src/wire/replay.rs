//! Messages that were seen before.

use super::signature::Signature;
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Number of stored signatures, as in `jupyter_client`.
const REMEMBERED: usize = 1 << 16;

/// The signatures of the latest messages of all channels. A repeated signature means a replayed
/// message, since every genuine message has its own id and date.
#[derive(Default)]
pub(crate) struct Replays(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    known: HashSet<Signature>,
    order: VecDeque<Signature>,
}

impl Replays {
    /// Stores the signature; false if it is already stored.
    pub(crate) fn is_new(&self, signature: Signature) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.known.insert(signature) {
            return false;
        }
        seen.order.push_back(signature);
        if seen.order.len() > REMEMBERED
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_new_once_and_memory_is_bounded() {
        let replays = Replays::default();
        let signature = |n: usize| {
            let mut bytes = Signature::default();
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            bytes
        };
        for n in 0..=REMEMBERED {
            assert!(replays.is_new(signature(n)));
        }
        assert!(!replays.is_new(signature(REMEMBERED)));
        assert_eq!(replays.0.lock().unwrap().known.len(), REMEMBERED);
        assert!(replays.is_new(signature(0)), "the oldest has been forgotten");
    }
}

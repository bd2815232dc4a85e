//! Separate random number generators for each purpose, so that choices do not influence each other.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The purpose of a generator. Two purposes never share a stream of numbers.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Split = 1,
    Shuffle = 2,
    Augment = 3,
    Show = 4,
    Subset = 5,
    Crop = 6,
}

/// The generator for one purpose, one epoch and one sample (0 without a sample). ChaCha is used
/// because its numbers are the same on every platform and in every version of `rand`.
pub(crate) fn generator(purpose: Purpose, seed: u64, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    key[24] = purpose as u8;
    ChaCha8Rng::from_seed(key)
}

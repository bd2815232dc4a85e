//! Random numbers from a seed, the same whatever the number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Values drawn from one stream of the generator; large arrays are filled by several threads.
const BLOCK: usize = 1 << 16;

/// `count` normal numbers with mean 0. Each `array` has its own streams, so that a head of another
/// size leaves the base as it was.
pub fn normal(count: usize, deviation: f64, seed: u64, array: u64) -> Vec<f32> {
    pairs(count, seed, array, |generator| {
        // Box and Muller's transform of two uniform numbers, the first never 0.
        let radius = (-2.0 * share(generator).ln()).sqrt() * deviation;
        let (sine, cosine) = (TAU * share(generator)).sin_cos();
        [radius * cosine, radius * sine]
    })
}

/// `count` numbers that are uniform in (−`bound`, `bound`].
pub fn uniform(count: usize, bound: f64, seed: u64, array: u64) -> Vec<f32> {
    pairs(count, seed, array, |generator| [(); 2].map(|()| (2.0 * share(generator) - 1.0) * bound))
}

/// `count` values, drawn two at a time.
fn pairs(
    count: usize,
    seed: u64,
    array: u64,
    draw: impl Fn(&mut ChaCha8Rng) -> [f64; 2] + Sync,
) -> Vec<f32> {
    let mut values = vec![0.0_f32; count];
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(array << 32 | block as u64);
        for pair in values.chunks_mut(2) {
            let drawn = draw(&mut generator);
            pair.iter_mut().zip(drawn).for_each(|(value, drawn)| *value = drawn as f32);
        }
    });
    values
}

/// A number in (0, 1] with 32 random bits.
fn share(generator: &mut ChaCha8Rng) -> f64 {
    (f64::from(generator.next_u32()) + 1.0) / 4_294_967_296.0
}

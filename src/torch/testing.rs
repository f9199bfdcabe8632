//! Random tensors for unit tests. torch's own generator is one for the whole process: tests that run side by
//! side would draw from each other's numbers.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use tch::Tensor;

/// Uniform values 0..1 that depend on `seed` and `size` alone.
pub fn uniform(seed: u64, size: &[i64]) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = size.iter().product::<i64>();
    let values: Vec<f32> = (0..count).map(|_| random.next_u32() as f32 / u32::MAX as f32).collect();
    Tensor::from_slice(&values).view(size)
}

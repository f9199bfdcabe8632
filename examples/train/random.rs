//! Random numbers that are a function of (seed, step) alone, so that a resumed run goes on as if it had not stopped.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use tch::{Device, Kind, Tensor};

/// A generator of its own for each training step.
pub struct Random(pub ChaCha8Rng);

impl Random {
    /// Of step `step`; also seeds tch's generator.
    pub fn at(seed: u64, step: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&step.to_le_bytes());
        let mut random = Self(ChaCha8Rng::from_seed(key));
        crate::pictures::reseed(&mut random);
        random
    }

    /// 0..1
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `low`..`high`
    pub fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// 0..`count`
    pub fn below(&mut self, count: usize) -> usize {
        (self.unit() * count as f64) as usize
    }

    /// True in a share `share` of the calls.
    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Three values, `low`..`high`.
    pub fn color(&mut self, low: f64, high: f64) -> [f64; 3] {
        [0; 3].map(|_| self.within(low, high))
    }
}

/// Noise of unit deviation whose grains are `scale` pixels, from tch's generator.
pub fn smooth_noise(shape: [i64; 4], scale: f64, device: Device) -> Tensor {
    let [n, channels, height, width] = shape;
    let cells = |length: i64| (length as f64 / scale).ceil() as i64 + 3;
    let coarse = Tensor::randn([n, channels, cells(height), cells(width)], (Kind::Float, device));
    let fine = coarse.upsample_bicubic2d([height, width], false, None, None);
    &fine / fine.std_dim([2, 3].as_slice(), true, true).clamp_min(1e-3)
}

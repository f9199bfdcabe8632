//! The noise that a keyframe starts from.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Tensor};

/// Standard normal noise, a function of the random seed and the keyframe's stream time alone: however a
/// video is split into batches, a frame gets the same.
///
/// - `draw`: 0 for the noise that a run starts from; each other number gives other noise
/// - `stream_times`: nanoseconds, one a keyframe
/// - `shape`: of one keyframe, `[latent_channels, h, w]`
/// - returns `[keyframes, latent_channels, h, w]`, f32
pub fn noise(seed: u64, draw: u64, stream_times: &[u64], shape: [i64; 3], device: Device) -> Tensor {
    let length = shape.iter().product::<i64>() as usize;
    let values: Vec<f32> = stream_times
        .iter()
        .flat_map(|&stream_time| {
            StandardNormal.sample_iter(generator([seed, stream_time, draw])).take(length)
        })
        .collect();
    let [channels, height, width] = shape;
    Tensor::from_slice(&values).view([-1, channels, height, width]).to_device(device)
}

fn generator(parts: [u64; 3]) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, part) in key.chunks_exact_mut(8).zip(parts) {
        bytes.copy_from_slice(&part.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::Placement;

    fn at(seed: u64, stream_times: &[u64]) -> Tensor {
        noise(seed, 0, stream_times, [4, 8, 8], Placement::cpu().device)
    }

    #[test]
    fn a_frame_has_the_same_noise_in_any_batch() {
        let together = at(7, &[0, 40_000_000, 80_000_000]);
        for (index, time) in [0, 40_000_000, 80_000_000].into_iter().enumerate() {
            assert_eq!(together.get(index as i64).unsqueeze(0), at(7, &[time]));
        }
    }

    #[test]
    fn seed_and_time_are_not_interchangeable() {
        assert_ne!(at(1, &[2]), at(2, &[1]));
        assert_ne!(at(1, &[2]), at(1, &[3]));
        assert_ne!(at(1, &[2]), at(3, &[2]));
    }

    #[test]
    fn it_is_standard_normal() {
        let times: Vec<u64> = (0..256).collect();
        let noise = at(0, &times); // 65536 values
        let (mean, deviation) =
            (noise.mean(tch::Kind::Float).double_value(&[]), noise.std(true).double_value(&[]));
        assert!(mean.abs() < 0.02 && (deviation - 1.0).abs() < 0.02, "{mean} {deviation}");
    }
}

//! A denoiser around a prior: the composite says what most of the picture is, the network only the rest.
//!
//! Where the composite is trusted, the clean latents `x0` are taken to be normal around it with a small
//! deviation tau, in holes with a large one. The best guess from that and from the noisy sample is closed
//! form; the network predicts what is left of it, `r`, at unit variance. Written with the noise schedule's
//! `alpha`, `sigma` (`alpha^2 + sigma^2 = 1`), the composite's latents `xp`, `d^2 = alpha^2 tau^2 + sigma^2`:
//!
//! - the network is given `(z - alpha xp) / d`
//! - `x0 = xp + alpha tau^2 / d^2 (z - alpha xp) + tau sigma / d r`
//! - so `v = sigma (alpha (1 - tau^2) / d^2 (z - alpha xp) - xp) - tau / d r`
//! - and in training `r = (sigma (x0 - xp) / tau - alpha tau noise) / d`
//!
//! To the scheduler it stays a v-predictor. Latents are expected at unit variance.
//! Source: the posterior of two normals, arranged as EDM (Karras et al. 2022, table 1) arranges one.

use serde::Deserialize;
use tch::Tensor;

use super::schedulers::NoiseLevel;

/// How far the clean latents may lie from the composite's: `unet/config.json`, `flowvid.prior`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preconditioning {
    /// Standard deviation where the composite is trusted fully.
    pub tau_visible: f64,
    /// Standard deviation in holes.
    pub tau_hole: f64,
}

/// What one call of the network knows about its samples. All tensors: `[n, 1 or latent_channels, h, w]`.
#[derive(Debug)]
pub struct Preconditioned {
    sample_less_prior: Tensor,
    composite: Tensor,
    tau: Tensor,
    deviation: Tensor,
    level: NoiseLevel,
}

impl Preconditioning {
    /// - `sample`: noisy latents, `[n, latent_channels, h, w]`
    /// - `composite`: the prior, as `sample`
    /// - `confidence`: `[n, 1, h, w]`, 0..1
    pub fn at(
        &self,
        sample: &Tensor,
        composite: &Tensor,
        confidence: &Tensor,
        level: &NoiseLevel,
    ) -> Preconditioned {
        let tau = confidence * (self.tau_visible - self.tau_hole) + self.tau_hole;
        let deviation = ((&level.alpha * &tau).square() + level.sigma.square()).sqrt();
        Preconditioned {
            sample_less_prior: sample - &level.alpha * composite,
            composite: composite.shallow_clone(),
            tau,
            deviation,
            level: level.shallow_clone(),
        }
    }
}

impl Preconditioned {
    /// What the network is given in the sample's place: `[n, latent_channels, h, w]`, about unit variance.
    pub fn input(&self) -> Tensor {
        &self.sample_less_prior / &self.deviation
    }

    /// The network's output `r` as v-prediction.
    pub fn velocity(&self, residual: &Tensor) -> Tensor {
        let NoiseLevel { alpha, sigma } = &self.level;
        let kept = alpha * (1.0 - self.tau.square()) / self.deviation.square();
        sigma * (kept * &self.sample_less_prior - &self.composite) - &self.tau / &self.deviation * residual
    }

    /// What the network should have answered, unit variance if the prior holds.
    ///
    /// - `original`: the clean latents
    /// - `noise`: what was added to them
    pub fn target(&self, original: &Tensor, noise: &Tensor) -> Tensor {
        let NoiseLevel { alpha, sigma } = &self.level;
        (sigma * (original - &self.composite) / &self.tau - alpha * &self.tau * noise) / &self.deviation
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::torch::testing::uniform;
    use crate::{diffusion::schedulers::NoiseSchedule, torch::Placement};

    fn schedule() -> NoiseSchedule {
        let config = serde_json::from_str(
            r#"{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
                "prediction_type": "v_prediction", "clip_sample": false, "rescale_betas_zero_snr": true}"#,
        )
        .unwrap();
        NoiseSchedule::new(&config)
    }

    #[test]
    fn the_target_is_what_gives_the_true_velocity() {
        let _ = Placement::cpu();
        let schedule = schedule();
        let shape = [4, 3, 8, 8];
        let random = || Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (original, composite, noise) = (random(), random(), random());
        let confidence = uniform(6, &[4, 1, 8, 8]);
        let timesteps = Tensor::from_slice(&[0i64, 249, 700, 999]);
        let sample = schedule.add_noise(&original, &noise, &timesteps);
        let level = schedule.noise_level(&timesteps);
        let known =
            Preconditioning { tau_visible: 0.12, tau_hole: 0.5 }.at(&sample, &composite, &confidence, &level);
        let velocity = known.velocity(&known.target(&original, &noise));
        let expected = schedule.velocity(&original, &noise, &timesteps);
        let error = (velocity - &expected).abs().max().double_value(&[]);
        assert!(error < 1e-4, "{error}");
    }

    #[test]
    fn input_and_target_have_unit_variance_if_the_prior_holds() {
        let _ = Placement::cpu();
        let schedule = schedule();
        let random = || Tensor::randn([1, 16, 64, 64], (Kind::Float, Device::Cpu));
        let (composite, noise) = (random(), random());
        let original = &composite + random() * 0.5;
        let hole = Tensor::zeros([1, 1, 64, 64], (Kind::Float, Device::Cpu));
        for timestep in [50i64, 500, 999] {
            let timesteps = Tensor::from_slice(&[timestep]);
            let sample = schedule.add_noise(&original, &noise, &timesteps);
            let known = Preconditioning { tau_visible: 0.12, tau_hole: 0.5 }.at(
                &sample,
                &composite,
                &hole,
                &schedule.noise_level(&timesteps),
            );
            for tensor in [known.input(), known.target(&original, &noise)] {
                let deviation = tensor.std(true).double_value(&[]);
                assert!((deviation - 1.0).abs() < 0.02, "{timestep}: {deviation}");
            }
        }
    }
}

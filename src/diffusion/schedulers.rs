//! The noise schedule and DDIM's steps. Config: diffusers' `DDIMScheduler`; arithmetic in f64 on the host.

use serde::Deserialize;
use tch::Tensor;

use super::config::Off;

/// `beta_schedule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum BetaSchedule {
    /// Evenly spaced.
    #[default]
    #[serde(rename = "linear")]
    Linear,
    /// Square roots evenly spaced: Stable Diffusion's.
    #[serde(rename = "scaled_linear")]
    ScaledLinear,
    /// Cosine, capped.
    #[serde(rename = "squaredcos_cap_v2")]
    SquaredcosCapV2,
}

/// `prediction_type`: what the network's output means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise.
    #[default]
    Epsilon,
    /// The clean sample.
    Sample,
    /// `alpha noise - sigma sample`
    VPrediction,
}

/// `timestep_spacing`: which of the training steps are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// From step 0 up: the last training step is not visited.
    #[default]
    Leading,
    /// From the last step down; zero terminal SNR needs it.
    Trailing,
    /// Both ends.
    Linspace,
}

/// `scheduler_config.json`, with diffusers' names and defaults.
#[derive(Debug, Clone, Deserialize)]
pub struct DdimConfig {
    /// Steps that the network was trained on.
    #[serde(default = "train_timesteps")]
    pub num_train_timesteps: usize,
    /// First beta.
    #[serde(default = "beta_start")]
    pub beta_start: f64,
    /// Last beta.
    #[serde(default = "beta_end")]
    pub beta_end: f64,
    /// Betas between.
    #[serde(default)]
    pub beta_schedule: BetaSchedule,
    /// Clean samples are held to `clip_sample_range`.
    #[serde(default = "yes")]
    pub clip_sample: bool,
    /// Largest magnitude.
    #[serde(default = "one")]
    pub clip_sample_range: f64,
    /// The last step ends without noise; otherwise with that of training step 0.
    #[serde(default = "yes")]
    pub set_alpha_to_one: bool,
    /// Added to leading timesteps.
    #[serde(default)]
    pub steps_offset: i64,
    /// What the network's output means.
    #[serde(default)]
    pub prediction_type: PredictionType,
    /// Which steps are visited.
    #[serde(default)]
    pub timestep_spacing: TimestepSpacing,
    /// The last training step is pure noise. Source: Lin et al. 2305.08891.
    #[serde(default)]
    pub rescale_betas_zero_snr: bool,
    /// Only off is understood.
    #[serde(default)]
    pub thresholding: Off,
    /// Only off is understood.
    #[serde(default)]
    pub trained_betas: Off,
}

/// Signal and noise at some time steps: `[n, 1, 1, 1]` each, `alpha^2 + sigma^2 = 1`.
#[derive(Debug)]
pub struct NoiseLevel {
    /// How much of the clean sample is left.
    pub alpha: Tensor,
    /// How much noise there is.
    pub sigma: Tensor,
}

impl NoiseLevel {
    pub(super) fn shallow_clone(&self) -> Self {
        Self { alpha: self.alpha.shallow_clone(), sigma: self.sigma.shallow_clone() }
    }
}

/// DDIM without added noise (eta 0).
#[derive(Debug)]
pub struct DdimScheduler {
    config: DdimConfig,
    alphas_cumprod: Vec<f64>,
}

impl DdimScheduler {
    /// The schedule that `config` describes.
    pub fn new(config: &DdimConfig) -> Self {
        let alphas = betas(config).into_iter().map(|beta| 1.0 - beta);
        let mut alphas_cumprod: Vec<f64> = alphas
            .scan(1.0, |product, alpha| {
                *product *= alpha;
                Some(*product)
            })
            .collect();
        if config.rescale_betas_zero_snr {
            rescale_to_zero_snr(&mut alphas_cumprod);
        }
        Self { config: config.clone(), alphas_cumprod }
    }

    /// What the network's output means.
    pub fn prediction_type(&self) -> PredictionType {
        self.config.prediction_type
    }

    /// Steps that the network was trained on.
    pub fn num_train_timesteps(&self) -> usize {
        self.config.num_train_timesteps
    }

    /// Running product of 1 - beta, one a training step.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// The training steps that `num_inference_steps` (1..=`num_train_timesteps`) steps visit, descending.
    pub fn timesteps(&self, num_inference_steps: usize) -> Vec<i64> {
        let DdimConfig { num_train_timesteps, steps_offset, timestep_spacing, .. } = self.config;
        let (steps, train) = (num_inference_steps, num_train_timesteps as f64);
        let at = |index: usize| match timestep_spacing {
            TimestepSpacing::Leading => (index * (num_train_timesteps / steps)) as i64 + steps_offset,
            TimestepSpacing::Linspace => {
                ((train - 1.0) * index as f64 / (steps.max(2) - 1) as f64).round_ties_even() as i64
            }
            TimestepSpacing::Trailing => {
                let below = (steps - 1 - index) as f64 * (train / steps as f64);
                (train - below).round_ties_even() as i64 - 1
            }
        };
        (0..steps).rev().map(at).collect()
    }

    /// The sample one step less noisy.
    ///
    /// - `timestep`: one of [`timesteps`](Self::timesteps)`(num_inference_steps)`
    /// - `model_output`, `sample`: `[n, latent_channels, h, w]`
    pub fn step(
        &self,
        model_output: &Tensor,
        timestep: i64,
        num_inference_steps: usize,
        sample: &Tensor,
    ) -> Tensor {
        let previous = timestep - (self.config.num_train_timesteps / num_inference_steps) as i64;
        let alpha_prod = self.alphas_cumprod[timestep as usize];
        let alpha_prod_previous = usize::try_from(previous).map_or_else(
            |_| if self.config.set_alpha_to_one { 1.0 } else { self.alphas_cumprod[0] },
            |previous| self.alphas_cumprod[previous],
        );
        let (original, noise) = self.split(model_output, sample, alpha_prod);
        original * alpha_prod_previous.sqrt() + noise * (1.0 - alpha_prod_previous).sqrt()
    }

    /// The clean sample and the noise that `model_output` stands for.
    fn split(&self, model_output: &Tensor, sample: &Tensor, alpha_prod: f64) -> (Tensor, Tensor) {
        let (alpha, sigma) = (alpha_prod.sqrt(), (1.0 - alpha_prod).sqrt());
        let (original, noise) = match self.config.prediction_type {
            PredictionType::Epsilon => {
                ((sample - model_output * sigma) / alpha, model_output.shallow_clone())
            }
            PredictionType::Sample => (model_output.shallow_clone(), (sample - model_output * alpha) / sigma),
            PredictionType::VPrediction => {
                (sample * alpha - model_output * sigma, model_output * alpha + sample * sigma)
            }
        };
        let range = self.config.clip_sample_range;
        (if self.config.clip_sample { original.clamp(-range, range) } else { original }, noise)
    }

    /// Signal and noise at `timesteps` (`[n]`, i64), on the timesteps' device, f32.
    pub fn noise_level(&self, timesteps: &Tensor) -> NoiseLevel {
        let at = |of: fn(f64) -> f64| {
            let table: Vec<f32> = self.alphas_cumprod.iter().map(|&product| of(product) as f32).collect();
            let table = Tensor::from_slice(&table).to_device(timesteps.device());
            table.index_select(0, timesteps).view([-1, 1, 1, 1])
        };
        NoiseLevel { alpha: at(f64::sqrt), sigma: at(|product| (1.0 - product).sqrt()) }
    }

    /// `original` (`[n, ...]`) with so much of `noise` that it is a sample at `timesteps` (`[n]`).
    pub fn add_noise(&self, original: &Tensor, noise: &Tensor, timesteps: &Tensor) -> Tensor {
        let NoiseLevel { alpha, sigma } = self.noise_level(timesteps);
        alpha * original + sigma * noise
    }

    /// What a v-predictor should answer: `alpha noise - sigma original`.
    pub fn velocity(&self, original: &Tensor, noise: &Tensor, timesteps: &Tensor) -> Tensor {
        let NoiseLevel { alpha, sigma } = self.noise_level(timesteps);
        alpha * noise - sigma * original
    }
}

fn betas(config: &DdimConfig) -> Vec<f64> {
    let steps = config.num_train_timesteps;
    let spaced = |from: f64, to: f64| {
        let step = (to - from) / (steps - 1) as f64;
        (0..steps).map(move |index| from + step * index as f64)
    };
    let alpha_bar = |time: f64| ((time + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    match config.beta_schedule {
        BetaSchedule::Linear => spaced(config.beta_start, config.beta_end).collect(),
        BetaSchedule::ScaledLinear => {
            spaced(config.beta_start.sqrt(), config.beta_end.sqrt()).map(|root| root * root).collect()
        }
        BetaSchedule::SquaredcosCapV2 => (0..steps)
            .map(|index| [index, index + 1].map(|index| alpha_bar(index as f64 / steps as f64)))
            .map(|[now, next]| (1.0 - next / now).min(0.999))
            .collect(),
    }
}

/// Shifts and scales the square roots so that the first stays and the last is 0.
fn rescale_to_zero_snr(alphas_cumprod: &mut [f64]) {
    let first = alphas_cumprod[0].sqrt();
    let last = alphas_cumprod[alphas_cumprod.len() - 1].sqrt();
    for product in alphas_cumprod {
        *product = ((product.sqrt() - last) * first / (first - last)).powi(2);
    }
}

fn train_timesteps() -> usize {
    1000
}
fn beta_start() -> f64 {
    0.0001
}
fn beta_end() -> f64 {
    0.02
}
fn yes() -> bool {
    true
}
fn one() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(options: &str) -> DdimScheduler {
        let text = format!(
            r#"{{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"{options}}}"#
        );
        DdimScheduler::new(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn alphas_cumprod_are_stable_diffusions() {
        for (options, expected) in [
            ("", [(0, 0.99915), (99, 0.895463), (499, 0.277670), (999, 0.0046601)]),
            (
                r#", "rescale_betas_zero_snr": true"#,
                [(0, 0.99915), (99, 0.888086), (499, 0.242359), (998, 1.97e-7)],
            ),
        ] {
            let scheduler = scheduler(options);
            for (timestep, value) in expected {
                let found = scheduler.alphas_cumprod()[timestep];
                assert!((found / value - 1.0).abs() < 3e-3, "{options} {timestep}: {found}");
                assert!((found - value).abs() < 1e-6, "{options} {timestep}: {found}");
            }
        }
        assert_eq!(scheduler(r#", "rescale_betas_zero_snr": true"#).alphas_cumprod()[999], 0.0);
    }

    #[test]
    fn each_spacing_visits_its_timesteps() {
        for (spacing, steps, expected) in [
            ("leading", 4, vec![751, 501, 251, 1]),
            ("trailing", 4, vec![999, 749, 499, 249]),
            ("trailing", 1, vec![999]),
            ("trailing", 3, vec![999, 666, 332]),
            ("linspace", 3, vec![999, 500, 0]),
        ] {
            let scheduler = scheduler(&format!(r#", "steps_offset": 1, "timestep_spacing": "{spacing}""#));
            assert_eq!(scheduler.timesteps(steps), expected, "{spacing} {steps}");
        }
        let twenty = scheduler(r#", "timestep_spacing": "trailing""#).timesteps(20);
        assert_eq!((twenty[0], twenty[1], twenty[19]), (999, 949, 49));
    }

    #[test]
    fn the_cosine_schedule_ends_at_its_cap() {
        let config = r#"{"beta_schedule": "squaredcos_cap_v2"}"#;
        let betas = betas(&serde_json::from_str(config).unwrap());
        // diffusers 0.36: betas_for_alpha_bar(1000)
        for (index, expected) in [(0, 4.128e-05), (500, 3.1557e-03), (999, 0.999)] {
            assert!((betas[index] / expected - 1.0).abs() < 1e-3, "{index}: {}", betas[index]);
        }
    }
}

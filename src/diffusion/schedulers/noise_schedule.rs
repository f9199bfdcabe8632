//! How much noise there is at each training step. Arithmetic in f64 on the host.

use tch::Tensor;

use super::config::{BetaSchedule, PredictionType, SchedulerConfig};

/// Signal and noise at some time steps: `[n, 1, 1, 1]` each, `alpha^2 + sigma^2 = 1`.
#[derive(Debug)]
pub struct NoiseLevel {
    /// How much of the clean sample is left.
    pub alpha: Tensor,
    /// How much noise there is.
    pub sigma: Tensor,
}

impl NoiseLevel {
    pub(in crate::diffusion) fn shallow_clone(&self) -> Self {
        Self { alpha: self.alpha.shallow_clone(), sigma: self.sigma.shallow_clone() }
    }
}

/// Signal and noise at one time step, `alpha^2 + sigma^2 = 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    pub alpha: f64,
    pub sigma: f64,
}

impl Level {
    /// No noise.
    pub const CLEAN: Self = Self { alpha: 1.0, sigma: 0.0 };

    /// From the running product of 1 - beta.
    pub fn of_alpha_prod(alpha_prod: f64) -> Self {
        Self { alpha: alpha_prod.sqrt(), sigma: (1.0 - alpha_prod).sqrt() }
    }

    /// From the ratio of noise to signal.
    pub fn of_ratio(ratio: f64) -> Self {
        let alpha = 1.0 / (1.0 + ratio * ratio).sqrt();
        Self { alpha, sigma: ratio * alpha }
    }

    /// Half the logarithm of the signal-to-noise ratio.
    pub fn lambda(self) -> f64 {
        self.alpha.ln() - self.sigma.ln()
    }

    /// `original` with so much of `noise`.
    pub fn mix(self, original: &Tensor, noise: &Tensor) -> Tensor {
        original * self.alpha + noise * self.sigma
    }
}

/// The noise of each training step.
#[derive(Debug)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f64>,
    prediction_type: PredictionType,
    /// Clean samples are held to this magnitude.
    clip: Option<f64>,
}

impl NoiseSchedule {
    /// The schedule that `config` describes.
    pub fn new(config: &SchedulerConfig) -> Self {
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
        if config.rescale_betas_zero_snr && config.class.needs_finite_ratios() {
            // diffusers' own way out: the smallest number of half precision
            *alphas_cumprod.last_mut().expect("a schedule has steps") = 2f64.powi(-24);
        }
        let clip = config.clip_sample().then_some(config.clip_sample_range);
        Self { alphas_cumprod, prediction_type: config.prediction_type, clip }
    }

    /// What the network's output means.
    pub fn prediction_type(&self) -> PredictionType {
        self.prediction_type
    }

    /// Steps that the network was trained on.
    pub fn num_train_timesteps(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// Running product of 1 - beta, one a training step.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// The level of a training step.
    pub(super) fn level(&self, timestep: usize) -> Level {
        Level::of_alpha_prod(self.alphas_cumprod[timestep])
    }

    /// Noise over signal of each training step.
    pub(super) fn ratios(&self) -> Vec<f64> {
        self.alphas_cumprod.iter().map(|product| ((1.0 - product) / product).sqrt()).collect()
    }

    /// The clean sample and the noise that `model_output` stands for.
    pub(super) fn split(&self, model_output: &Tensor, sample: &Tensor, level: Level) -> (Tensor, Tensor) {
        let Level { alpha, sigma } = level;
        let (original, noise) = match self.prediction_type {
            PredictionType::Epsilon => {
                ((sample - model_output * sigma) / alpha, model_output.shallow_clone())
            }
            PredictionType::Sample => (model_output.shallow_clone(), (sample - model_output * alpha) / sigma),
            PredictionType::VPrediction => {
                (sample * alpha - model_output * sigma, model_output * alpha + sample * sigma)
            }
        };
        (self.clip.map_or_else(|| original.shallow_clone(), |clip| original.clamp(-clip, clip)), noise)
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

    /// `original` (`[n, ...]`) with so much of `noise` that it is a sample at `timesteps` (`[n]`, i64).
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

fn betas(config: &SchedulerConfig) -> Vec<f64> {
    let steps = config.num_train_timesteps;
    let (start, end) = config.beta_range();
    let spaced = |from: f64, to: f64| {
        let step = (to - from) / (steps - 1) as f64;
        (0..steps).map(move |index| from + step * index as f64)
    };
    let alpha_bar = |time: f64| ((time + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    match config.beta_schedule() {
        BetaSchedule::Linear => spaced(start, end).collect(),
        BetaSchedule::ScaledLinear => spaced(start.sqrt(), end.sqrt()).map(|root| root * root).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(options: &str) -> NoiseSchedule {
        let text = format!(
            r#"{{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"{options}}}"#
        );
        NoiseSchedule::new(&serde_json::from_str(&text).unwrap())
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
            let schedule = schedule(options);
            for (timestep, value) in expected {
                let found = schedule.alphas_cumprod()[timestep];
                assert!((found / value - 1.0).abs() < 3e-3, "{options} {timestep}: {found}");
                assert!((found - value).abs() < 1e-6, "{options} {timestep}: {found}");
            }
        }
        assert_eq!(schedule(r#", "rescale_betas_zero_snr": true"#).alphas_cumprod()[999], 0.0);
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

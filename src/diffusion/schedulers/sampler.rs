//! A run from noise to a clean sample.
//!
//! Samples are kept at unit variance (`alpha original + sigma noise`). diffusers' Euler's method divides them by
//! alpha; in these terms it is DDIM's step between its own levels.

use tch::Tensor;

use super::{
    config::{SchedulerClass, SchedulerConfig, TimestepSpacing},
    noise_schedule::{Level, NoiseSchedule},
    visits::Visit,
};

/// LCM's boundary conditions: the deviation of clean samples. Source: Luo et al. 2310.04378, section 4.1.
const SIGMA_DATA: f64 = 0.5;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps taken.
    pub taken: usize,
    /// Steps in all.
    pub steps: usize,
}

impl Progress {
    /// Before the only step.
    pub const START: Self = Self { taken: 0, steps: 1 };

    /// The share of the run that lies behind, 0..=1.
    pub fn share(self) -> f64 {
        self.taken as f64 / self.steps as f64
    }
}

/// A run that is under way.
#[derive(Debug)]
pub struct Sampler<'a> {
    config: &'a SchedulerConfig,
    schedule: &'a NoiseSchedule,
    visits: Vec<Visit>,
    /// Steps taken.
    taken: usize,
    /// The clean sample that the step before predicted.
    before: Option<Tensor>,
}

impl<'a> Sampler<'a> {
    pub(super) fn new(config: &'a SchedulerConfig, schedule: &'a NoiseSchedule, visits: Vec<Visit>) -> Self {
        Self { config, schedule, visits, taken: 0, before: None }
    }

    /// What the network is to be told for the step that comes; `None` at the end.
    pub fn timestep(&self) -> Option<f64> {
        self.visits.get(self.taken).map(|visit| visit.timestep)
    }

    /// The sample that the run begins with.
    pub fn start(&self, noise: &Tensor) -> Tensor {
        let whole_variance = self.config.class != SchedulerClass::Euler
            || self.config.timestep_spacing() == TimestepSpacing::Leading;
        if whole_variance { noise.shallow_clone() } else { noise * self.visits[0].level.sigma }
    }

    /// `original` with the noise of the step that comes; `original` itself at the end.
    pub fn add_noise(&self, original: &Tensor, noise: &Tensor) -> Tensor {
        match self.visits.get(self.taken) {
            Some(visit) => visit.level.mix(original, noise),
            None => original.shallow_clone(),
        }
    }

    /// Steps taken and steps in all.
    pub fn progress(&self) -> Progress {
        Progress { taken: self.taken, steps: self.visits.len() }
    }

    /// Whether the step that comes wants noise that no step before had: LCM's, but for the last.
    pub fn renews_noise(&self) -> bool {
        self.config.class == SchedulerClass::Lcm && self.taken + 1 < self.visits.len()
    }

    /// Whether the model was distilled to jump to the clean sample.
    pub fn is_consistency_model(&self) -> bool {
        self.config.class == SchedulerClass::Lcm
    }

    /// The sample one step less noisy.
    ///
    /// - `model_output`, `sample`: `[n, latent_channels, h, w]`
    /// - `noise`: of that shape; looked at where the step [`renews_noise`](Self::renews_noise)
    ///
    /// # Panics
    /// At the end.
    pub fn step(&mut self, model_output: &Tensor, sample: &Tensor, noise: &Tensor) -> Tensor {
        let visit = self.visits[self.taken];
        self.taken += 1;
        let last = self.taken == self.visits.len();
        let (original, predicted_noise) = self.schedule.split(model_output, sample, visit.level);
        match self.config.class {
            SchedulerClass::Lcm => {
                let denoised =
                    within_bounds(&original, sample, visit.timestep * self.config.timestep_scaling);
                if last { denoised } else { visit.next.mix(&denoised, noise) }
            }
            SchedulerClass::DpmSolver => self.dpm_solver_step(&visit, original, sample),
            _ => visit.next.mix(&original, &predicted_noise),
        }
    }

    /// Lu et al. 2211.01095, algorithm 2; of first order at the first step and where the last one asks for it.
    fn dpm_solver_step(&mut self, visit: &Visit, original: Tensor, sample: &Tensor) -> Tensor {
        let Visit { level, next, .. } = *visit;
        let before = self.before.replace(original.shallow_clone());
        let steps = self.visits.len();
        let lower =
            self.taken == steps && ((self.config.lower_order_final && steps < 15) || next == Level::CLEAN);
        let direction = match before {
            Some(before) if self.config.solver_order == 2 && !lower => {
                let step_before = level.lambda() - self.visits[self.taken - 2].level.lambda();
                let ratio = step_before / (next.lambda() - level.lambda());
                &original + (&original - before) * (0.5 / ratio)
            }
            _ => original,
        };
        // exp(-h), which is 0 where the step ends at the clean sample
        let decay = (next.sigma / next.alpha) / (level.sigma / level.alpha);
        sample * (next.sigma / level.sigma) + direction * (next.alpha * (1.0 - decay))
    }
}

/// What a consistency model answers: the sample itself at time 0, the prediction later.
fn within_bounds(original: &Tensor, sample: &Tensor, scaled_timestep: f64) -> Tensor {
    let squares = scaled_timestep.powi(2) + SIGMA_DATA.powi(2);
    original * (scaled_timestep / squares.sqrt()) + sample * (SIGMA_DATA.powi(2) / squares)
}

//! The noise schedule and the schedulers that sample by it. Options and results: diffusers' classes of the same names.

mod config;
mod noise_schedule;
mod sampler;
mod visits;

pub use config::{BetaSchedule, PredictionType, SchedulerClass, SchedulerConfig, TimestepSpacing};
pub use noise_schedule::{NoiseLevel, NoiseSchedule};
pub use sampler::{Progress, Sampler};

/// A noise schedule and the way through it.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    schedule: NoiseSchedule,
}

impl Scheduler {
    /// What `config` describes.
    pub fn new(config: &SchedulerConfig) -> Self {
        Self { config: config.clone(), schedule: NoiseSchedule::new(config) }
    }

    /// The noise of each training step.
    pub fn noise_schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// The most steps that a run may have.
    pub fn most_steps(&self) -> usize {
        match self.config.class {
            SchedulerClass::Lcm => self.config.original_inference_steps,
            _ => self.config.num_train_timesteps,
        }
    }

    /// A run of `num_inference_steps`, 1..=[`most_steps`](Self::most_steps), from noise alone.
    pub fn sampler(&self, num_inference_steps: usize) -> Sampler<'_> {
        self.sampler_from(num_inference_steps, 1.0)
    }

    /// A run that begins with a picture's latents and so much noise as `strength` asks for, as diffusers'
    /// image-to-image pipelines do.
    ///
    /// - `strength`: above 0 to 1, 1 = as [`sampler`](Self::sampler). A consistency model takes all its steps below
    ///   that noise, the others leave out what lies above it; at least one is taken.
    pub fn sampler_from(&self, num_inference_steps: usize, strength: f64) -> Sampler<'_> {
        let visits = visits::visits(&self.config, &self.schedule, num_inference_steps, strength);
        Sampler::new(&self.config, &self.schedule, visits)
    }
}

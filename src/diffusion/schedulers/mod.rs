//! The noise schedule and the schedulers that sample by it. Options and results: diffusers' classes of the same names.

mod config;
mod noise_schedule;
mod sampler;
mod visits;

pub use config::{BetaSchedule, PredictionType, SchedulerClass, SchedulerConfig, TimestepSpacing};
pub use noise_schedule::{NoiseLevel, NoiseSchedule};
pub use sampler::Sampler;

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

    /// A run of `num_inference_steps`, 1..=[`most_steps`](Self::most_steps).
    pub fn sampler(&self, num_inference_steps: usize) -> Sampler<'_> {
        let visits = visits::visits(&self.config, &self.schedule, num_inference_steps);
        Sampler::new(&self.config, &self.schedule, visits)
    }
}

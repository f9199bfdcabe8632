//! `scheduler_config.json`, with diffusers' names and, class by class, diffusers' defaults.

use serde::Deserialize;

use crate::diffusion::config::Off;

/// `_class_name`: how a sample becomes less noisy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum SchedulerClass {
    /// Deterministic steps (eta 0). Source: Song et al. 2010.02502.
    #[default]
    #[serde(rename = "DDIMScheduler")]
    Ddim,
    /// What Stable Diffusion 1.5's folder names. Its noise schedule is sampled by DDIM, as diffusers does when the
    /// scheduler is exchanged: FlowVid's own choice.
    #[serde(rename = "PNDMScheduler")]
    Pndm,
    /// Consistency steps with new noise, for models that were distilled for them. Source: Luo et al. 2310.04378.
    #[serde(rename = "LCMScheduler")]
    Lcm,
    /// Euler's method on the ratio of noise to signal. Source: Karras et al. 2206.00364, algorithm 2 without churn.
    #[serde(rename = "EulerDiscreteScheduler")]
    Euler,
    /// DPM-Solver++ of second order, multistep, midpoint. Source: Lu et al. 2211.01095, algorithm 2.
    #[serde(rename = "DPMSolverMultistepScheduler")]
    DpmSolver,
}

impl SchedulerClass {
    /// Pure noise has no finite ratio of noise to signal.
    pub(super) fn needs_finite_ratios(self) -> bool {
        matches!(self, Self::Euler | Self::DpmSolver)
    }
}

/// `beta_schedule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum BetaSchedule {
    /// Evenly spaced.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// From step 0 up: the last training step is not visited.
    Leading,
    /// From the last step down; zero terminal SNR needs it.
    Trailing,
    /// Both ends.
    Linspace,
}

/// `final_sigmas_type`: where the last step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum FinalSigmasType {
    /// Without noise.
    #[default]
    Zero,
    /// With that of training step 0.
    SigmaMin,
}

/// `algorithm_type`: only the one that Stable Diffusion is sampled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum AlgorithmType {
    /// Predicts the clean sample.
    #[default]
    #[serde(rename = "dpmsolver++")]
    DpmSolverPlusPlus,
}

/// `solver_type`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum SolverType {
    /// The midpoint rule.
    #[default]
    Midpoint,
}

/// `scheduler_config.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct SchedulerConfig {
    /// Which scheduler.
    #[serde(default, rename = "_class_name")]
    pub class: SchedulerClass,
    /// Steps that the network was trained on.
    #[serde(default = "train_timesteps")]
    pub num_train_timesteps: usize,
    beta_start: Option<f64>,
    beta_end: Option<f64>,
    beta_schedule: Option<BetaSchedule>,
    clip_sample: Option<bool>,
    /// Largest magnitude of a clean sample, where it is held.
    #[serde(default = "one")]
    pub clip_sample_range: f64,
    set_alpha_to_one: Option<bool>,
    /// Added to leading timesteps.
    #[serde(default)]
    pub steps_offset: i64,
    /// What the network's output means.
    #[serde(default)]
    pub prediction_type: PredictionType,
    timestep_spacing: Option<TimestepSpacing>,
    /// The last training step is pure noise. Source: Lin et al. 2305.08891.
    #[serde(default)]
    pub rescale_betas_zero_snr: bool,
    /// LCM: steps that the model was distilled on; those that are visited are taken from them.
    #[serde(default = "original_inference_steps")]
    pub original_inference_steps: usize,
    /// LCM: brings timesteps to the scale of the boundary conditions.
    #[serde(default = "timestep_scaling")]
    pub timestep_scaling: f64,
    /// Euler, DPM-Solver: levels spaced as Karras et al. 2206.00364, eq. 5, with rho 7.
    #[serde(default, deserialize_with = "null_is_default")]
    pub use_karras_sigmas: bool,
    /// Euler, DPM-Solver: where the last step ends.
    #[serde(default, deserialize_with = "null_is_default")]
    pub final_sigmas_type: FinalSigmasType,
    /// DPM-Solver: 1 or 2.
    #[serde(default = "two", deserialize_with = "first_or_second")]
    pub solver_order: u32,
    /// DPM-Solver: the last of less than 15 steps is of first order.
    #[serde(default = "yes")]
    pub lower_order_final: bool,
    /// DPM-Solver.
    #[serde(default)]
    pub algorithm_type: AlgorithmType,
    /// DPM-Solver.
    #[serde(default)]
    pub solver_type: SolverType,
    /// Only off (minus infinity) is understood.
    #[serde(default)]
    pub lambda_min_clipped: Off,
    /// Only off is understood.
    #[serde(default)]
    pub euler_at_final: Off,
    /// Only off is understood.
    #[serde(default)]
    pub thresholding: Off,
    /// Only off is understood.
    #[serde(default)]
    pub trained_betas: Off,
    /// Only off is understood.
    #[serde(default)]
    pub use_exponential_sigmas: Off,
    /// Only off is understood.
    #[serde(default)]
    pub use_beta_sigmas: Off,
    /// Only off is understood.
    #[serde(default)]
    pub use_lu_lambdas: Off,
    /// Only off is understood.
    #[serde(default)]
    pub use_flow_sigmas: Off,
    /// Only off is understood.
    #[serde(default)]
    pub sigma_min: Off,
    /// Only off is understood.
    #[serde(default)]
    pub sigma_max: Off,
}

impl SchedulerConfig {
    /// First and last beta.
    pub fn beta_range(&self) -> (f64, f64) {
        let (start, end) = match self.class {
            SchedulerClass::Lcm => (0.00085, 0.012),
            _ => (0.0001, 0.02),
        };
        (self.beta_start.unwrap_or(start), self.beta_end.unwrap_or(end))
    }

    /// Betas between.
    pub fn beta_schedule(&self) -> BetaSchedule {
        self.beta_schedule.unwrap_or(match self.class {
            SchedulerClass::Lcm => BetaSchedule::ScaledLinear,
            _ => BetaSchedule::Linear,
        })
    }

    /// Whether clean samples are held to `clip_sample_range`. Only DDIM and LCM know the option.
    pub fn clip_sample(&self) -> bool {
        match self.class {
            SchedulerClass::Ddim => self.clip_sample.unwrap_or(true),
            SchedulerClass::Lcm => self.clip_sample.unwrap_or(false),
            _ => false,
        }
    }

    /// Whether DDIM's last step ends without noise; otherwise with that of training step 0.
    pub fn set_alpha_to_one(&self) -> bool {
        self.set_alpha_to_one.unwrap_or(self.class != SchedulerClass::Pndm)
    }

    /// Which steps are visited.
    pub fn timestep_spacing(&self) -> TimestepSpacing {
        self.timestep_spacing.unwrap_or(match self.class {
            SchedulerClass::Euler | SchedulerClass::DpmSolver => TimestepSpacing::Linspace,
            _ => TimestepSpacing::Leading,
        })
    }
}

fn null_is_default<'de, T: Deserialize<'de> + Default, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn first_or_second<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        order @ (1 | 2) => Ok(order),
        order => Err(serde::de::Error::custom(format!("solver_order {order} is not supported: 1 or 2 is"))),
    }
}

fn train_timesteps() -> usize {
    1000
}
fn original_inference_steps() -> usize {
    50
}
fn timestep_scaling() -> f64 {
    10.0
}
fn yes() -> bool {
    true
}
fn one() -> f64 {
    1.0
}
fn two() -> u32 {
    2
}

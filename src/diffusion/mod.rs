//! Diffusion networks and schedulers, with diffusers' names for modules, options and weights.

mod attention;
mod autoencoder_kl;
mod autoencoder_tiny;
mod blocks;
mod clip_encoder;
mod config;
mod control;
mod controlnet;
mod embeddings;
mod encoder;
mod flow_trust;
mod footprint;
mod keyframes;
mod layers;
mod model;
mod model_configs;
mod noise;
mod preconditioning;
mod resnet;
mod sampling;
mod schedulers;
mod text_encoder;
mod tokenizer;
mod unet;
mod vae;

pub use attention::Text;
pub use autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig};
pub use autoencoder_tiny::{AutoencoderTiny, AutoencoderTinyConfig, UpsampleFn};
pub use clip_encoder::{ClipEncoder, ClipEncoderConfig, Reads};
pub use config::{
    Activation, BlocksConfig, DownBlockType, KeyframeAttention, MidBlockType, Off, PerBlock, TimeScaleShift,
    UpBlockType,
};
pub use control::{ControlCondition, ControlNetOptions, ControlNetSchedule};
pub use controlnet::{ControlNetConfig, ControlNetModel, ControlNetResiduals};
pub use footprint::{CallSizes, Footprint, RunSize};
pub use keyframes::KeyframeMemory;
pub use model::{Denoised, DiffusionModel, LatentConditions, PictureConditions, StepTime};
pub use noise::noise;
pub use preconditioning::{Preconditioned, Preconditioning};
pub use sampling::{AnchorMemory, Sampling, SamplingInput, SamplingOptions};
pub use schedulers::{
    BetaSchedule, NoiseLevel, NoiseSchedule, PredictionType, Progress, Sampler, Scheduler, SchedulerClass,
    SchedulerConfig, TimestepSpacing,
};
pub use text_encoder::{ClipTextConfig, ClipTextModel};
pub use tokenizer::{Chunk, Tokenizer};
pub use unet::{ChannelCondition, FlowVidConfig, UNet2DConditionModel, UNetConfig};
pub use vae::{PatchAutoencoder, PatchAutoencoderConfig, Vae, VaeConfig};

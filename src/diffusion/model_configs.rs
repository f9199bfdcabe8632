//! The configs of a model folder's diffusion, read together and checked against each other.

use super::{
    controlnet::ControlNetConfig,
    schedulers::{PredictionType, SchedulerClass, SchedulerConfig},
    text_encoder::ClipTextConfig,
    tokenizer::Tokenizer,
    unet::{ChannelCondition, UNetConfig},
    vae::VaeConfig,
};
use crate::weights::{ModelFolder, NetworkConfig, WeightsError};

/// The configs of all components that the diffusion needs.
#[derive(Debug)]
pub(super) struct ModelConfigs {
    pub unet: UNetConfig,
    pub controlnet: Option<ControlNetConfig>,
    pub vae: VaeConfig,
    pub text_encoder: ClipTextConfig,
    pub scheduler: SchedulerConfig,
    pub tokenizer: Tokenizer,
}

impl ModelConfigs {
    pub fn read(folder: &ModelFolder) -> Result<Self, WeightsError> {
        let controlnet = || config(folder, "controlnet");
        let configs = Self {
            unet: config(folder, "unet")?,
            controlnet: folder.has("controlnet").then(controlnet).transpose()?,
            vae: config(folder, "vae")?,
            text_encoder: config(folder, "text_encoder")?,
            scheduler: folder.component("scheduler")?.config()?,
            tokenizer: Tokenizer::open(&folder.tokenizer()?)?,
        };
        match configs.misfit() {
            Some(cause) => {
                Err(WeightsError::Unreadable { file: folder.path().join("unet/config.json"), cause })
            }
            None => Ok(configs),
        }
    }

    /// What does not fit to what.
    fn misfit(&self) -> Option<String> {
        let Self { unet, controlnet, vae, text_encoder, scheduler, .. } = self;
        let latents = unet.out_channels;
        let in_channels = latents + condition_channels(unet);
        let equal = [
            ("in_channels", unet.blocks.in_channels, "out_channels and flowvid.conditions", in_channels),
            ("out_channels", latents, "latent_channels of vae", vae.latent_channels()),
            (
                "cross_attention_dim",
                unet.blocks.cross_attention_dim,
                "hidden_size of text_encoder",
                text_encoder.hidden_size,
            ),
            (
                "in_channels",
                in_channels,
                "in_channels of controlnet",
                controlnet.as_ref().map_or(in_channels, |controlnet| controlnet.blocks.in_channels),
            ),
        ];
        let fits_prior = scheduler.class == SchedulerClass::Ddim
            && scheduler.prediction_type == PredictionType::VPrediction;
        if unet.flowvid.prior.is_some() && !fits_prior {
            return Some("flowvid.prior needs a DDIMScheduler with prediction_type v_prediction".into());
        }
        let differs = equal.into_iter().find(|(_, own, _, other)| own != other);
        differs.map(|(key, own, of, other)| format!("{key} is {own}, but {of} make {other}"))
    }
}

fn condition_channels(unet: &UNetConfig) -> i64 {
    let channels = |condition: &ChannelCondition| match condition {
        ChannelCondition::Composite | ChannelCondition::First => unet.out_channels,
        ChannelCondition::Confidence => 1,
    };
    unet.flowvid.conditions.iter().map(channels).sum()
}

/// The component's config, of the class that it says to be of.
fn config<C: NetworkConfig>(folder: &ModelFolder, name: &str) -> Result<C, WeightsError> {
    folder.component(name)?.network_config()
}

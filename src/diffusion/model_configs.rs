//! The configs of a model folder's diffusion, read together and checked against each other.

use std::collections::BTreeMap;

use super::{
    control::{ControlCondition, ControlNetOptions, ControlNetSchedule},
    controlnet::ControlNetConfig,
    schedulers::{PredictionType, SchedulerClass, SchedulerConfig},
    text_encoder::ClipTextConfig,
    tokenizer::Tokenizer,
    unet::{ChannelCondition, FlowVidConfig, UNetConfig},
    vae::VaeConfig,
};
use crate::weights::{ModelFolder, NetworkConfig, WeightsError};

/// The configs of all components that the diffusion needs.
#[derive(Debug)]
pub(super) struct ModelConfigs {
    pub unet: UNetConfig,
    pub controlnets: Vec<ControlNetPart>,
    pub vae: VaeConfig,
    pub text_encoder: ClipTextConfig,
    pub scheduler: SchedulerConfig,
    pub tokenizer: Tokenizer,
}

/// A ControlNet of the model.
#[derive(Debug)]
pub(super) struct ControlNetPart {
    /// Its folder's name.
    pub name: String,
    pub config: ControlNetConfig,
    pub schedule: ControlNetSchedule,
}

impl ModelConfigs {
    pub fn read(folder: &ModelFolder) -> Result<Self, WeightsError> {
        let mut unet: UNetConfig = config(folder, "unet")?;
        if unet.flowvid.is_image_model() {
            unet.flowvid = FlowVidConfig::of_image_model();
        }
        let configs = Self {
            unet,
            controlnets: controlnets(folder)?,
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
        let Self { unet, controlnets, vae, text_encoder, scheduler, .. } = self;
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
        ];
        let of_controlnets = controlnets.iter().map(|part| {
            ("in_channels", in_channels, "in_channels of a controlnet", part.config.blocks.in_channels)
        });
        let fits_prior = scheduler.class == SchedulerClass::Ddim
            && scheduler.prediction_type == PredictionType::VPrediction;
        if unet.flowvid.prior.is_some() && !fits_prior {
            return Some("flowvid.prior needs a DDIMScheduler with prediction_type v_prediction".into());
        }
        let differs = equal.into_iter().chain(of_controlnets).find(|(_, own, _, other)| own != other);
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

/// `controlnet`, `controlnet_1`, `controlnet_2` and so on, as diffusers saves several; those that are there.
pub(super) fn controlnet_names(folder: &ModelFolder) -> impl Iterator<Item = String> {
    const MOST: usize = 8;
    let name = |index: usize| if index == 0 { "controlnet".into() } else { format!("controlnet_{index}") };
    (0..MOST).map(name).filter(|name| folder.has(name))
}

fn controlnets(folder: &ModelFolder) -> Result<Vec<ControlNetPart>, WeightsError> {
    let options = controlnet_options(folder)?;
    let part = |name: String| {
        let component = folder.component(&name)?;
        let own = options.get(&name).copied().unwrap_or_default();
        let condition = own.condition.or_else(|| ControlCondition::recognise(&component.config));
        let condition = condition.ok_or_else(|| WeightsError::Unreadable {
            file: component.config_file(),
            cause: format!("{name} {UNTOLD}"),
        })?;
        let schedule = ControlNetSchedule::new(condition, &own);
        Ok(ControlNetPart { config: component.network_config()?, name, schedule })
    };
    controlnet_names(folder).map(part).collect()
}

const UNTOLD: &str = "does not tell what it was trained on: name it in model_index.json, \
    \"flowvid\": {\"controlnets\": {\"controlnet\": {\"condition\": \"canny\"}}} (or depth, or inpaint)";

/// `model_index.json`, `flowvid.controlnets`.
fn controlnet_options(folder: &ModelFolder) -> Result<BTreeMap<String, ControlNetOptions>, WeightsError> {
    let options = folder.options()?.remove("controlnets");
    options.map(serde_json::from_value).transpose().map(Option::unwrap_or_default).map_err(|error| {
        WeightsError::Unreadable { file: folder.index_file(), cause: format!("flowvid.controlnets: {error}") }
    })
}

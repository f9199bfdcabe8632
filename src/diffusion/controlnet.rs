//! The network that turns a spatial condition into additions to a UNet's skip connections. Keys and config:
//! diffusers' `ControlNetModel`. It is not inflated: its self-attention stays within a keyframe (FlowVid 4.1).

use serde::Deserialize;
use tch::{
    Tensor,
    nn::{Conv2D, Path},
};

use super::{
    attention::Text,
    blocks::Conditioning,
    config::{BlocksConfig, KeyframeAttention, Off},
    embeddings::ControlNetConditioningEmbedding,
    encoder::{Encoded, Encoder},
    keyframes::KeyframeMemory,
    layers::zero_conv,
};
use crate::weights::NetworkConfig;

/// A ControlNet's `config.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct ControlNetConfig {
    /// What the UNet has too.
    #[serde(flatten)]
    pub blocks: BlocksConfig,
    /// Channels of the spatial condition.
    #[serde(default = "picture_channels")]
    pub conditioning_channels: i64,
    /// One entry more than the condition is halved times.
    #[serde(default = "embedding_channels")]
    pub conditioning_embedding_out_channels: Vec<i64>,
    /// Only off is understood.
    #[serde(default)]
    pub controlnet_conditioning_channel_order: Off,
    /// Only off is understood.
    #[serde(default)]
    pub global_pool_conditions: Off,
}

impl NetworkConfig for ControlNetConfig {
    const CLASSES: &'static [&'static str] = &["ControlNetModel"];
}

/// What a ControlNet adds to a UNet.
#[derive(Debug)]
pub struct ControlNetResiduals {
    /// To the skip connections, from the highest resolution down.
    pub down: Vec<Tensor>,
    /// To the mid block's result.
    pub mid: Tensor,
}

impl ControlNetResiduals {
    /// What both networks add.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            down: self.down.iter().zip(&other.down).map(|(one, other)| one + other).collect(),
            mid: self.mid + other.mid,
        }
    }
}

/// The ControlNet.
#[derive(Debug)]
pub struct ControlNetModel {
    /// `conv_in`, `time_embedding`, `down_blocks`, `mid_block`.
    encoder: Encoder,
    controlnet_cond_embedding: ControlNetConditioningEmbedding,
    controlnet_down_blocks: Vec<Conv2D>,
    controlnet_mid_block: Conv2D,
}

impl ControlNetModel {
    /// New weights; all that leaves starts at zero.
    pub fn new(vs: &Path, config: &ControlNetConfig) -> Self {
        let channels = &config.blocks.block_out_channels;
        let down = vs / "controlnet_down_blocks";
        Self {
            encoder: Encoder::new(vs, &config.blocks, KeyframeAttention::Own),
            controlnet_cond_embedding: ControlNetConditioningEmbedding::new(
                &(vs / "controlnet_cond_embedding"),
                config.conditioning_channels,
                &config.conditioning_embedding_out_channels,
                channels[0],
            ),
            controlnet_down_blocks: residual_channels(&config.blocks)
                .into_iter()
                .enumerate()
                .map(|(index, channels)| zero_conv(&down / index, [channels; 2], 1))
                .collect(),
            controlnet_mid_block: zero_conv(
                vs / "controlnet_mid_block",
                [channels[channels.len() - 1]; 2],
                1,
            ),
        }
    }

    /// The condition at the latents' size. It depends on nothing else: once a keyframe, for all steps.
    ///
    /// - `condition`: `[n, conditioning_channels, H, W]`, 0..1
    /// - returns `[n, block_out_channels[0], h, w]`
    pub fn embed_condition(&self, condition: &Tensor) -> Tensor {
        self.controlnet_cond_embedding.forward(condition)
    }

    /// - `sample`: `[n, in_channels, h, w]`
    /// - `timesteps`: `[n]`
    /// - `condition_embedding`: from [`embed_condition`](Self::embed_condition)
    /// - `conditioning_scale`: 0..2, 1 = as trained
    pub fn forward(
        &self,
        sample: &Tensor,
        timesteps: &Tensor,
        text: &Text,
        condition_embedding: &Tensor,
        conditioning_scale: f64,
    ) -> ControlNetResiduals {
        let temb = self.encoder.embed_time(timesteps);
        let conditioning = Conditioning { temb: &temb, text };
        let memory = &mut KeyframeMemory::new(1);
        let Encoded { hidden_states, residuals } =
            self.encoder.forward(sample, Some(condition_embedding), &conditioning, memory);
        let scaled = |residual: Tensor| {
            if conditioning_scale == 1.0 { residual } else { residual * conditioning_scale }
        };
        ControlNetResiduals {
            down: residuals
                .iter()
                .zip(&self.controlnet_down_blocks)
                .map(|(residual, conv)| scaled(residual.apply(conv)))
                .collect(),
            mid: scaled(hidden_states.apply(&self.controlnet_mid_block)),
        }
    }
}

/// Channels of each skip connection, from the highest resolution down.
fn residual_channels(config: &BlocksConfig) -> Vec<i64> {
    let channels = &config.block_out_channels;
    let mut residuals = vec![channels[0]];
    for (index, &own) in channels.iter().enumerate() {
        let downsampled = usize::from(index + 1 < channels.len());
        residuals.extend(std::iter::repeat_n(own, config.layers_per_block.at(index) + downsampled));
    }
    residuals
}

fn picture_channels() -> i64 {
    3
}
fn embedding_channels() -> Vec<i64> {
    vec![16, 32, 96, 256]
}

//! The UNet that denoises. Keys and config: diffusers' `UNet2DConditionModel`.

use serde::Deserialize;
use tch::{
    Tensor,
    nn::{Conv2D, GroupNorm, Path},
};

use super::{
    attention::Text,
    blocks::{Conditioning, UpBlock},
    config::{Activation, BlocksConfig, KeyframeAttention, Off, UpBlockType},
    controlnet::ControlNetResiduals,
    encoder::{Encoded, Encoder, resnet_config, transformer_config},
    keyframes::KeyframeMemory,
    layers::{group_norm, zero_conv},
    preconditioning::Preconditioning,
};
use crate::weights::NetworkConfig;

/// A UNet's `config.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct UNetConfig {
    /// What ControlNet has too.
    #[serde(flatten)]
    pub blocks: BlocksConfig,
    /// Channels of the latents.
    #[serde(default = "latent_channels")]
    pub out_channels: i64,
    /// From the lowest resolution up.
    #[serde(default = "up_block_types")]
    pub up_block_types: Vec<UpBlockType>,
    /// Only off is understood.
    #[serde(default)]
    pub center_input_sample: Off,
    /// Only off is understood.
    #[serde(default)]
    pub time_embedding_type: Off,
    /// Ours: how the video enters. Absent for an image model.
    #[serde(default)]
    pub flowvid: FlowVidConfig,
}

impl NetworkConfig for UNetConfig {
    const CLASSES: &'static [&'static str] = &["UNet2DConditionModel"];
}

/// How a UNet (and its ControlNet) was taught about video.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowVidConfig {
    /// Whose keys and values the self-attention reads.
    #[serde(default)]
    pub attention: KeyframeAttention,
    /// The same in the down blocks and the mid block, where it differs.
    #[serde(default)]
    pub encoder_attention: Option<KeyframeAttention>,
    /// What is concatenated to the sample's channels, in this order. Source: FlowVid section 4.2.
    #[serde(default)]
    pub conditions: Vec<ChannelCondition>,
    /// The network predicts what the composite does not tell; absent: it predicts all.
    #[serde(default)]
    pub prior: Option<Preconditioning>,
}

impl FlowVidConfig {
    /// How a model of single pictures is made to draw a video's: its decoder sees the first keyframe and the one
    /// before as well. It was never taught to do without the keyframe's own. Source: Rerender-A-Video's decoder-only
    /// attention, with StreamV2V's extended keys.
    pub fn of_image_model() -> Self {
        Self {
            attention: KeyframeAttention::SelfFirstPrevious,
            encoder_attention: Some(KeyframeAttention::Own),
            ..Self::default()
        }
    }

    /// Whether the network was never taught about video.
    pub fn is_image_model(&self) -> bool {
        self.conditions.is_empty()
    }
}

/// A condition that enters as channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelCondition {
    /// The composite's latents, `latent_channels`.
    Composite,
    /// The first edited frame's latents, `latent_channels`.
    First,
    /// The lowest confidence under each latent, one channel, 0..1.
    Confidence,
}

/// The UNet.
#[derive(Debug)]
pub struct UNet2DConditionModel {
    /// `conv_in`, `time_embedding`, `down_blocks`, `mid_block`.
    encoder: Encoder,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2D,
    activation: Activation,
}

impl UNet2DConditionModel {
    /// New weights; `conv_out` starts at zero.
    pub fn new(vs: &Path, config: &UNetConfig) -> Self {
        let blocks = &config.blocks;
        let channels = blocks.block_out_channels[0];
        Self {
            encoder: Encoder::new(
                vs,
                blocks,
                config.flowvid.encoder_attention.unwrap_or(config.flowvid.attention),
            ),
            up_blocks: up_blocks(&(vs / "up_blocks"), config),
            conv_norm_out: group_norm(
                vs / "conv_norm_out",
                blocks.norm_num_groups,
                channels,
                blocks.norm_eps,
            ),
            conv_out: zero_conv(vs / "conv_out", [channels, config.out_channels], 3),
            activation: blocks.act_fn,
        }
    }

    /// - `sample`: `[n, in_channels, h, w]`
    /// - `timesteps`: `[n]`
    /// - `residuals`: what a ControlNet adds to the skip connections
    /// - returns `[n, out_channels, h, w]`
    pub fn forward(
        &self,
        sample: &Tensor,
        timesteps: &Tensor,
        text: &Text,
        residuals: Option<&ControlNetResiduals>,
        memory: &mut KeyframeMemory,
    ) -> Tensor {
        // 1. time, 2. down, 3. mid
        let temb = self.encoder.embed_time(timesteps);
        let conditioning = Conditioning { temb: &temb, text };
        let mut encoded = self.encoder.forward(sample, None, &conditioning, memory);
        if let Some(added) = residuals {
            add_residuals(&mut encoded, added);
        }
        // 4. up
        let Encoded { mut hidden_states, mut residuals } = encoded;
        for block in &self.up_blocks {
            hidden_states = block.forward(hidden_states, &mut residuals, &conditioning, memory);
        }
        // 5. post-process
        self.activation.apply(&hidden_states.apply(&self.conv_norm_out)).apply(&self.conv_out)
    }
}

fn add_residuals(encoded: &mut Encoded, added: &ControlNetResiduals) {
    encoded.hidden_states = &encoded.hidden_states + &added.mid;
    for (residual, added) in encoded.residuals.iter_mut().zip(&added.down) {
        *residual = &*residual + added;
    }
}

fn up_blocks(vs: &Path, config: &UNetConfig) -> Vec<UpBlock> {
    let UNetConfig { blocks, up_block_types, flowvid, .. } = config;
    let channels = &blocks.block_out_channels;
    let last = channels.len() - 1;
    let new = |position: usize| {
        let index = last - position; // of the down block at the same resolution
        let [coming, skipped] = [channels[(index + 1).min(last)], channels[index.saturating_sub(1)]];
        let layers = blocks.layers_per_block.at(index) + 1;
        let resnets: Vec<_> = (0..layers)
            .map(|layer| {
                let own = if layer == 0 { coming } else { channels[index] };
                let skip = if layer + 1 == layers { skipped } else { channels[index] };
                resnet_config(blocks, own + skip, channels[index])
            })
            .collect();
        let attends = up_block_types[position] == UpBlockType::CrossAttnUpBlock2D;
        let transformer = attends.then(|| transformer_config(blocks, index, flowvid.attention));
        UpBlock::new(&(vs / position), &resnets, transformer, position < last)
    };
    (0..channels.len()).map(new).collect()
}

fn latent_channels() -> i64 {
    4
}
fn up_block_types() -> Vec<UpBlockType> {
    use UpBlockType::{CrossAttnUpBlock2D, UpBlock2D};
    vec![UpBlock2D, CrossAttnUpBlock2D, CrossAttnUpBlock2D, CrossAttnUpBlock2D]
}

//! The half that UNet and ControlNet have in common: from the sample down to the mid block.

use tch::{
    Tensor,
    nn::{Conv2D, Path},
};

use super::{
    attention::TransformerConfig,
    blocks::{Conditioning, DownBlock, MidBlock},
    config::{BlocksConfig, DownBlockType, KeyframeAttention},
    embeddings::{TimestepEmbedding, Timesteps},
    keyframes::KeyframeMemory,
    layers::conv,
    resnet::ResnetConfig,
};

/// `conv_in`, `time_embedding`, `down_blocks`, `mid_block`; it has no key of its own.
#[derive(Debug)]
pub struct Encoder {
    conv_in: Conv2D,
    time_proj: Timesteps,
    time_embedding: TimestepEmbedding,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<MidBlock>,
}

/// What leaves an [`Encoder`].
#[derive(Debug)]
pub struct Encoded {
    /// `[n, c, h, w]` of the lowest resolution.
    pub hidden_states: Tensor,
    /// The skip connections, from the highest resolution down.
    pub residuals: Vec<Tensor>,
}

impl Encoder {
    /// New weights.
    pub fn new(vs: &Path, config: &BlocksConfig, attention: KeyframeAttention) -> Self {
        let channels = &config.block_out_channels;
        let last = channels.len() - 1;
        let mid = |vs: Path| {
            let resnet = resnet_config(config, channels[last], channels[last]);
            let transformer = TransformerConfig {
                only_cross_attention: false,
                ..transformer_config(config, last, attention)
            };
            MidBlock::new(&vs, &resnet, transformer)
        };
        Self {
            conv_in: conv(vs / "conv_in", [config.in_channels, channels[0]], 3, 1),
            time_proj: Timesteps {
                num_channels: channels[0],
                flip_sin_to_cos: config.flip_sin_to_cos,
                freq_shift: config.freq_shift,
            },
            time_embedding: TimestepEmbedding::new(
                &(vs / "time_embedding"),
                channels[0],
                config.time_embed_dim(),
            ),
            down_blocks: down_blocks(&(vs / "down_blocks"), config, attention),
            mid_block: config.mid_block_type.map(|_| mid(vs / "mid_block")),
        }
    }

    /// `timesteps`: `[n]`; returns `[n, time_embed_dim]`.
    pub fn embed_time(&self, timesteps: &Tensor) -> Tensor {
        self.time_embedding.forward(&self.time_proj.forward(timesteps))
    }

    /// - `sample`: `[n, in_channels, h, w]`
    /// - `added`: added to the sample once it has the network's width (ControlNet's embedded condition)
    pub fn forward(
        &self,
        sample: &Tensor,
        added: Option<&Tensor>,
        conditioning: &Conditioning,
        memory: &mut KeyframeMemory,
    ) -> Encoded {
        memory.begin();
        let mut hidden_states = sample.apply(&self.conv_in);
        if let Some(added) = added {
            hidden_states += added;
        }
        let mut residuals = vec![hidden_states.shallow_clone()];
        for block in &self.down_blocks {
            hidden_states = block.forward(hidden_states, conditioning, memory, &mut residuals);
        }
        if let Some(mid_block) = &self.mid_block {
            hidden_states = mid_block.forward(&hidden_states, conditioning, memory);
        }
        Encoded { hidden_states, residuals }
    }
}

fn down_blocks(vs: &Path, config: &BlocksConfig, attention: KeyframeAttention) -> Vec<DownBlock> {
    let channels = &config.block_out_channels;
    let new = |index: usize| {
        let resnet = resnet_config(config, channels[index.saturating_sub(1)], channels[index]);
        let attends = config.down_block_types[index] == DownBlockType::CrossAttnDownBlock2D;
        let transformer = attends.then(|| transformer_config(config, index, attention));
        let padding = (index + 1 < channels.len()).then_some(config.downsample_padding);
        DownBlock::new(&(vs / index), resnet, config.layers_per_block.at(index), transformer, padding)
    };
    (0..channels.len()).map(new).collect()
}

/// A residual block from `in_channels` to `out_channels`.
pub(super) fn resnet_config(config: &BlocksConfig, in_channels: i64, out_channels: i64) -> ResnetConfig {
    ResnetConfig {
        in_channels,
        out_channels,
        temb_channels: Some(config.time_embed_dim()),
        groups: config.norm_num_groups,
        eps: config.norm_eps,
        activation: config.act_fn,
        time_scale_shift: config.resnet_time_scale_shift,
    }
}

/// A transformer at the width of down block `index`.
pub(super) fn transformer_config(
    config: &BlocksConfig,
    index: usize,
    attention: KeyframeAttention,
) -> TransformerConfig {
    TransformerConfig {
        channels: config.block_out_channels[index],
        heads: config.heads(index),
        layers: config.transformer_layers_per_block.at(index),
        cross_attention_dim: config.cross_attention_dim,
        norm_num_groups: config.norm_num_groups,
        use_linear_projection: config.use_linear_projection,
        only_cross_attention: config.only_cross_attention.at(index),
        attention,
    }
}

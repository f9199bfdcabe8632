//! Stable Diffusion's autoencoder. Keys and config: diffusers' `AutoencoderKL`.

use serde::Deserialize;
use tch::{
    Tensor,
    nn::{Conv2D, GroupNorm, Linear, Path},
};

use super::{
    config::{Activation, TimeScaleShift},
    layers::{conv, group_norm, linear},
    resnet::{Downsample2D, ResnetBlock2D, ResnetConfig, Upsample2D},
};

/// Of all norms of this network.
const EPS: f64 = 1e-6;

/// `vae/config.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct AutoencoderKlConfig {
    /// Channels of a picture.
    pub in_channels: i64,
    /// Channels of the latents.
    pub latent_channels: i64,
    /// From the highest resolution down.
    pub block_out_channels: Vec<i64>,
    /// Residual blocks a level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Of the residual blocks.
    pub act_fn: Activation,
    /// Groups of each group norm.
    pub norm_num_groups: i64,
    /// Brings the latents to unit variance.
    #[serde(default = "scaling_factor")]
    pub scaling_factor: f64,
}

impl AutoencoderKlConfig {
    /// Pixels to a latent, each way.
    pub fn scale_factor(&self) -> i64 {
        1 << (self.block_out_channels.len() - 1)
    }

    fn resnet(&self, in_channels: i64, out_channels: i64) -> ResnetConfig {
        ResnetConfig {
            in_channels,
            out_channels,
            temb_channels: None,
            groups: self.norm_num_groups,
            eps: EPS,
            activation: self.act_fn,
            time_scale_shift: TimeScaleShift::Default,
        }
    }

    fn lowest(&self) -> i64 {
        self.block_out_channels[self.block_out_channels.len() - 1]
    }
}

/// The autoencoder, without the sampling of its posterior: the encoder answers with the mean.
#[derive(Debug)]
pub struct AutoencoderKl {
    encoder: Encoder,
    quant_conv: Conv2D,
    post_quant_conv: Conv2D,
    decoder: Decoder,
    latent_channels: i64,
    scaling_factor: f64,
    scale: i64,
}

impl AutoencoderKl {
    /// New weights.
    pub fn new(vs: &Path, config: &AutoencoderKlConfig) -> Self {
        let latents = config.latent_channels;
        Self {
            encoder: Encoder::new(&(vs / "encoder"), config),
            quant_conv: conv(vs / "quant_conv", [2 * latents; 2], 1, 1),
            post_quant_conv: conv(vs / "post_quant_conv", [latents; 2], 1, 1),
            decoder: Decoder::new(&(vs / "decoder"), config),
            latent_channels: latents,
            scaling_factor: config.scaling_factor,
            scale: config.scale_factor(),
        }
    }

    /// Pixels to a latent, each way.
    pub fn scale_factor(&self) -> i64 {
        self.scale
    }

    /// - `pictures`: `[n, in_channels, H, W]`, 0..1
    /// - returns `[n, latent_channels, h, w]`, already times `scaling_factor`
    pub fn encode(&self, pictures: &Tensor) -> Tensor {
        let pictures = (pictures * 2.0 - 1.0).to_kind(self.quant_conv.ws.kind());
        let moments = self.encoder.forward(&pictures).apply(&self.quant_conv); // [n, 2 * latent_channels, h, w]
        moments.narrow(1, 0, self.latent_channels) * self.scaling_factor
    }

    /// - `latents`: `[n, latent_channels, h, w]`, times `scaling_factor`
    /// - returns `[n, in_channels, H, W]`, about 0..1, not clamped
    pub fn decode(&self, latents: &Tensor) -> Tensor {
        let latents = (latents / self.scaling_factor).to_kind(self.quant_conv.ws.kind());
        self.decoder.forward(&latents.apply(&self.post_quant_conv)) * 0.5 + 0.5
    }
}

#[derive(Debug)]
struct Encoder {
    conv_in: Conv2D,
    /// Residual blocks and `downsamplers.0` of each level.
    down_blocks: Vec<(Vec<ResnetBlock2D>, Option<Downsample2D>)>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2D,
    activation: Activation,
}

impl Encoder {
    fn new(vs: &Path, config: &AutoencoderKlConfig) -> Self {
        let channels = &config.block_out_channels;
        let blocks = vs / "down_blocks";
        let block = |index: usize| {
            let vs = &blocks / index;
            let coming = channels[index.saturating_sub(1)];
            let downsampler = (index + 1 < channels.len())
                .then(|| Downsample2D::new(&(&vs / "downsamplers" / 0), channels[index], 0));
            (resnets(&vs, config, [coming, channels[index]], config.layers_per_block), downsampler)
        };
        let lowest = config.lowest();
        Self {
            conv_in: conv(vs / "conv_in", [config.in_channels, channels[0]], 3, 1),
            down_blocks: (0..channels.len()).map(block).collect(),
            mid_block: MidBlock::new(&(vs / "mid_block"), config),
            conv_norm_out: group_norm(vs / "conv_norm_out", config.norm_num_groups, lowest, EPS),
            conv_out: conv(vs / "conv_out", [lowest, 2 * config.latent_channels], 3, 1),
            activation: config.act_fn,
        }
    }

    fn forward(&self, pictures: &Tensor) -> Tensor {
        let mut hidden_states = pictures.apply(&self.conv_in);
        for (resnets, downsampler) in &self.down_blocks {
            hidden_states = through(resnets, hidden_states);
            if let Some(downsampler) = downsampler {
                hidden_states = downsampler.forward(&hidden_states);
            }
        }
        let hidden_states = self.mid_block.forward(hidden_states);
        self.activation.apply(&hidden_states.apply(&self.conv_norm_out)).apply(&self.conv_out)
    }
}

#[derive(Debug)]
struct Decoder {
    conv_in: Conv2D,
    mid_block: MidBlock,
    /// Residual blocks and `upsamplers.0` of each level, from the lowest resolution up.
    up_blocks: Vec<(Vec<ResnetBlock2D>, Option<Upsample2D>)>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2D,
    activation: Activation,
}

impl Decoder {
    fn new(vs: &Path, config: &AutoencoderKlConfig) -> Self {
        let channels: Vec<i64> = config.block_out_channels.iter().rev().copied().collect();
        let blocks = vs / "up_blocks";
        let block = |index: usize| {
            let vs = &blocks / index;
            let coming = channels[index.saturating_sub(1)];
            let upsampler = (index + 1 < channels.len())
                .then(|| Upsample2D::new(&(&vs / "upsamplers" / 0), channels[index]));
            (resnets(&vs, config, [coming, channels[index]], config.layers_per_block + 1), upsampler)
        };
        let highest = config.block_out_channels[0];
        Self {
            conv_in: conv(vs / "conv_in", [config.latent_channels, config.lowest()], 3, 1),
            mid_block: MidBlock::new(&(vs / "mid_block"), config),
            up_blocks: (0..channels.len()).map(block).collect(),
            conv_norm_out: group_norm(vs / "conv_norm_out", config.norm_num_groups, highest, EPS),
            conv_out: conv(vs / "conv_out", [highest, config.in_channels], 3, 1),
            activation: config.act_fn,
        }
    }

    fn forward(&self, latents: &Tensor) -> Tensor {
        let mut hidden_states = self.mid_block.forward(latents.apply(&self.conv_in));
        for (resnets, upsampler) in &self.up_blocks {
            hidden_states = through(resnets, hidden_states);
            if let Some(upsampler) = upsampler {
                let doubled = [2, 3].map(|dim| 2 * hidden_states.size()[dim]);
                hidden_states = upsampler.forward(&hidden_states, doubled);
            }
        }
        self.activation.apply(&hidden_states.apply(&self.conv_norm_out)).apply(&self.conv_out)
    }
}

/// Residual block, attention over all pixels, residual block.
#[derive(Debug)]
struct MidBlock {
    resnets: Vec<ResnetBlock2D>,
    /// Key: `attentions.0`.
    attention: PixelAttention,
}

impl MidBlock {
    fn new(vs: &Path, config: &AutoencoderKlConfig) -> Self {
        Self {
            resnets: resnets(vs, config, [config.lowest(); 2], 2),
            attention: PixelAttention::new(&(vs / "attentions" / 0), config),
        }
    }

    fn forward(&self, hidden_states: Tensor) -> Tensor {
        let (before, after) = self.resnets.split_at(1);
        through(after, self.attention.forward(&through(before, hidden_states)))
    }
}

/// Attention of one head between the pixels of a picture.
#[derive(Debug)]
struct PixelAttention {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    /// Key: `to_out.0`.
    to_out: Linear,
}

impl PixelAttention {
    fn new(vs: &Path, config: &AutoencoderKlConfig) -> Self {
        let channels = config.lowest();
        Self {
            group_norm: group_norm(vs / "group_norm", config.norm_num_groups, channels, EPS),
            to_q: linear(vs / "to_q", channels, channels),
            to_k: linear(vs / "to_k", channels, channels),
            to_v: linear(vs / "to_v", channels, channels),
            to_out: linear(vs / "to_out" / 0, channels, channels),
        }
    }

    /// `[n, c, h, w]` to the same.
    fn forward(&self, hidden_states: &Tensor) -> Tensor {
        let width = hidden_states.size()[3];
        let tokens = hidden_states.apply(&self.group_norm).permute([0, 2, 3, 1]).flatten(1, 2); // [n, h * w, c]
        let [query, key, value] =
            [&self.to_q, &self.to_k, &self.to_v].map(|project| tokens.apply(project).unsqueeze(1));
        let no_mask = None::<Tensor>;
        let mixed =
            Tensor::scaled_dot_product_attention(&query, &key, &value, no_mask, 0.0, false, None, false);
        let picture =
            mixed.squeeze_dim(1).apply(&self.to_out).unflatten(1, [-1, width]).permute([0, 3, 1, 2]);
        hidden_states + picture
    }
}

fn resnets(
    vs: &Path,
    config: &AutoencoderKlConfig,
    [coming, own]: [i64; 2],
    layers: usize,
) -> Vec<ResnetBlock2D> {
    let keys = vs / "resnets";
    let new = |index: usize| {
        let resnet = config.resnet(if index == 0 { coming } else { own }, own);
        ResnetBlock2D::new(&(&keys / index), &resnet)
    };
    (0..layers).map(new).collect()
}

fn through(resnets: &[ResnetBlock2D], hidden_states: Tensor) -> Tensor {
    resnets.iter().fold(hidden_states, |hidden_states, resnet| resnet.forward(&hidden_states, None))
}

fn scaling_factor() -> f64 {
    0.18215
}

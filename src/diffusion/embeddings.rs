//! Embeddings of time and of the spatial condition. Keys: diffusers' `models/embeddings.py` and
//! `models/controlnets/controlnet.py`.

use tch::{
    Kind, Tensor,
    nn::{Conv2D, Linear, Path},
};

use super::layers::{conv, linear, zero_conv};

/// Sines and cosines of the time step at geometrically spaced frequencies.
#[derive(Debug, Clone, Copy)]
pub struct Timesteps {
    /// Width of the result; even.
    pub num_channels: i64,
    /// Cosines first.
    pub flip_sin_to_cos: bool,
    /// Taken from the number of frequencies when they are spaced.
    pub freq_shift: f64,
}

impl Timesteps {
    /// - `timesteps`: `[n]`
    /// - returns `[n, num_channels]`, f32: half precision cannot hold a time step up to 999 times a frequency
    pub fn forward(&self, timesteps: &Tensor) -> Tensor {
        let half = self.num_channels / 2;
        let spacing = -(10_000f64.ln()) / (half as f64 - self.freq_shift);
        let frequencies = (Tensor::arange(half, (Kind::Float, timesteps.device())) * spacing).exp();
        let angles = timesteps.to_kind(Kind::Float).unsqueeze(1) * frequencies.unsqueeze(0); // [n, half]
        let parts = [angles.sin(), angles.cos()];
        if self.flip_sin_to_cos { Tensor::cat(&[&parts[1], &parts[0]], 1) } else { Tensor::cat(&parts, 1) }
    }
}

/// Two linear layers that turn [`Timesteps`] into `temb`.
#[derive(Debug)]
pub struct TimestepEmbedding {
    linear_1: Linear,
    linear_2: Linear,
}

impl TimestepEmbedding {
    /// From `channels` to `time_embed_dim`.
    pub fn new(vs: &Path, channels: i64, time_embed_dim: i64) -> Self {
        Self {
            linear_1: linear(vs / "linear_1", channels, time_embed_dim),
            linear_2: linear(vs / "linear_2", time_embed_dim, time_embed_dim),
        }
    }

    /// `[n, channels]` to `[n, time_embed_dim]`; the result has the weights' dtype.
    pub fn forward(&self, sample: &Tensor) -> Tensor {
        sample.to_kind(self.linear_1.ws.kind()).apply(&self.linear_1).silu().apply(&self.linear_2)
    }
}

/// Brings a spatial condition from picture size to the latents' size and the network's width.
#[derive(Debug)]
pub struct ControlNetConditioningEmbedding {
    conv_in: Conv2D,
    blocks: Vec<Conv2D>,
    conv_out: Conv2D,
}

impl ControlNetConditioningEmbedding {
    /// `channels` has one entry more than the picture is halved times.
    pub fn new(vs: &Path, conditioning_channels: i64, channels: &[i64], out_channels: i64) -> Self {
        let blocks = vs / "blocks";
        let pairs = channels.windows(2).enumerate();
        Self {
            conv_in: conv(vs / "conv_in", [conditioning_channels, channels[0]], 3, 1),
            blocks: pairs
                .flat_map(|(level, pair)| {
                    let index = 2 * level as i64;
                    let same = conv(&blocks / index, [pair[0], pair[0]], 3, 1);
                    [same, conv(&blocks / (index + 1), [pair[0], pair[1]], 3, 2)]
                })
                .collect(),
            conv_out: zero_conv(vs / "conv_out", [channels[channels.len() - 1], out_channels], 3),
        }
    }

    /// `conditioning`: `[n, conditioning_channels, H, W]`, 0..1; returns `[n, out_channels, h, w]`.
    pub fn forward(&self, conditioning: &Tensor) -> Tensor {
        let embedding = conditioning.apply(&self.conv_in).silu();
        self.blocks
            .iter()
            .fold(embedding, |embedding, block| embedding.apply(block).silu())
            .apply(&self.conv_out)
    }
}

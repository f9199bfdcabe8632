//! The small autoencoder of Stable Diffusion's latents (TAESD). Keys and config: diffusers' `AutoencoderTiny`.

use serde::Deserialize;
use tch::{
    Tensor,
    nn::{self, Conv2D, ConvConfig, Path},
};

use super::{config::Activation, layers::conv};

/// `vae/config.json`, with diffusers' defaults.
#[derive(Debug, Clone, Deserialize)]
pub struct AutoencoderTinyConfig {
    /// Channels of a picture.
    #[serde(default = "three")]
    pub in_channels: i64,
    /// Channels of a decoded picture.
    #[serde(default = "three")]
    pub out_channels: i64,
    /// From the highest resolution down.
    #[serde(default = "block_out_channels")]
    pub encoder_block_out_channels: Vec<i64>,
    /// From the lowest resolution up.
    #[serde(default = "block_out_channels")]
    pub decoder_block_out_channels: Vec<i64>,
    /// Inside the residual blocks.
    #[serde(default = "relu")]
    pub act_fn: Activation,
    /// How the decoder enlarges.
    #[serde(default)]
    pub upsample_fn: UpsampleFn,
    /// Channels of the latents.
    #[serde(default = "four")]
    pub latent_channels: i64,
    /// Of each of the decoder's levels.
    #[serde(default = "two")]
    pub upsampling_scaling_factor: i64,
    /// Residual blocks a level.
    #[serde(default = "num_encoder_blocks")]
    pub num_encoder_blocks: Vec<usize>,
    /// Residual blocks a level.
    #[serde(default = "num_decoder_blocks")]
    pub num_decoder_blocks: Vec<usize>,
    /// Brings the latents to unit variance.
    #[serde(default = "one")]
    pub scaling_factor: f64,
}

impl AutoencoderTinyConfig {
    /// Pixels to a latent, each way.
    pub fn scale_factor(&self) -> i64 {
        1 << (self.num_encoder_blocks.len() - 1)
    }
}

/// `upsample_fn`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum UpsampleFn {
    /// Pixels are repeated.
    #[default]
    Nearest,
}

/// The autoencoder. It has no posterior: the encoder answers with the latents.
#[derive(Debug)]
pub struct AutoencoderTiny {
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
    scaling_factor: f64,
    scale: i64,
}

impl AutoencoderTiny {
    /// New weights.
    pub fn new(vs: &Path, config: &AutoencoderTinyConfig) -> Self {
        Self {
            encoder: encoder(&(vs / "encoder" / "layers"), config),
            decoder: decoder(&(vs / "decoder" / "layers"), config),
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
        through(&self.encoder, &pictures.to_kind(kind(&self.encoder))) * self.scaling_factor
    }

    /// - `latents`: `[n, latent_channels, h, w]`, times `scaling_factor`
    /// - returns `[n, out_channels, H, W]`, about 0..1, not clamped
    pub fn decode(&self, latents: &Tensor) -> Tensor {
        let latents = (latents / self.scaling_factor).to_kind(kind(&self.decoder));
        through(&self.decoder, &((latents / 3.0).tanh() * 3.0)) // beyond 3 latents mean nothing
    }
}

/// One entry of a `Sequential`, whose index is its key.
#[derive(Debug)]
enum Layer {
    Conv(Conv2D),
    Activation(Activation),
    Block(Box<TinyBlock>),
    /// By this factor.
    Upsample(i64),
}

impl Layer {
    fn forward(&self, hidden_states: &Tensor) -> Tensor {
        match self {
            Self::Conv(conv) => hidden_states.apply(conv),
            Self::Activation(activation) => activation.apply(hidden_states),
            Self::Block(block) => block.forward(hidden_states),
            Self::Upsample(factor) => {
                let size = [2, 3].map(|dim| factor * hidden_states.size()[dim]);
                hidden_states.upsample_nearest2d(size, None, None)
            }
        }
    }
}

fn through(layers: &[Layer], input: &Tensor) -> Tensor {
    layers.iter().fold(input.shallow_clone(), |hidden_states, layer| layer.forward(&hidden_states))
}

/// The weights' dtype.
fn kind(layers: &[Layer]) -> tch::Kind {
    match &layers[0] {
        Layer::Conv(conv) => conv.ws.kind(),
        _ => unreachable!("both halves begin with a convolution"),
    }
}

fn encoder(vs: &Path, config: &AutoencoderTinyConfig) -> Vec<Layer> {
    let channels = &config.encoder_block_out_channels;
    let mut layers = Vec::new();
    for (level, (&blocks, &own)) in config.num_encoder_blocks.iter().zip(channels).enumerate() {
        let key = vs / layers.len();
        layers.push(Layer::Conv(match level {
            0 => conv(key, [config.in_channels, own], 3, 1),
            _ => conv_no_bias(key, [own; 2], 2),
        }));
        add_blocks(&mut layers, vs, blocks, own, config.act_fn);
    }
    let last = channels[channels.len() - 1];
    layers.push(Layer::Conv(conv(vs / layers.len(), [last, config.latent_channels], 3, 1)));
    layers
}

fn decoder(vs: &Path, config: &AutoencoderTinyConfig) -> Vec<Layer> {
    let channels = &config.decoder_block_out_channels;
    let mut layers = vec![
        Layer::Conv(conv(vs / 0, [config.latent_channels, channels[0]], 3, 1)),
        Layer::Activation(config.act_fn),
    ];
    let last = config.num_decoder_blocks.len() - 1;
    for (level, (&blocks, &own)) in config.num_decoder_blocks.iter().zip(channels).enumerate() {
        add_blocks(&mut layers, vs, blocks, own, config.act_fn);
        if level < last {
            layers.push(Layer::Upsample(config.upsampling_scaling_factor));
        }
        let key = vs / layers.len();
        layers.push(Layer::Conv(match level {
            _ if level == last => conv(key, [own, config.out_channels], 3, 1),
            _ => conv_no_bias(key, [own; 2], 1),
        }));
    }
    layers
}

fn add_blocks(layers: &mut Vec<Layer>, vs: &Path, blocks: usize, channels: i64, activation: Activation) {
    for _ in 0..blocks {
        let key = vs / layers.len();
        layers.push(Layer::Block(Box::new(TinyBlock::new(&key, channels, activation))));
    }
}

fn conv_no_bias(vs: Path, [coming, own]: [i64; 2], stride: i64) -> Conv2D {
    nn::conv2d(vs, coming, own, 3, ConvConfig { padding: 1, stride, bias: false, ..Default::default() })
}

/// Three convolutions and what came in, through a rectifier.
#[derive(Debug)]
struct TinyBlock {
    /// Keys: `conv.0`, `conv.2`, `conv.4`.
    convs: [Conv2D; 3],
    activation: Activation,
}

impl TinyBlock {
    fn new(vs: &Path, channels: i64, activation: Activation) -> Self {
        let keys = vs / "conv";
        Self { convs: [0, 2, 4].map(|index| conv(&keys / index, [channels; 2], 3, 1)), activation }
    }

    fn forward(&self, hidden_states: &Tensor) -> Tensor {
        let [first, second, third] = &self.convs;
        let inner = self.activation.apply(&hidden_states.apply(first));
        let inner = self.activation.apply(&inner.apply(second));
        (inner.apply(third) + hidden_states).relu()
    }
}

fn one() -> f64 {
    1.0
}
fn two() -> i64 {
    2
}
fn three() -> i64 {
    3
}
fn four() -> i64 {
    4
}
fn relu() -> Activation {
    Activation::Relu
}
fn block_out_channels() -> Vec<i64> {
    vec![64; 4]
}
fn num_encoder_blocks() -> Vec<usize> {
    vec![1, 3, 3, 3]
}
fn num_decoder_blocks() -> Vec<usize> {
    vec![3, 3, 3, 1]
}

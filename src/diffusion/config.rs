//! What the configs of UNet and ControlNet share, read from `config.json` with diffusers' names and defaults.

use serde::{Deserialize, Deserializer, de::Error};
use tch::Tensor;

/// A value for all blocks, or one for each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum PerBlock<T> {
    /// The same everywhere.
    Same(T),
    /// One a block, from the highest resolution down.
    Each(Vec<T>),
}

impl<T: Copy> PerBlock<T> {
    /// The value of block `index`.
    ///
    /// # Panics
    /// If a list is shorter than the network is deep.
    pub fn at(&self, index: usize) -> T {
        match self {
            Self::Same(value) => *value,
            Self::Each(values) => values[index],
        }
    }
}

/// An option of diffusers that is only understood where it is off: `null`, `false`, or diffusers' own
/// word for its default. Anything else is refused when the config is read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Off;

impl<'de> Deserialize<'de> for Off {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let off = match &value {
            serde_json::Value::Null | serde_json::Value::Bool(false) => true,
            serde_json::Value::String(word) => matches!(word.as_str(), "default" | "positional" | "rgb"),
            _ => false,
        };
        if off {
            Ok(Self)
        } else {
            Err(D::Error::custom(format!("an option is {value}, which is not supported")))
        }
    }
}

/// `act_fn`, `hidden_act`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(x)`
    #[serde(alias = "swish")]
    Silu,
    /// Exact, by the error function.
    Gelu,
    /// `x * sigmoid(1.702 x)`, CLIP's.
    QuickGelu,
    /// `max(x, 0)`
    Relu,
}

impl Activation {
    /// The function on each element.
    pub fn apply(self, hidden_states: &Tensor) -> Tensor {
        match self {
            Self::Silu => hidden_states.silu(),
            Self::Gelu => hidden_states.gelu("none"),
            Self::QuickGelu => hidden_states * (hidden_states * 1.702).sigmoid(),
            Self::Relu => hidden_states.relu(),
        }
    }
}

/// `resnet_time_scale_shift`: how the time embedding enters a residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TimeScaleShift {
    /// Added after the first convolution.
    #[default]
    Default,
    /// Scales and shifts the second norm.
    ScaleShift,
}

/// `down_block_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum DownBlockType {
    /// Residual blocks alone.
    DownBlock2D,
    /// Residual blocks, each with a transformer.
    CrossAttnDownBlock2D,
}

/// `up_block_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum UpBlockType {
    /// Residual blocks alone.
    UpBlock2D,
    /// Residual blocks, each with a transformer.
    CrossAttnUpBlock2D,
}

/// `mid_block_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum MidBlockType {
    /// Residual block, transformer, residual block.
    UNetMidBlock2DCrossAttn,
}

/// Which hidden states a keyframe's spatial self-attention (`attn1`) takes keys and values from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum KeyframeAttention {
    /// The keyframe's own: the image model as it was trained.
    #[default]
    #[serde(rename = "self")]
    Own,
    /// The batch's first keyframe's and the previous keyframe's. Source: FlowVid eq. 3.
    FirstPrevious,
    /// All three: the embedded model's. FlowVid starts from a trained image model and leaves the keyframe's
    /// own out.
    SelfFirstPrevious,
}

/// The options that UNet and ControlNet share, with diffusers' names and defaults.
#[derive(Debug, Clone, Deserialize)]
pub struct BlocksConfig {
    /// Channels of the (concatenated) sample.
    #[serde(default = "four")]
    pub in_channels: i64,
    /// Cosines before sines in the time embedding.
    #[serde(default = "yes")]
    pub flip_sin_to_cos: bool,
    /// Shift of the time embedding's frequencies.
    #[serde(default)]
    pub freq_shift: f64,
    /// From the highest resolution down.
    #[serde(default = "down_block_types")]
    pub down_block_types: Vec<DownBlockType>,
    /// `None`: no mid block.
    #[serde(default = "mid_block_type")]
    pub mid_block_type: Option<MidBlockType>,
    /// `attn1` reads the text too, in place of the picture.
    #[serde(default = "nowhere")]
    pub only_cross_attention: PerBlock<bool>,
    /// From the highest resolution down.
    #[serde(default = "block_out_channels")]
    pub block_out_channels: Vec<i64>,
    /// Residual blocks a down block; an up block has one more.
    #[serde(default = "two")]
    pub layers_per_block: PerBlock<usize>,
    /// Padding of the strided convolutions.
    #[serde(default = "one")]
    pub downsample_padding: i64,
    /// Activation of the residual blocks.
    #[serde(default = "silu")]
    pub act_fn: Activation,
    /// Groups of each group norm.
    #[serde(default = "thirty_two")]
    pub norm_num_groups: i64,
    /// Epsilon of the residual blocks' norms.
    #[serde(default = "norm_eps")]
    pub norm_eps: f64,
    /// Width of `encoder_hidden_states`.
    #[serde(default = "cross_attention_dim")]
    pub cross_attention_dim: i64,
    /// Transformer blocks in each transformer.
    #[serde(default = "one_layer")]
    pub transformer_layers_per_block: PerBlock<usize>,
    /// The number of heads, under diffusers' old misleading name.
    #[serde(default = "eight_heads")]
    pub attention_head_dim: PerBlock<i64>,
    /// The number of heads where a config has it under its right name.
    #[serde(default)]
    pub num_attention_heads: Option<PerBlock<i64>>,
    /// A transformer's `proj_in` and `proj_out` are linear layers, not 1x1 convolutions.
    #[serde(default)]
    pub use_linear_projection: bool,
    /// How time enters.
    #[serde(default)]
    pub resnet_time_scale_shift: TimeScaleShift,
    /// Only off is understood.
    #[serde(default)]
    pub dual_cross_attention: Off,
    /// Only off is understood.
    #[serde(default)]
    pub class_embed_type: Off,
    /// Only off is understood.
    #[serde(default)]
    pub addition_embed_type: Off,
    /// Only off is understood.
    #[serde(default)]
    pub encoder_hid_dim_type: Off,
}

impl BlocksConfig {
    /// Attention heads of down block `index`; of an up block, count from the other end.
    pub fn heads(&self, index: usize) -> i64 {
        self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim).at(index)
    }

    /// Width of the time embedding that the blocks are given.
    pub fn time_embed_dim(&self) -> i64 {
        4 * self.block_out_channels[0]
    }
}

fn yes() -> bool {
    true
}
fn nowhere() -> PerBlock<bool> {
    PerBlock::Same(false)
}
fn one() -> i64 {
    1
}
fn four() -> i64 {
    4
}
fn thirty_two() -> i64 {
    32
}
fn two() -> PerBlock<usize> {
    PerBlock::Same(2)
}
fn one_layer() -> PerBlock<usize> {
    PerBlock::Same(1)
}
fn eight_heads() -> PerBlock<i64> {
    PerBlock::Same(8)
}
fn silu() -> Activation {
    Activation::Silu
}
fn norm_eps() -> f64 {
    1e-5
}
fn cross_attention_dim() -> i64 {
    1280
}
fn block_out_channels() -> Vec<i64> {
    vec![320, 640, 1280, 1280]
}
fn mid_block_type() -> Option<MidBlockType> {
    Some(MidBlockType::UNetMidBlock2DCrossAttn)
}
fn down_block_types() -> Vec<DownBlockType> {
    use DownBlockType::{CrossAttnDownBlock2D, DownBlock2D};
    vec![CrossAttnDownBlock2D, CrossAttnDownBlock2D, CrossAttnDownBlock2D, DownBlock2D]
}

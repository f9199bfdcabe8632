//! `depth/config.json`, as transformers writes it.

use serde::Deserialize;

use crate::weights::NetworkConfig;

/// The sizes of a Depth Anything network. What the file leaves out is what transformers takes then.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// The vision transformer.
    pub backbone_config: BackboneConfig,
    /// Input channels of the neck.
    #[serde(default = "reassemble_hidden_size")]
    pub reassemble_hidden_size: i64,
    /// By how much each stage of the neck is enlarged: 4, 2, 1 and one half.
    #[serde(default = "reassemble_factors")]
    pub reassemble_factors: Vec<f64>,
    /// Channels of the neck's stages, finest first.
    #[serde(default = "neck_hidden_sizes")]
    pub neck_hidden_sizes: Vec<i64>,
    /// Channels where the stages are fused.
    #[serde(default = "fusion_hidden_size")]
    pub fusion_hidden_size: i64,
    /// Channels before the last layer.
    #[serde(default = "head_hidden_size")]
    pub head_hidden_size: i64,
    /// What the numbers of the result mean.
    #[serde(default, rename = "depth_estimation_type")]
    _kind: Kind,
}

impl NetworkConfig for Config {
    const CLASSES: &'static [&'static str] = &["DepthAnythingForDepthEstimation"];
}

/// `backbone_config`: a DINOv2 whose stages are read without being made pictures of, each normalised.
#[derive(Debug, Clone, Deserialize)]
pub struct BackboneConfig {
    /// Channels.
    pub hidden_size: i64,
    /// Layers.
    #[serde(default = "num_hidden_layers")]
    pub num_hidden_layers: i64,
    /// Heads of the attention.
    pub num_attention_heads: i64,
    /// Hidden channels of a feed-forward network, as a multiple of its input's.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: i64,
    /// Of the layer norms.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Side of the square pictures that the position embeddings were learned on.
    pub image_size: i64,
    /// Side of the square that becomes one token.
    pub patch_size: i64,
    /// After how many layers the neck looks at the tokens, ascending.
    pub out_indices: Vec<i64>,
}

/// Metric depth would have to be turned round.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Inverse depth up to scale and shift: the larger, the nearer.
    #[default]
    Relative,
}

fn reassemble_hidden_size() -> i64 {
    384
}

fn reassemble_factors() -> Vec<f64> {
    vec![4.0, 2.0, 1.0, 0.5]
}

fn neck_hidden_sizes() -> Vec<i64> {
    vec![48, 96, 192, 384]
}

fn fusion_hidden_size() -> i64 {
    64
}

fn head_hidden_size() -> i64 {
    32
}

fn num_hidden_layers() -> i64 {
    12
}

fn mlp_ratio() -> i64 {
    4
}

fn layer_norm_eps() -> f64 {
    1e-6
}

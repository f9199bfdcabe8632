//! The transformer that both halves of CLIP are made of. Keys and config: transformers' `CLIPEncoder`.

use serde::Deserialize;
use tch::{
    Tensor,
    nn::{self, LayerNorm, LayerNormConfig, Linear, Path},
};

use super::{config::Activation, layers::linear};

const NO_MASK: Option<Tensor> = None;

/// What the transformer is built from.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ClipEncoderConfig {
    /// Width.
    pub hidden_size: i64,
    /// Width inside the feed-forward layers.
    pub intermediate_size: i64,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: i64,
    /// In the feed-forward layers.
    #[serde(default = "quick_gelu")]
    pub hidden_act: Activation,
    /// Of the layer norms.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
}

impl ClipEncoderConfig {
    /// A layer norm over the transformer's width.
    pub fn layer_norm(&self, vs: Path) -> LayerNorm {
        let options = LayerNormConfig { eps: self.layer_norm_eps, ..Default::default() };
        nn::layer_norm(vs, vec![self.hidden_size], options)
    }
}

/// Which other tokens a token reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// All: a picture's.
    All,
    /// Itself and those before it: a text's.
    Before,
}

/// The layers. All keys begin with `layers`.
#[derive(Debug)]
pub struct ClipEncoder {
    layers: Vec<ClipEncoderLayer>,
}

impl ClipEncoder {
    /// New weights.
    pub fn new(vs: &Path, config: &ClipEncoderConfig, reads: Reads) -> Self {
        let layer = |index| ClipEncoderLayer::new(&(vs / "layers" / index), config, reads);
        Self { layers: (0..config.num_hidden_layers).map(layer).collect() }
    }

    /// `hidden_states`: `[n, tokens, hidden_size]`; the result has the same shape.
    pub fn forward(&self, hidden_states: Tensor) -> Tensor {
        self.layers.iter().fold(hidden_states, |hidden_states, layer| layer.forward(&hidden_states))
    }
}

#[derive(Debug)]
struct ClipEncoderLayer {
    layer_norm1: LayerNorm,
    self_attn: ClipAttention,
    layer_norm2: LayerNorm,
    /// Key: `mlp.fc1`.
    fc1: Linear,
    /// Key: `mlp.fc2`.
    fc2: Linear,
    activation: Activation,
}

impl ClipEncoderLayer {
    fn new(vs: &Path, config: &ClipEncoderConfig, reads: Reads) -> Self {
        let mlp = vs / "mlp";
        Self {
            layer_norm1: config.layer_norm(vs / "layer_norm1"),
            self_attn: ClipAttention::new(&(vs / "self_attn"), config, reads),
            layer_norm2: config.layer_norm(vs / "layer_norm2"),
            fc1: linear(&mlp / "fc1", config.hidden_size, config.intermediate_size),
            fc2: linear(&mlp / "fc2", config.intermediate_size, config.hidden_size),
            activation: config.hidden_act,
        }
    }

    fn forward(&self, hidden_states: &Tensor) -> Tensor {
        let hidden_states = hidden_states + self.self_attn.forward(&hidden_states.apply(&self.layer_norm1));
        let inner = self.activation.apply(&hidden_states.apply(&self.layer_norm2).apply(&self.fc1));
        hidden_states + inner.apply(&self.fc2)
    }
}

#[derive(Debug)]
struct ClipAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: i64,
    reads: Reads,
}

impl ClipAttention {
    fn new(vs: &Path, config: &ClipEncoderConfig, reads: Reads) -> Self {
        let project = |key: &str| linear(vs / key, config.hidden_size, config.hidden_size);
        Self {
            q_proj: project("q_proj"),
            k_proj: project("k_proj"),
            v_proj: project("v_proj"),
            out_proj: project("out_proj"),
            heads: config.num_attention_heads,
            reads,
        }
    }

    fn forward(&self, hidden_states: &Tensor) -> Tensor {
        let [query, key, value] = [&self.q_proj, &self.k_proj, &self.v_proj]
            .map(|project| hidden_states.apply(project).unflatten(-1, [self.heads, -1]).transpose(1, 2));
        // [n, heads, tokens, head_dim]
        let causal = self.reads == Reads::Before;
        let mixed =
            Tensor::scaled_dot_product_attention(&query, &key, &value, NO_MASK, 0.0, causal, None, false);
        mixed.transpose(1, 2).flatten(2, 3).apply(&self.out_proj)
    }
}

/// What a config that does not say it means.
pub(super) fn quick_gelu() -> Activation {
    Activation::QuickGelu
}

/// The same.
pub(super) fn layer_norm_eps() -> f64 {
    1e-5
}

//! CLIP's text encoder, of any size. Keys and config: transformers' `CLIPTextModel`.

use serde::Deserialize;
use tch::{
    Kind, Tensor,
    nn::{self, Embedding, LayerNorm, LayerNormConfig, Linear, Path},
};

use super::{config::Activation, layers::linear};
use crate::weights::NetworkConfig;

const NO_MASK: Option<Tensor> = None;

/// `text_encoder/config.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct ClipTextConfig {
    /// Tokens.
    pub vocab_size: i64,
    /// Width.
    pub hidden_size: i64,
    /// Width inside the feed-forward layers.
    pub intermediate_size: i64,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: i64,
    /// Longest text, in tokens.
    pub max_position_embeddings: i64,
    /// In the feed-forward layers.
    #[serde(default = "quick_gelu")]
    pub hidden_act: Activation,
    /// Of the layer norms.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
}

impl NetworkConfig for ClipTextConfig {
    const CLASSES: &'static [&'static str] = &["CLIPTextModel"];
}

/// The text encoder. All keys begin with `text_model`.
#[derive(Debug)]
pub struct ClipTextModel {
    token_embedding: Embedding,
    position_embedding: Embedding,
    layers: Vec<ClipEncoderLayer>,
    final_layer_norm: LayerNorm,
}

impl ClipTextModel {
    /// New weights.
    pub fn new(vs: &Path, config: &ClipTextConfig) -> Self {
        let vs = vs / "text_model";
        let embeddings = &vs / "embeddings";
        let layers = &vs / "encoder" / "layers";
        let embedding = |key: &str, count| {
            nn::embedding(&embeddings / key, count, config.hidden_size, Default::default())
        };
        Self {
            token_embedding: embedding("token_embedding", config.vocab_size),
            position_embedding: embedding("position_embedding", config.max_position_embeddings),
            layers: (0..config.num_hidden_layers)
                .map(|index| ClipEncoderLayer::new(&(&layers / index), config))
                .collect(),
            final_layer_norm: layer_norm(&vs / "final_layer_norm", config),
        }
    }

    /// - `input_ids`: `[n, tokens]`, i64
    /// - returns the last hidden state, `[n, tokens, hidden_size]`
    pub fn forward(&self, input_ids: &Tensor) -> Tensor {
        let positions = Tensor::arange(input_ids.size()[1], (Kind::Int64, input_ids.device()));
        let embedded = input_ids.apply(&self.token_embedding) + positions.apply(&self.position_embedding);
        self.layers
            .iter()
            .fold(embedded, |hidden_states, layer| layer.forward(&hidden_states))
            .apply(&self.final_layer_norm)
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
    fn new(vs: &Path, config: &ClipTextConfig) -> Self {
        let mlp = vs / "mlp";
        Self {
            layer_norm1: layer_norm(vs / "layer_norm1", config),
            self_attn: ClipAttention::new(&(vs / "self_attn"), config),
            layer_norm2: layer_norm(vs / "layer_norm2", config),
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

/// Each token reads itself and those before it.
#[derive(Debug)]
struct ClipAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: i64,
}

impl ClipAttention {
    fn new(vs: &Path, config: &ClipTextConfig) -> Self {
        let project = |key: &str| linear(vs / key, config.hidden_size, config.hidden_size);
        Self {
            q_proj: project("q_proj"),
            k_proj: project("k_proj"),
            v_proj: project("v_proj"),
            out_proj: project("out_proj"),
            heads: config.num_attention_heads,
        }
    }

    fn forward(&self, hidden_states: &Tensor) -> Tensor {
        let [query, key, value] = [&self.q_proj, &self.k_proj, &self.v_proj]
            .map(|project| hidden_states.apply(project).unflatten(-1, [self.heads, -1]).transpose(1, 2));
        // [n, heads, tokens, head_dim]
        let mixed =
            Tensor::scaled_dot_product_attention(&query, &key, &value, NO_MASK, 0.0, true, None, false);
        mixed.transpose(1, 2).flatten(2, 3).apply(&self.out_proj)
    }
}

fn layer_norm(vs: Path, config: &ClipTextConfig) -> LayerNorm {
    let options = LayerNormConfig { eps: config.layer_norm_eps, ..Default::default() };
    nn::layer_norm(vs, vec![config.hidden_size], options)
}

fn quick_gelu() -> Activation {
    Activation::QuickGelu
}
fn layer_norm_eps() -> f64 {
    1e-5
}

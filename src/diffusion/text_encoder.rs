//! CLIP's text encoder, of any size. Keys and config: transformers' `CLIPTextModel`.

use serde::Deserialize;
use tch::{
    Kind, Tensor,
    nn::{self, Embedding, LayerNorm, Path},
};

use super::{
    clip_encoder::{ClipEncoder, ClipEncoderConfig, Reads, layer_norm_eps, quick_gelu},
    config::Activation,
};
use crate::weights::NetworkConfig;

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

impl ClipTextConfig {
    fn encoder(&self) -> ClipEncoderConfig {
        ClipEncoderConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            hidden_act: self.hidden_act,
            layer_norm_eps: self.layer_norm_eps,
        }
    }
}

/// The text encoder. All keys begin with `text_model`.
#[derive(Debug)]
pub struct ClipTextModel {
    token_embedding: Embedding,
    position_embedding: Embedding,
    encoder: ClipEncoder,
    final_layer_norm: LayerNorm,
}

impl ClipTextModel {
    /// New weights.
    pub fn new(vs: &Path, config: &ClipTextConfig) -> Self {
        let vs = vs / "text_model";
        let embeddings = &vs / "embeddings";
        let embedding = |key: &str, count| {
            nn::embedding(&embeddings / key, count, config.hidden_size, Default::default())
        };
        let encoder = config.encoder();
        Self {
            token_embedding: embedding("token_embedding", config.vocab_size),
            position_embedding: embedding("position_embedding", config.max_position_embeddings),
            encoder: ClipEncoder::new(&(&vs / "encoder"), &encoder, Reads::Before),
            final_layer_norm: encoder.layer_norm(&vs / "final_layer_norm"),
        }
    }

    /// - `input_ids`: `[n, tokens]`, i64
    /// - returns the last hidden state, `[n, tokens, hidden_size]`
    pub fn forward(&self, input_ids: &Tensor) -> Tensor {
        let positions = Tensor::arange(input_ids.size()[1], (Kind::Int64, input_ids.device()));
        let embedded = input_ids.apply(&self.token_embedding) + positions.apply(&self.position_embedding);
        self.encoder.forward(embedded).apply(&self.final_layer_norm)
    }
}

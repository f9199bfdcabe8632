//! CLIP's two halves, of any size. Keys and config: transformers' `CLIPModel`.

use gstflowvid::{
    diffusion::{ClipEncoder, ClipEncoderConfig, ClipTextConfig, ClipTextModel, Reads},
    weights::NetworkConfig,
};
use serde::{Deserialize, de::Error as _};
use serde_json::{Value, json};
use tch::{
    Kind, Tensor,
    nn::{self, ConvConfig, Embedding, Init, LayerNorm, Linear, LinearConfig, Path},
};

/// An end token with this number is an old config's slip: the text then ends at its greatest token.
const NO_END: i64 = 2;
/// The logarithm of 1 over 0.07.
const LOGIT_SCALE: f64 = 2.6592;

/// `config.json`. What it leaves out is what transformers takes then.
#[derive(Debug, Clone)]
pub struct ClipConfig {
    pub text: ClipTextConfig,
    pub vision: ClipVisionConfig,
    /// Width of the features that are compared.
    projection_dim: i64,
    eos_token_id: i64,
}

/// `vision_config`
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ClipVisionConfig {
    #[serde(flatten)]
    encoder: ClipEncoderConfig,
    /// Side of the square pictures that it takes.
    pub image_size: i64,
    /// Side of the square that becomes one token.
    patch_size: i64,
    num_channels: i64,
}

impl NetworkConfig for ClipConfig {
    const CLASSES: &'static [&'static str] = &["CLIPModel"];
}

impl<'de> Deserialize<'de> for ClipConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Value::deserialize(deserializer)?;
        let text = given(&config, "text_config", text_defaults());
        let vision = given(&config, "vision_config", vision_defaults());
        let number = |value: &Value, default: i64| value.as_i64().unwrap_or(default);
        Ok(Self {
            eos_token_id: number(&text["eos_token_id"], 49407),
            projection_dim: number(&config["projection_dim"], 512),
            text: serde_json::from_value(text).map_err(D::Error::custom)?,
            vision: serde_json::from_value(vision).map_err(D::Error::custom)?,
        })
    }
}

/// A part's fields over the defaults; an old file has it a second time, as `..._dict`, which wins.
fn given(config: &Value, part: &str, mut fields: Value) -> Value {
    for name in [part.to_owned(), format!("{part}_dict")] {
        for (field, value) in config[name].as_object().into_iter().flatten() {
            fields[field] = value.clone();
        }
    }
    fields
}

fn text_defaults() -> Value {
    json!({
        "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
        "num_attention_heads": 8, "max_position_embeddings": 77
    })
}

fn vision_defaults() -> Value {
    json!({
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "image_size": 224, "patch_size": 32, "num_channels": 3
    })
}

/// The network.
#[derive(Debug)]
pub struct Clip {
    text_model: ClipTextModel,
    vision_model: VisionModel,
    text_projection: Linear,
    visual_projection: Linear,
    eos_token_id: i64,
}

impl Clip {
    /// New weights.
    pub fn new(vs: &Path, config: &ClipConfig) -> Self {
        let projection = |key: &str, width: i64| {
            let no_bias = LinearConfig { bias: false, ..Default::default() };
            nn::linear(vs / key, width, config.projection_dim, no_bias)
        };
        // Scales cosines in training; the files have it.
        let _ = vs.var("logit_scale", &[], Init::Const(LOGIT_SCALE));
        Self {
            text_model: ClipTextModel::new(vs, &config.text),
            vision_model: VisionModel::new(&(vs / "vision_model"), &config.vision),
            text_projection: projection("text_projection", config.text.hidden_size),
            visual_projection: projection("visual_projection", config.vision.encoder.hidden_size),
            eos_token_id: config.eos_token_id,
        }
    }

    /// transformers' `get_text_features`.
    ///
    /// - `input_ids`: `[n, tokens]`, i64, with an end token each
    /// - returns `[n, projection_dim]`
    pub fn text_features(&self, input_ids: &Tensor) -> Tensor {
        let hidden_states = self.text_model.forward(input_ids);
        let end = if self.eos_token_id == NO_END {
            input_ids.argmax(1, true)
        } else {
            input_ids.eq(self.eos_token_id).to_kind(Kind::Int).argmax(1, true)
        }; // [n, 1]
        let width = hidden_states.size()[2];
        let end = end.unsqueeze(2).expand([-1, 1, width], false);
        hidden_states.gather(1, &end, false).squeeze_dim(1).apply(&self.text_projection)
    }

    /// transformers' `get_image_features`.
    ///
    /// - `pixel_values`: `[n, 3, image_size, image_size]`, normalised
    /// - returns `[n, projection_dim]`
    pub fn image_features(&self, pixel_values: &Tensor) -> Tensor {
        self.vision_model.forward(pixel_values).apply(&self.visual_projection)
    }
}

/// `vision_model`
#[derive(Debug)]
struct VisionModel {
    class_embedding: Tensor,
    patch_embedding: nn::Conv2D,
    position_embedding: Embedding,
    /// Key: `pre_layrnorm`.
    pre_layer_norm: LayerNorm,
    encoder: ClipEncoder,
    post_layernorm: LayerNorm,
}

impl VisionModel {
    fn new(vs: &Path, config: &ClipVisionConfig) -> Self {
        let (width, patch) = (config.encoder.hidden_size, config.patch_size);
        let embeddings = vs / "embeddings";
        let stride = ConvConfig { stride: patch, bias: false, ..Default::default() };
        let tokens = 1 + (config.image_size / patch).pow(2);
        Self {
            class_embedding: embeddings.var("class_embedding", &[width], Init::Const(0.0)),
            patch_embedding: nn::conv2d(
                &embeddings / "patch_embedding",
                config.num_channels,
                width,
                patch,
                stride,
            ),
            position_embedding: nn::embedding(
                &embeddings / "position_embedding",
                tokens,
                width,
                Default::default(),
            ),
            pre_layer_norm: config.encoder.layer_norm(vs / "pre_layrnorm"),
            encoder: ClipEncoder::new(&(vs / "encoder"), &config.encoder, Reads::All),
            post_layernorm: config.encoder.layer_norm(vs / "post_layernorm"),
        }
    }

    /// The picture as a whole, `[n, hidden_size]`.
    fn forward(&self, pixel_values: &Tensor) -> Tensor {
        let patches = pixel_values.apply(&self.patch_embedding).flatten(2, 3).transpose(1, 2);
        let class = self.class_embedding.expand([pixel_values.size()[0], 1, -1], false);
        let tokens = Tensor::cat(&[class, patches], 1) + &self.position_embedding.ws;
        let hidden_states = self.encoder.forward(tokens.apply(&self.pre_layer_norm));
        hidden_states.select(1, 0).apply(&self.post_layernorm)
    }
}

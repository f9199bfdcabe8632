//! DINOv2, a vision transformer, as far as Depth Anything reads it. Keys are transformers' `Dinov2Backbone`.

use tch::{
    Kind, Tensor,
    nn::{self, ConvConfig, Init, LayerNormConfig, Path},
};

use super::config::BackboneConfig;

fn linear(vs: Path, inputs: i64, outputs: i64) -> nn::Linear {
    nn::linear(vs, inputs, outputs, Default::default())
}

fn layer_norm(vs: Path, config: &BackboneConfig) -> nn::LayerNorm {
    let options = LayerNormConfig { eps: config.layer_norm_eps, ..Default::default() };
    nn::layer_norm(vs, vec![config.hidden_size], options)
}

/// `embeddings`: patches to tokens, a token for the whole picture before them, and where each one lies.
#[derive(Debug)]
struct Embeddings {
    cls_token: Tensor,
    position_embeddings: Tensor, // [1, 1 + (image_size / patch_size)^2, hidden_size]
    projection: nn::Conv2D,      // patch_embeddings.projection
    image_size: i64,
    patch_size: i64,
}

impl Embeddings {
    fn new(vs: &Path, config: &BackboneConfig) -> Self {
        let (channels, patch) = (config.hidden_size, config.patch_size);
        let learned = |name: &str, tokens: &[i64]| vs.var(name, tokens, Init::Const(0.0));
        // Only training hides patches behind it, but the files have it.
        let _ = learned("mask_token", &[1, channels]);
        let stride = ConvConfig { stride: patch, ..Default::default() };
        let patches = (config.image_size / patch).pow(2);
        Self {
            cls_token: learned("cls_token", &[1, 1, channels]),
            position_embeddings: learned("position_embeddings", &[1, patches + 1, channels]),
            projection: nn::conv2d(vs / "patch_embeddings" / "projection", 3, channels, patch, stride),
            image_size: config.image_size,
            patch_size: patch,
        }
    }

    /// - `pictures`: `[n, 3, H, W]`, sides multiples of the patch size
    /// - returns `[n, 1 + tokens, hidden_size]`
    fn forward(&self, pictures: &Tensor) -> Tensor {
        let [n, _, height, width] = pictures.size()[..] else { unreachable!("an image is 4-dimensional") };
        let patches = pictures.apply(&self.projection).flatten(2, 3).transpose(1, 2);
        let tokens = Tensor::cat(&[self.cls_token.expand([n, -1, -1], false), patches], 1);
        tokens + self.positions(height, width)
    }

    /// The position embeddings, stretched to a picture of that size.
    fn positions(&self, height: i64, width: i64) -> Tensor {
        if (height, width) == (self.image_size, self.image_size) {
            return self.position_embeddings.shallow_clone();
        }
        let side = self.image_size / self.patch_size;
        let own = self.position_embeddings.narrow(1, 0, 1);
        let grid = self.position_embeddings.narrow(1, 1, side * side).transpose(1, 2);
        let grid = grid.unflatten(2, [side, side]).to_kind(Kind::Float); // [1, hidden_size, side, side]
        let size = [height / self.patch_size, width / self.patch_size];
        let stretched = grid.upsample_bicubic2d(size, false, None, None).to_kind(own.kind());
        Tensor::cat(&[own, stretched.flatten(2, 3).transpose(1, 2)], 1)
    }
}

/// `encoder.layer.N`
#[derive(Debug)]
struct Layer {
    norm1: nn::LayerNorm,
    query: nn::Linear, // attention.attention.query, and so on
    key: nn::Linear,
    value: nn::Linear,
    dense: nn::Linear,    // attention.output.dense
    layer_scale1: Tensor, // layer_scale1.lambda1
    norm2: nn::LayerNorm,
    fc1: nn::Linear, // mlp.fc1, mlp.fc2
    fc2: nn::Linear,
    layer_scale2: Tensor,
    heads: i64,
}

impl Layer {
    fn new(vs: &Path, config: &BackboneConfig) -> Self {
        let (channels, hidden) = (config.hidden_size, config.hidden_size * config.mlp_ratio);
        let attention = vs / "attention";
        let project = |name: &str| linear(&attention / "attention" / name, channels, channels);
        let scale = |name: &str| (vs / name).var("lambda1", &[channels], Init::Const(1.0));
        Self {
            norm1: layer_norm(vs / "norm1", config),
            query: project("query"),
            key: project("key"),
            value: project("value"),
            dense: linear(&attention / "output" / "dense", channels, channels),
            layer_scale1: scale("layer_scale1"),
            norm2: layer_norm(vs / "norm2", config),
            fc1: linear(vs / "mlp" / "fc1", channels, hidden),
            fc2: linear(vs / "mlp" / "fc2", hidden, channels),
            layer_scale2: scale("layer_scale2"),
            heads: config.num_attention_heads,
        }
    }

    /// `hidden_states`: `[n, tokens, hidden_size]`.
    fn forward(&self, hidden_states: &Tensor) -> Tensor {
        let attended = self.attend(&hidden_states.apply(&self.norm1)) * &self.layer_scale1;
        let hidden_states = hidden_states + attended;
        let fed = hidden_states.apply(&self.norm2).apply(&self.fc1).gelu("none").apply(&self.fc2);
        hidden_states + fed * &self.layer_scale2
    }

    fn attend(&self, hidden_states: &Tensor) -> Tensor {
        let [query, key, value] = [&self.query, &self.key, &self.value]
            .map(|project| hidden_states.apply(project).unflatten(-1, [self.heads, -1]).transpose(1, 2)); // [n, heads, tokens, head_dim]
        let mixed = Tensor::scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<Tensor>,
            0.0,
            false,
            None,
            false,
        );
        mixed.transpose(1, 2).flatten(2, 3).apply(&self.dense)
    }
}

/// `backbone`
#[derive(Debug)]
pub struct Backbone {
    embeddings: Embeddings,
    layers: Vec<Layer>, // encoder.layer
    layernorm: nn::LayerNorm,
    out_indices: Vec<i64>,
}

impl Backbone {
    pub fn new(vs: &Path, config: &BackboneConfig) -> Self {
        let layer = |index: i64| Layer::new(&(vs / "encoder" / "layer" / index), config);
        Self {
            embeddings: Embeddings::new(&(vs / "embeddings"), config),
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            layernorm: layer_norm(vs / "layernorm", config),
            out_indices: config.out_indices.clone(),
        }
    }

    /// The patches' tokens after the layers of `out_indices`.
    ///
    /// - `pictures`: `[n, 3, H, W]`, sides multiples of the patch size
    /// - returns `[n, hidden_size, H / patch_size, W / patch_size]` each
    pub fn forward(&self, pictures: &Tensor) -> Vec<Tensor> {
        let [.., height, width] = pictures.size()[..] else { unreachable!("an image is 4-dimensional") };
        let grid = [height, width].map(|side| side / self.embeddings.patch_size);
        let mut tokens = self.embeddings.forward(pictures);
        let mut stages = Vec::with_capacity(self.out_indices.len());
        for (index, layer) in self.layers.iter().enumerate() {
            tokens = layer.forward(&tokens);
            if self.out_indices.contains(&(index as i64 + 1)) {
                let patches = tokens.apply(&self.layernorm).narrow(1, 1, grid[0] * grid[1]);
                stages.push(patches.transpose(1, 2).unflatten(2, grid).contiguous());
            }
        }
        stages
    }
}

//! Attention and transformer blocks. Keys: diffusers' `models/attention.py`, `models/transformers/transformer_2d.py`.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use tch::{
    Tensor,
    nn::{self, Conv2D, GroupNorm, LayerNorm, Linear, Path},
};

use super::{
    config::KeyframeAttention,
    keyframes::{Context, KeyframeMemory},
    layers::{conv, group_norm, linear, linear_no_bias, zero_conv, zero_linear},
    resnet::halves,
};

const NO_MASK: Option<Tensor> = None;
static ATTENTIONS: AtomicU64 = AtomicU64::new(0);

/// What a transformer is built from.
#[derive(Debug, Clone, Copy)]
pub struct TransformerConfig {
    /// Channels of the picture, which is also the width of the tokens.
    pub channels: i64,
    /// Attention heads.
    pub heads: i64,
    /// Transformer blocks.
    pub layers: usize,
    /// Width of `encoder_hidden_states`.
    pub cross_attention_dim: i64,
    /// Groups of the norm before the tokens.
    pub norm_num_groups: i64,
    /// `proj_in`, `proj_out` are linear layers.
    pub use_linear_projection: bool,
    /// `attn1` reads the text too.
    pub only_cross_attention: bool,
    /// Where `attn1` takes keys and values from otherwise.
    pub attention: KeyframeAttention,
}

/// An encoded text. What each attention makes of it is made once, however many steps and keyframes see it, while the
/// networks' weights stay as they are.
#[derive(Debug)]
pub struct Text {
    /// `[1 or n, tokens, cross_attention_dim]`
    hidden_states: Tensor,
    /// Keys and values by attention, `[1 or n, heads, tokens, head_dim]`.
    projected: RefCell<HashMap<u64, [Tensor; 2]>>,
}

impl Text {
    /// - `hidden_states`: `[n, tokens, cross_attention_dim]`, or `[1, ...]`: all samples see the same
    pub fn new(hidden_states: Tensor) -> Self {
        Self { hidden_states, projected: RefCell::default() }
    }

    /// As it was given.
    pub fn hidden_states(&self) -> &Tensor {
        &self.hidden_states
    }

    /// For `n` samples.
    fn keys_and_values(&self, attention: &Attention, n: i64) -> [Tensor; 2] {
        let known = self
            .projected
            .borrow()
            .get(&attention.id)
            .map(|known| known.each_ref().map(Tensor::shallow_clone));
        let [key, value] = known.unwrap_or_else(|| {
            let made = [&attention.to_k, &attention.to_v]
                .map(|projection| attention.heads_of(&self.hidden_states.apply(projection)));
            if !made[0].requires_grad() {
                self.projected.borrow_mut().insert(attention.id, made.each_ref().map(Tensor::shallow_clone));
            }
            made
        });
        [key, value].map(|x| x.expand([n, -1, -1, -1], false))
    }
}

/// Multi-head attention.
#[derive(Debug)]
pub struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    /// Key: `to_out.0`.
    to_out: Linear,
    heads: i64,
    /// Tells it from all others of the process.
    id: u64,
}

impl Attention {
    /// Queries of width `query_dim`, keys and values of width `context_dim`.
    pub fn new(vs: &Path, query_dim: i64, context_dim: i64, heads: i64) -> Self {
        Self {
            to_q: linear_no_bias(vs / "to_q", query_dim, query_dim),
            to_k: linear_no_bias(vs / "to_k", context_dim, query_dim),
            to_v: linear_no_bias(vs / "to_v", context_dim, query_dim),
            to_out: linear(vs / "to_out" / 0, query_dim, query_dim),
            heads,
            id: ATTENTIONS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// - `hidden_states`: `[n, tokens, query_dim]`
    /// - returns the shape of `hidden_states`
    pub fn forward(&self, hidden_states: &Tensor, text: &Text) -> Tensor {
        self.mix(hidden_states, text.keys_and_values(self, hidden_states.size()[0]))
    }

    fn attend(&self, hidden_states: &Tensor, context: &Context) -> Tensor {
        let context =
            [&self.to_k, &self.to_v].map(|projection| self.heads_of(&context.projected(projection)));
        self.mix(hidden_states, context)
    }

    /// `[n, tokens, dim]` to `[n, heads, tokens, head_dim]`.
    fn heads_of(&self, tokens: &Tensor) -> Tensor {
        tokens.unflatten(-1, [self.heads, -1]).transpose(1, 2)
    }

    /// - `key`, `value`: `[n, heads, context_tokens, head_dim]`
    fn mix(&self, hidden_states: &Tensor, [key, value]: [Tensor; 2]) -> Tensor {
        let query = self.heads_of(&hidden_states.apply(&self.to_q));
        let mixed =
            Tensor::scaled_dot_product_attention(&query, &key, &value, NO_MASK, 0.0, false, None, false);
        mixed.transpose(1, 2).flatten(2, 3).apply(&self.to_out)
    }
}

/// Two linear layers with a gate between.
#[derive(Debug)]
pub struct FeedForward {
    /// Key: `net.0.proj`; values and gates together.
    proj: Linear,
    /// Key: `net.2`.
    out: Linear,
}

impl FeedForward {
    /// Four times as wide inside.
    pub fn new(vs: &Path, dim: i64) -> Self {
        let net = vs / "net";
        Self { proj: linear(&net / 0 / "proj", dim, 8 * dim), out: linear(&net / 2, 4 * dim, dim) }
    }

    /// `[n, tokens, dim]` to the same.
    pub fn forward(&self, hidden_states: &Tensor) -> Tensor {
        let [values, gates] = halves(&hidden_states.apply(&self.proj), 2);
        (values * gates.gelu("none")).apply(&self.out)
    }
}

/// Self-attention (over keyframes where the config asks for it), cross-attention to the text, feed-forward.
#[derive(Debug)]
pub struct BasicTransformerBlock {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff: FeedForward,
    only_cross_attention: bool,
    attention: KeyframeAttention,
}

impl BasicTransformerBlock {
    /// New weights.
    pub fn new(vs: &Path, config: &TransformerConfig) -> Self {
        let TransformerConfig { channels, heads, cross_attention_dim, only_cross_attention, .. } = *config;
        let norm = |key: &str| nn::layer_norm(vs / key, vec![channels], Default::default());
        let attn1_dim = if only_cross_attention { cross_attention_dim } else { channels };
        Self {
            norm1: norm("norm1"),
            attn1: Attention::new(&(vs / "attn1"), channels, attn1_dim, heads),
            norm2: norm("norm2"),
            attn2: Attention::new(&(vs / "attn2"), channels, cross_attention_dim, heads),
            norm3: norm("norm3"),
            ff: FeedForward::new(&(vs / "ff"), channels),
            only_cross_attention,
            attention: config.attention,
        }
    }

    /// - `hidden_states`: `[n, tokens, channels]`
    pub fn forward(&self, hidden_states: &Tensor, text: &Text, memory: &mut KeyframeMemory) -> Tensor {
        let normed = hidden_states.apply(&self.norm1);
        let context = if self.only_cross_attention {
            Context::Own(text.hidden_states.expand([hidden_states.size()[0], -1, -1], false))
        } else {
            memory.context(&normed, self.attention)
        };
        let hidden_states = hidden_states + self.attn1.attend(&normed, &context);
        let attended = self.attn2.forward(&hidden_states.apply(&self.norm2), text);
        let hidden_states = hidden_states + attended;
        &hidden_states + self.ff.forward(&hidden_states.apply(&self.norm3))
    }
}

/// `proj_in`, `proj_out`: a 1x1 convolution on the picture or a linear layer on the tokens.
#[derive(Debug)]
enum Projection {
    Conv(Conv2D),
    Linear(Linear),
}

/// A picture as tokens through transformer blocks, added to itself.
#[derive(Debug)]
pub struct Transformer2DModel {
    norm: GroupNorm,
    proj_in: Projection,
    transformer_blocks: Vec<BasicTransformerBlock>,
    proj_out: Projection,
}

impl Transformer2DModel {
    /// New weights; `proj_out` starts at zero.
    pub fn new(vs: &Path, config: &TransformerConfig) -> Self {
        let channels = config.channels;
        let blocks = vs / "transformer_blocks";
        let (proj_in, proj_out) = if config.use_linear_projection {
            let proj_in = linear(vs / "proj_in", channels, channels);
            (
                Projection::Linear(proj_in),
                Projection::Linear(zero_linear(vs / "proj_out", channels, channels)),
            )
        } else {
            let proj_in = conv(vs / "proj_in", [channels; 2], 1, 1);
            (Projection::Conv(proj_in), Projection::Conv(zero_conv(vs / "proj_out", [channels; 2], 1)))
        };
        Self {
            norm: group_norm(vs / "norm", config.norm_num_groups, channels, 1e-6),
            proj_in,
            transformer_blocks: (0..config.layers)
                .map(|index| BasicTransformerBlock::new(&(&blocks / index), config))
                .collect(),
            proj_out,
        }
    }

    /// `hidden_states`: `[n, channels, h, w]`; the result has the same shape.
    pub fn forward(&self, hidden_states: &Tensor, text: &Text, memory: &mut KeyframeMemory) -> Tensor {
        let width = hidden_states.size()[3];
        let normed = hidden_states.apply(&self.norm);
        let mut tokens = match &self.proj_in {
            Projection::Conv(conv) => to_tokens(&normed.apply(conv)),
            Projection::Linear(linear) => to_tokens(&normed).apply(linear),
        }; // [n, h * w, channels]
        for block in &self.transformer_blocks {
            tokens = block.forward(&tokens, text, memory);
        }
        let output = match &self.proj_out {
            Projection::Conv(conv) => to_picture(&tokens, width).apply(conv),
            Projection::Linear(linear) => to_picture(&tokens.apply(linear), width),
        };
        output + hidden_states
    }
}

/// `[n, c, h, w]` to `[n, h * w, c]`; free where the picture is channels-last.
fn to_tokens(picture: &Tensor) -> Tensor {
    picture.permute([0, 2, 3, 1]).flatten(1, 2)
}

/// `[n, h * w, c]` to `[n, c, h, w]`, channels-last.
fn to_picture(tokens: &Tensor, width: i64) -> Tensor {
    tokens.unflatten(1, [-1, width]).permute([0, 3, 1, 2])
}

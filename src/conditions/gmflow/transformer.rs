//! Attention within and between two frames' features, in shifted windows; and propagation of flow by it.

use std::f64::consts::TAU;

use tch::{
    Kind, Tensor,
    nn::{self, LinearConfig, Path},
};

use super::Config;

fn linear(vs: &Path, inputs: i64, outputs: i64, bias: bool) -> nn::Linear {
    nn::linear(vs, inputs, outputs, LinearConfig { bias, ..Default::default() })
}

/// `splits` by `splits` windows.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    pub splits: i64,
}

impl Windows {
    /// `[n, h, w, c]` to `[n * splits^2, h / splits, w / splits, c]`.
    fn split(self, maps: &Tensor) -> Tensor {
        let [batch, height, width, channels] = maps.size()[..] else {
            unreachable!("maps are 4-dimensional")
        };
        let (k, rows, columns) = (self.splits, height / self.splits, width / self.splits);
        let windows = maps.reshape([batch, k, rows, k, columns, channels]).permute([0, 1, 3, 2, 4, 5]);
        windows.reshape([batch * k * k, rows, columns, channels])
    }

    /// The inverse of [`split`](Self::split).
    fn merge(self, windows: &Tensor) -> Tensor {
        let [batch, rows, columns, channels] = windows.size()[..] else {
            unreachable!("maps are 4-dimensional")
        };
        let k = self.splits;
        let maps =
            windows.reshape([batch / (k * k), k, k, rows, columns, channels]).permute([0, 1, 3, 2, 4, 5]);
        maps.reshape([batch / (k * k), k * rows, k * columns, channels])
    }

    /// Half a window, which odd layers are shifted by.
    fn shift(self, height: i64, width: i64) -> [i64; 2] {
        [height / self.splits / 2, width / self.splits / 2]
    }

    /// -100 where two tokens of a shifted window come from different ends of the picture,
    /// `[splits^2, tokens, tokens]`.
    fn mask(self, like: &Tensor) -> Tensor {
        let [_, height, width, _] = like.size()[..] else { unreachable!("maps are 4-dimensional") };
        let region = |length: i64, shift: i64| {
            let window = length / self.splits;
            let region = |at: i64| i64::from(at >= length - window) + i64::from(at >= length - shift);
            Tensor::from_slice(&(0..length).map(region).collect::<Vec<_>>()).to_device(like.device())
        };
        let [down, right] = self.shift(height, width);
        let regions =
            region(height, down).view([1, height, 1, 1]) * 3 + region(width, right).view([1, 1, width, 1]);
        let regions = self.split(&regions).flatten(1, 3); // [splits^2, tokens]
        let differs = regions.unsqueeze(1).ne_tensor(&regions.unsqueeze(2));
        differs.to_kind(Kind::Float) * -100.0
    }
}

/// Adds the sine position encoding of each window.
///
/// - `features`: `[n, c, h, w]`
///
/// Source: DETR's `PositionEmbeddingSine`, normalised.
pub fn add_position(features: &Tensor, splits: i64) -> Tensor {
    let [_, channels, height, width] = features.size()[..] else {
        unreachable!("features are 4-dimensional")
    };
    let (rows, columns, half) = (height / splits, width / splits, channels / 2);
    let encode = |length: i64| {
        let places = Tensor::arange(length, (Kind::Float, features.device())) + 1.0;
        let places = places / (length as f64 + 1e-6) * TAU;
        let frequency = Tensor::arange(half, (Kind::Float, features.device())).divide_scalar_mode(2, "floor");
        let angles = places.unsqueeze(1) / Tensor::pow_scalar(10000.0, &(frequency * (2.0 / half as f64))); // [length, half]
        let pairs = angles.view([length, half / 2, 2]);
        let (even, odd) = (pairs.select(2, 0), pairs.select(2, 1));
        Tensor::stack(&[even.sin(), odd.cos()], 2).flatten(1, 2).transpose(0, 1) // [half, length]
    };
    let down =
        encode(rows).repeat([1, splits]).view([1, half, height, 1]).expand([1, half, height, width], false);
    let right =
        encode(columns).repeat([1, splits]).view([1, half, 1, width]).expand([1, half, height, width], false);
    features + Tensor::cat(&[down, right], 1)
}

/// `self_attn` and `cross_attn_ffn`; the first has no feed-forward network.
#[derive(Debug)]
struct TransformerLayer {
    q_proj: nn::Linear,
    k_proj: nn::Linear,
    v_proj: nn::Linear,
    merge: nn::Linear,
    norm1: nn::LayerNorm,
    mlp: Option<(nn::Linear, nn::Linear, nn::LayerNorm)>, // mlp.0, mlp.2, norm2
}

impl TransformerLayer {
    fn new(vs: &Path, config: &Config, has_ffn: bool) -> Self {
        let channels = config.feature_channels;
        let project = |name: &str| linear(&(vs / name), channels, channels, false);
        let norm = |name: &str| nn::layer_norm(vs / name, vec![channels], Default::default());
        let hidden = 2 * channels * config.ffn_dim_expansion;
        let mlp = || {
            let vs = vs / "mlp";
            (
                linear(&(&vs / 0), 2 * channels, hidden, false),
                linear(&(&vs / 2), hidden, channels, false),
                norm("norm2"),
            )
        };
        Self {
            q_proj: project("q_proj"),
            k_proj: project("k_proj"),
            v_proj: project("v_proj"),
            merge: project("merge"),
            norm1: norm("norm1"),
            mlp: has_ffn.then(mlp),
        }
    }

    /// `source`, `target`: `[n, h, w, c]`.
    fn forward(&self, source: &Tensor, target: &Tensor, windows: Windows, mask: Option<&Tensor>) -> Tensor {
        let [query, key, value] =
            [source.apply(&self.q_proj), target.apply(&self.k_proj), target.apply(&self.v_proj)];
        let message = windowed_attention([query, key, value], windows, mask);
        let message = message.apply(&self.merge).apply(&self.norm1);
        match &self.mlp {
            Some((first, second, norm)) => {
                let hidden = Tensor::cat(&[source, &message], -1).apply(first).gelu("none");
                source + hidden.apply(second).apply(norm)
            }
            None => source + message,
        }
    }
}

fn windowed_attention(projected: [Tensor; 3], windows: Windows, mask: Option<&Tensor>) -> Tensor {
    let [_, height, width, _] = projected[0].size()[..] else { unreachable!("maps are 4-dimensional") };
    let [down, right] = if mask.is_some() { windows.shift(height, width) } else { [0, 0] };
    let tokens = |maps: &Tensor| windows.split(&maps.roll([-down, -right], [1, 2])).flatten(1, 2);
    let [query, key, value] = projected.map(|maps| tokens(&maps)); // [n * splits^2, tokens, c]
    let batch = query.size()[0] / (windows.splits * windows.splits);
    let mask = mask.map(|mask| mask.repeat([batch, 1, 1]));
    let [query, key, value] = [query, key, value].map(|tokens| tokens.unsqueeze(1));
    let mask = mask.map(|mask| mask.unsqueeze(1));
    let mixed = Tensor::scaled_dot_product_attention(&query, &key, &value, mask, 0.0, false, None, false)
        .squeeze_dim(1);
    let mixed = mixed.view([-1, height / windows.splits, width / windows.splits, value.size()[3]]);
    windows.merge(&mixed).roll([down, right], [1, 2])
}

/// `transformer.*`
#[derive(Debug)]
pub struct Transformer {
    layers: Vec<(TransformerLayer, TransformerLayer)>, // layers.N.self_attn, layers.N.cross_attn_ffn
}

impl Transformer {
    pub fn new(vs: &Path, config: &Config) -> Self {
        let layer = |index: i64| {
            let vs = vs / "layers" / index;
            (
                TransformerLayer::new(&(&vs / "self_attn"), config, false),
                TransformerLayer::new(&(&vs / "cross_attn_ffn"), config, true),
            )
        };
        Self { layers: (0..config.num_transformer_layers).map(layer).collect() }
    }

    /// Each frame's features look at themselves and at the other's; every second layer in shifted windows.
    ///
    /// - `first`, `second`: `[n, c, h, w]`
    pub fn forward(&self, first: &Tensor, second: &Tensor, windows: Windows) -> (Tensor, Tensor) {
        let batch = first.size()[0];
        let mut maps = Tensor::cat(&[first, second], 0).permute([0, 2, 3, 1]).contiguous(); // [2n, h, w, c]
        let mask = windows.mask(&maps);
        for (index, (self_attn, cross_attn_ffn)) in self.layers.iter().enumerate() {
            let mask = (index % 2 == 1).then_some(&mask);
            let other = maps.roll([batch], [0]);
            maps = self_attn.forward(&maps, &maps, windows, mask);
            maps = cross_attn_ffn.forward(&maps, &other, windows, mask);
        }
        let maps = maps.permute([0, 3, 1, 2]).contiguous();
        (maps.narrow(0, 0, batch), maps.narrow(0, batch, batch))
    }
}

/// `feature_flow_attn.*`: flow is spread to where features are alike.
#[derive(Debug)]
pub struct FlowPropagation {
    q_proj: nn::Linear,
    k_proj: nn::Linear,
}

impl FlowPropagation {
    pub fn new(vs: &Path, channels: i64) -> Self {
        let project = |name: &str| linear(&(vs / name), channels, channels, true);
        Self { q_proj: project("q_proj"), k_proj: project("k_proj") }
    }

    /// Over the whole frame. The key is projected from the query, as the reference was trained.
    pub fn global(&self, features: &Tensor, flow: &Tensor) -> Tensor {
        let query = features.flatten(2, 3).transpose(1, 2).apply(&self.q_proj); // [n, hw, c]
        let key = query.apply(&self.k_proj);
        let value = flow.flatten(2, 3).transpose(1, 2); // [n, hw, 2]
        let scores = query.matmul(&key.transpose(1, 2)) / (query.size()[2] as f64).sqrt();
        let spread = scores.softmax(-1, Kind::Float).matmul(&value);
        spread.transpose(1, 2).contiguous().view(flow.size().as_slice())
    }

    /// Over a window of `radius`; beyond the border there is zero flow.
    pub fn local(&self, features: &Tensor, flow: &Tensor, radius: i64) -> Tensor {
        let [.., height, width] = flow.size()[..] else { unreachable!("a flow is 4-dimensional") };
        let tokens = features.permute([0, 2, 3, 1]);
        let project = |linear: &nn::Linear| tokens.apply(linear).permute([0, 3, 1, 2]);
        let (query, key) = (project(&self.q_proj), project(&self.k_proj));
        let pad = [radius, radius, radius, radius];
        let (key, value) = (key.constant_pad_nd(pad), flow.constant_pad_nd(pad));
        let side = 2 * radius + 1;
        let window =
            |maps: &Tensor, index: i64| maps.narrow(2, index / side, height).narrow(3, index % side, width);
        let channels = (features.size()[1] as f64).sqrt();
        let score = |index: i64| {
            (&query * window(&key, index)).sum_dim_intlist([1].as_slice(), true, Kind::Float) / channels
        };
        let share = Tensor::cat(&(0..side * side).map(score).collect::<Vec<_>>(), 1).softmax(1, Kind::Float);
        (0..side * side).map(|index| share.narrow(1, index, 1) * window(&value, index)).sum()
    }
}

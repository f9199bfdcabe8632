//! GMFlow: optical flow by global matching of transformer features. Keys are the reference's own.

mod backbone;
mod matching;
mod transformer;
mod upsampler;

use serde::Deserialize;
use tch::{Tensor, nn::Path};

use self::{
    backbone::Backbone,
    matching::{global_matching, local_matching},
    transformer::{FlowPropagation, Transformer, Windows, add_position},
    upsampler::Upsampler,
};
use super::{
    filters::imagenet,
    warp::{Border, Sampling, warp},
};
use crate::weights::NetworkConfig;

/// `config.json` of a GMFlow folder.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Feature channels.
    pub feature_channels: i64,
    /// Transformer layers.
    pub num_transformer_layers: i64,
    /// Hidden channels of a feed-forward network, as a multiple of its input's.
    pub ffn_dim_expansion: i64,
    /// From the finest features to full size.
    pub upsample_factor: i64,
    /// Windows a side of the attention, coarse and fine.
    pub attn_splits: [i64; 2],
    /// Radius of the fine stage's matching.
    pub corr_radius: i64,
    /// Radius of the fine stage's propagation.
    pub prop_radius: i64,
}

impl NetworkConfig for Config {
    const CLASSES: &'static [&'static str] = &["GMFlow"];
}

/// A frame's features, before attention; computed once and used for all its pairs.
#[derive(Debug)]
pub struct Features {
    coarse: Tensor, // [n, c, h/8, w/8] of the padded frame
    fine: Tensor,   // [n, c, h/4, w/4]
    size: [i64; 2],
}

/// The network.
#[derive(Debug)]
pub struct GmFlow {
    backbone: Backbone,
    transformer: Transformer,
    feature_flow_attn: FlowPropagation,
    upsampler: Upsampler,
    config: Config,
}

impl GmFlow {
    /// The network's variables are made under `vs`.
    pub fn new(vs: &Path, config: &Config) -> Self {
        Self {
            backbone: Backbone::new(&(vs / "backbone"), config.feature_channels),
            transformer: Transformer::new(&(vs / "transformer"), config),
            feature_flow_attn: FlowPropagation::new(&(vs / "feature_flow_attn"), config.feature_channels),
            upsampler: Upsampler::new(&(vs / "upsampler"), config),
            config: config.clone(),
        }
    }

    /// - `frames`: `[n, 3, H, W]`, 0..1, any size
    pub fn features(&self, frames: &Tensor) -> Features {
        let [.., height, width] = frames.size()[..] else { unreachable!("an image is 4-dimensional") };
        // Both stages' windows must divide the features' sides.
        let multiple = (8 * self.config.attn_splits[0]).max(4 * self.config.attn_splits[1]);
        let missing = |length: i64| (multiple - length % multiple) % multiple;
        let padded = frames.replication_pad2d([0, missing(width), 0, missing(height)]);
        let (fine, coarse) = self.backbone.forward(&imagenet(&padded));
        Features { coarse, fine, size: [height, width] }
    }

    /// The motion by global matching alone, both ways: `[n, 2, H, W]` each, pixels.
    pub fn coarse(&self, first: &Features, second: &Features) -> (Tensor, Tensor) {
        let flow = self.match_globally(first, second);
        let [.., height, width] = flow.size()[..] else { unreachable!("a flow is 4-dimensional") };
        let factor = 2 * self.config.upsample_factor;
        let full =
            flow.upsample_bilinear2d([height * factor, width * factor], true, None, None) * factor as f64;
        halves(&cropped(&full, first.size))
    }

    /// The whole network: the coarse motion, refined by local matching at twice the resolution.
    /// Both ways, `[n, 2, H, W]` each, pixels.
    ///
    /// With the weights of `models/gmflow` the local matching stays where the coarse one has put it: its
    /// softmax is saturated (0.93 to 1.00 of it on one cell of 4 pixels), so shifts of whole cells come out
    /// exact and others hardly move (3 pixels: 1.27 before it, 1.36 after). So it is in the original; what
    /// needs fractions of a cell refines [`Self::coarse`] with [`super::lucas_kanade`].
    pub fn forward(&self, first: &Features, second: &Features) -> (Tensor, Tensor) {
        let coarse = self.match_globally(first, second); // [2n, 2, h/8, w/8]
        let [.., height, width] = first.fine.size()[..] else { unreachable!("features are 4-dimensional") };
        let flow = coarse.upsample_bilinear2d([height, width], true, None, None) * 2.0;
        let frame = Tensor::cat(&[&first.fine, &second.fine], 0);
        let other = Tensor::cat(&[&second.fine, &first.fine], 0);
        let moved = warp(&other, &flow, Sampling::Bilinear, Border::Zeros);
        let splits = self.config.attn_splits[1];
        let (frame, moved) = self.attend(&frame, &moved, splits);
        let flow = flow + local_matching(&frame, &moved, self.config.corr_radius);
        let flow = self.feature_flow_attn.local(&frame, &flow, self.config.prop_radius);
        halves(&cropped(&self.upsampler.forward(&flow, &frame), first.size))
    }

    /// `[2n, 2, h/8, w/8]`, in pixels of that size: first to second, then back.
    fn match_globally(&self, first: &Features, second: &Features) -> Tensor {
        let (a, b) = self.attend(&first.coarse, &second.coarse, self.config.attn_splits[0]);
        let flow = global_matching(&a, &b);
        self.feature_flow_attn.global(&Tensor::cat(&[a, b], 0), &flow)
    }

    fn attend(&self, first: &Tensor, second: &Tensor, splits: i64) -> (Tensor, Tensor) {
        let (first, second) = (add_position(first, splits), add_position(second, splits));
        self.transformer.forward(&first, &second, Windows { splits })
    }
}

fn cropped(flow: &Tensor, [height, width]: [i64; 2]) -> Tensor {
    flow.narrow(2, 0, height).narrow(3, 0, width)
}

fn halves(both: &Tensor) -> (Tensor, Tensor) {
    let half = both.size()[0] / 2;
    (both.narrow(0, 0, half).contiguous(), both.narrow(0, half, half).contiguous())
}

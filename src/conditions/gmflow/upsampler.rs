//! Convex upsampling: each fine pixel is a learned mean of its nine coarse neighbours.

use tch::{
    Kind, Tensor,
    nn::{self, ConvConfig, Path},
};

use super::Config;

/// `upsampler.*`
#[derive(Debug)]
pub struct Upsampler {
    first: nn::Conv2D,  // upsampler.0
    second: nn::Conv2D, // upsampler.2
    factor: i64,
}

impl Upsampler {
    pub fn new(vs: &Path, config: &Config) -> Self {
        let factor = config.upsample_factor;
        let padded = ConvConfig { padding: 1, ..Default::default() };
        Self {
            first: nn::conv2d(vs / 0, 2 + config.feature_channels, 256, 3, padded),
            second: nn::conv2d(vs / 2, 256, factor * factor * 9, 1, Default::default()),
            factor,
        }
    }

    /// `flow`: `[n, 2, h, w]`, `features`: `[n, c, h, w]`; returns `[n, 2, h * factor, w * factor]`, pixels.
    pub fn forward(&self, flow: &Tensor, features: &Tensor) -> Tensor {
        let [batch, _, height, width] = flow.size()[..] else { unreachable!("a flow is 4-dimensional") };
        let k = self.factor;
        let weights = Tensor::cat(&[flow, features], 1).apply(&self.first).relu().apply(&self.second);
        let weights = weights.view([batch, 1, 9, k, k, height, width].as_slice()).softmax(2, Kind::Float);
        let nine = (flow * k as f64).im2col([3, 3], [1, 1], [1, 1], [1, 1]);
        let nine = nine.view([batch, 2, 9, 1, 1, height, width].as_slice());
        let fine = (weights * nine).sum_dim_intlist([2].as_slice(), false, Kind::Float); // [n, 2, k, k, h, w]
        fine.permute([0, 1, 4, 2, 5, 3]).reshape([batch, 2, k * height, k * width])
    }
}

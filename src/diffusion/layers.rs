//! The layers that every network here is made of: tch's, with the arguments that diffusers' networks need.

use tch::nn::{self, Conv2D, ConvConfig, GroupNorm, GroupNormConfig, Init, Linear, LinearConfig, Path};

/// Weights and biases of a layer whose branch starts silent, so that an untrained network is the identity.
const ZERO: Init = Init::Const(0.0);

/// A square convolution that keeps height and width (odd `kernel`) or halves them (`stride` 2).
pub(super) fn conv(vs: Path, channels: [i64; 2], kernel: i64, stride: i64) -> Conv2D {
    let config = ConvConfig { padding: kernel / 2, stride, ..Default::default() };
    nn::conv2d(vs, channels[0], channels[1], kernel, config)
}

/// The same, starting at zero.
pub(super) fn zero_conv(vs: Path, channels: [i64; 2], kernel: i64) -> Conv2D {
    let config = ConvConfig { padding: kernel / 2, ws_init: ZERO, bs_init: ZERO, ..Default::default() };
    nn::conv2d(vs, channels[0], channels[1], kernel, config)
}

/// A linear layer with a bias.
pub(super) fn linear(vs: Path, in_features: i64, out_features: i64) -> Linear {
    nn::linear(vs, in_features, out_features, LinearConfig::default())
}

/// A linear layer without a bias.
pub(super) fn linear_no_bias(vs: Path, in_features: i64, out_features: i64) -> Linear {
    nn::linear(vs, in_features, out_features, LinearConfig { bias: false, ..Default::default() })
}

/// A linear layer with a bias, starting at zero.
pub(super) fn zero_linear(vs: Path, in_features: i64, out_features: i64) -> Linear {
    nn::linear(vs, in_features, out_features, LinearConfig { ws_init: ZERO, bs_init: Some(ZERO), bias: true })
}

/// A group norm over channels.
pub(super) fn group_norm(vs: Path, groups: i64, channels: i64, eps: f64) -> GroupNorm {
    nn::group_norm(vs, groups, channels, GroupNormConfig { eps, ..Default::default() })
}

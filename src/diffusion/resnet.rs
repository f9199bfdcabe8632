//! Residual blocks and the layers that change resolution. Keys: diffusers' `models/resnet.py`.

use tch::{
    Tensor,
    nn::{self, Conv2D, ConvConfig, GroupNorm, Linear, Path},
};

use super::{
    config::{Activation, TimeScaleShift},
    layers::{conv, group_norm, linear, zero_conv},
};

/// What a residual block is built from.
#[derive(Debug, Clone, Copy)]
pub struct ResnetConfig {
    /// Channels that come in, skip connection included.
    pub in_channels: i64,
    /// Channels that leave.
    pub out_channels: i64,
    /// Width of `temb`; `None`: the block knows no time (VAE).
    pub temb_channels: Option<i64>,
    /// Groups of both norms.
    pub groups: i64,
    /// Epsilon of both norms.
    pub eps: f64,
    /// Between norm and convolution.
    pub activation: Activation,
    /// How `temb` enters.
    pub time_scale_shift: TimeScaleShift,
}

/// Two convolutions around the time embedding, and a skip connection.
#[derive(Debug)]
pub struct ResnetBlock2D {
    norm1: GroupNorm,
    conv1: Conv2D,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2D,
    conv_shortcut: Option<Conv2D>,
    activation: Activation,
    time_scale_shift: TimeScaleShift,
}

impl ResnetBlock2D {
    /// New weights; `conv2` starts at zero.
    pub fn new(vs: &Path, config: &ResnetConfig) -> Self {
        let ResnetConfig { in_channels, out_channels, groups, eps, .. } = *config;
        let time_channels = match config.time_scale_shift {
            TimeScaleShift::Default => out_channels,
            TimeScaleShift::ScaleShift => 2 * out_channels,
        };
        Self {
            norm1: group_norm(vs / "norm1", groups, in_channels, eps),
            conv1: conv(vs / "conv1", [in_channels, out_channels], 3, 1),
            time_emb_proj: config.temb_channels.map(|temb| linear(vs / "time_emb_proj", temb, time_channels)),
            norm2: group_norm(vs / "norm2", groups, out_channels, eps),
            conv2: zero_conv(vs / "conv2", [out_channels, out_channels], 3),
            conv_shortcut: (in_channels != out_channels)
                .then(|| conv(vs / "conv_shortcut", [in_channels, out_channels], 1, 1)),
            activation: config.activation,
            time_scale_shift: config.time_scale_shift,
        }
    }

    /// - `hidden_states`: `[n, in_channels, h, w]`
    /// - `temb`: `[n, temb_channels]`, or `None` for a block that knows no time
    /// - returns `[n, out_channels, h, w]`
    pub fn forward(&self, hidden_states: &Tensor, temb: Option<&Tensor>) -> Tensor {
        let residual = match &self.conv_shortcut {
            Some(conv_shortcut) => hidden_states.apply(conv_shortcut),
            None => hidden_states.shallow_clone(),
        };
        let hidden_states = self.activation.apply(&hidden_states.apply(&self.norm1)).apply(&self.conv1);
        let hidden_states = self.add_time(hidden_states, temb);
        residual + self.activation.apply(&hidden_states).apply(&self.conv2)
    }

    /// Second norm and time embedding, in the order that the config asks for.
    fn add_time(&self, hidden_states: Tensor, temb: Option<&Tensor>) -> Tensor {
        let time = self.time_emb_proj.as_ref().zip(temb).map(|(time_emb_proj, temb)| {
            self.activation.apply(temb).apply(time_emb_proj).unsqueeze(-1).unsqueeze(-1) // [n, c, 1, 1]
        });
        match (time, self.time_scale_shift) {
            (None, _) => hidden_states.apply(&self.norm2),
            (Some(time), TimeScaleShift::Default) => (hidden_states + time).apply(&self.norm2),
            (Some(time), TimeScaleShift::ScaleShift) => {
                let [scale, shift] = halves(&time, 1);
                hidden_states.apply(&self.norm2) * (scale + 1.0) + shift
            }
        }
    }
}

/// Halves height and width.
#[derive(Debug)]
pub struct Downsample2D {
    conv: Conv2D,
    padding: i64,
}

impl Downsample2D {
    /// `padding` 0 is the VAE's: one row and column of zeros at the bottom and right only.
    pub fn new(vs: &Path, channels: i64, padding: i64) -> Self {
        let config = ConvConfig { padding, stride: 2, ..Default::default() };
        Self { conv: nn::conv2d(vs / "conv", channels, channels, 3, config), padding }
    }

    /// `[n, c, h, w]` to `[n, c, h/2, w/2]`.
    pub fn forward(&self, hidden_states: &Tensor) -> Tensor {
        match self.padding {
            0 => hidden_states.pad([0, 1, 0, 1], "constant", 0.0).apply(&self.conv),
            _ => hidden_states.apply(&self.conv),
        }
    }
}

/// Repeats pixels up to a size, then convolves.
#[derive(Debug)]
pub struct Upsample2D {
    conv: Conv2D,
}

impl Upsample2D {
    /// New weights.
    pub fn new(vs: &Path, channels: i64) -> Self {
        Self { conv: conv(vs / "conv", [channels, channels], 3, 1) }
    }

    /// `[n, c, h, w]` to `[n, c, size[0], size[1]]`.
    pub fn forward(&self, hidden_states: &Tensor, size: [i64; 2]) -> Tensor {
        hidden_states.upsample_nearest2d(size, None, None).apply(&self.conv)
    }
}

/// Both halves of a tensor along `dim`.
pub(super) fn halves(tensor: &Tensor, dim: i64) -> [Tensor; 2] {
    let half = tensor.size()[dim as usize] / 2;
    [tensor.narrow(dim, 0, half), tensor.narrow(dim, half, half)]
}

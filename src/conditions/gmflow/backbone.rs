//! The convolutional encoder: features at a quarter and at an eighth of the frame's size.

use tch::{
    Tensor,
    nn::{self, ConvConfig, Path},
};

use crate::torch::channels_last;

fn conv(vs: &Path, inputs: i64, outputs: i64, kernel: i64, stride: i64, bias: bool) -> nn::Conv2D {
    let config = ConvConfig { stride, padding: kernel / 2, bias, ..Default::default() };
    nn::conv2d(vs, inputs, outputs, kernel, config)
}

/// InstanceNorm2d without parameters.
fn normalize(maps: &Tensor) -> Tensor {
    let none = || None::<Tensor>;
    maps.instance_norm(none(), none(), none(), none(), true, 0.1, 1e-5, false)
}

#[derive(Debug)]
struct ResidualBlock {
    conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    downsample: Option<nn::Conv2D>,
}

impl ResidualBlock {
    fn new(vs: &Path, inputs: i64, outputs: i64, stride: i64) -> Self {
        let changes = stride != 1 || inputs != outputs;
        Self {
            conv1: conv(&(vs / "conv1"), inputs, outputs, 3, stride, false),
            conv2: conv(&(vs / "conv2"), outputs, outputs, 3, 1, false),
            downsample: changes.then(|| conv(&(vs / "downsample" / 0), inputs, outputs, 1, stride, true)),
        }
    }

    fn forward(&self, maps: &Tensor) -> Tensor {
        let hidden = normalize(&maps.apply(&self.conv1)).relu();
        let hidden = normalize(&hidden.apply(&self.conv2)).relu();
        match &self.downsample {
            Some(downsample) => (normalize(&maps.apply(downsample)) + hidden).relu(),
            None => (maps + hidden).relu(),
        }
    }
}

/// `backbone.*`
#[derive(Debug)]
pub struct Backbone {
    conv1: nn::Conv2D,
    layers: Vec<ResidualBlock>, // layer1 to layer3, two blocks each
    conv2: nn::Conv2D,
    trident_conv: Tensor, // one kernel for both scales
}

impl Backbone {
    pub fn new(vs: &Path, channels: i64) -> Self {
        let layer = |name: &str, inputs: i64, outputs: i64, stride: i64| {
            let vs = vs / name;
            [
                ResidualBlock::new(&(&vs / 0), inputs, outputs, stride),
                ResidualBlock::new(&(&vs / 1), outputs, outputs, 1),
            ]
        };
        let layers = [layer("layer1", 64, 64, 1), layer("layer2", 64, 96, 2), layer("layer3", 96, 128, 1)];
        Self {
            conv1: conv(&(vs / "conv1"), 3, 64, 7, 2, false),
            layers: layers.into_iter().flatten().collect(),
            conv2: conv(&(vs / "conv2"), 128, channels, 1, 1, true),
            trident_conv: (vs / "trident_conv").var(
                "weight",
                &[channels, channels, 3, 3],
                nn::init::DEFAULT_KAIMING_UNIFORM,
            ),
        }
    }

    /// `frames`: `[n, 3, H, W]`; returns `[n, c, H/4, W/4]` and `[n, c, H/8, W/8]`.
    pub fn forward(&self, frames: &Tensor) -> (Tensor, Tensor) {
        let stem = normalize(&channels_last(frames).apply(&self.conv1)).relu();
        let maps = self.layers.iter().fold(stem, |maps, block| block.forward(&maps)).apply(&self.conv2);
        let branch = |stride: i64| {
            maps.conv2d(&self.trident_conv, None::<Tensor>, [stride, stride], [1, 1], [1, 1], 1).contiguous()
        };
        (branch(1), branch(2))
    }
}

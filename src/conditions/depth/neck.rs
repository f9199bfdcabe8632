//! The DPT neck and head: tokens become maps of four resolutions, which are fused into one picture of depth.

use tch::{
    Tensor,
    nn::{self, ConvConfig, ConvTransposeConfig, Module, Path},
};

use super::config::Config;

fn conv(vs: Path, inputs: i64, outputs: i64, kernel: i64, bias: bool) -> nn::Conv2D {
    let config = ConvConfig { padding: kernel / 2, bias, ..Default::default() };
    nn::conv2d(vs, inputs, outputs, kernel, config)
}

/// `neck.reassemble_stage.layers.N`
#[derive(Debug)]
struct Reassemble {
    projection: nn::Conv2D,
    resize: Option<Box<dyn Module>>,
}

impl Reassemble {
    fn new(vs: &Path, config: &Config, channels: i64, factor: f64) -> Self {
        let vs_resize = vs / "resize";
        let resize: Option<Box<dyn Module>> = if factor > 1.0 {
            let stride = factor as i64;
            let options = ConvTransposeConfig { stride, ..Default::default() };
            Some(Box::new(nn::conv_transpose2d(vs_resize, channels, channels, stride, options)))
        } else if factor < 1.0 {
            let options = ConvConfig { stride: (1.0 / factor) as i64, padding: 1, ..Default::default() };
            Some(Box::new(nn::conv2d(vs_resize, channels, channels, 3, options)))
        } else {
            None
        };
        Self { projection: conv(vs / "projection", config.reassemble_hidden_size, channels, 1, true), resize }
    }

    fn forward(&self, stage: &Tensor) -> Tensor {
        let maps = stage.apply(&self.projection);
        self.resize.as_ref().map_or_else(|| maps.shallow_clone(), |resize| resize.forward(&maps))
    }
}

/// `residual_layer1`, `residual_layer2`
#[derive(Debug)]
struct Residual {
    convolution1: nn::Conv2D,
    convolution2: nn::Conv2D,
}

impl Residual {
    fn new(vs: &Path, channels: i64) -> Self {
        let convolution = |name: &str| conv(vs / name, channels, channels, 3, true);
        Self { convolution1: convolution("convolution1"), convolution2: convolution("convolution2") }
    }

    fn forward(&self, maps: &Tensor) -> Tensor {
        maps + maps.relu().apply(&self.convolution1).relu().apply(&self.convolution2)
    }
}

/// `neck.fusion_stage.layers.N`; the first one's `residual_layer1` has weights and nothing to do.
#[derive(Debug)]
struct Fusion {
    projection: nn::Conv2D,
    residual_layer1: Residual,
    residual_layer2: Residual,
}

impl Fusion {
    fn new(vs: &Path, channels: i64) -> Self {
        Self {
            projection: conv(vs / "projection", channels, channels, 1, true),
            residual_layer1: Residual::new(&(vs / "residual_layer1"), channels),
            residual_layer2: Residual::new(&(vs / "residual_layer2"), channels),
        }
    }

    /// `fused`: what the coarser stages gave, at the size of `stage`; `size`: the next finer stage's.
    fn forward(&self, fused: Option<&Tensor>, stage: &Tensor, size: [i64; 2]) -> Tensor {
        let maps = match fused {
            Some(fused) => fused + self.residual_layer1.forward(stage),
            None => stage.shallow_clone(),
        };
        let maps = self.residual_layer2.forward(&maps);
        maps.upsample_bilinear2d(size, true, None, None).apply(&self.projection)
    }
}

/// `neck`
#[derive(Debug)]
pub struct Neck {
    reassemble: Vec<Reassemble>, // reassemble_stage.layers
    convs: Vec<nn::Conv2D>,
    fusion: Vec<Fusion>, // fusion_stage.layers, coarsest first
}

impl Neck {
    pub fn new(vs: &Path, config: &Config) -> Self {
        let channels = config.fusion_hidden_size;
        let stages = || config.neck_hidden_sizes.iter().zip(&config.reassemble_factors).zip(0i64..);
        let reassemble = |((&channels, &factor), index): ((&i64, &f64), i64)| {
            Reassemble::new(&(vs / "reassemble_stage" / "layers" / index), config, channels, factor)
        };
        let convolution =
            |((&stage, _), index): ((&i64, &f64), i64)| conv(vs / "convs" / index, stage, channels, 3, false);
        let fusion = |(_, index)| Fusion::new(&(vs / "fusion_stage" / "layers" / index), channels);
        Self {
            reassemble: stages().map(reassemble).collect(),
            convs: stages().map(convolution).collect(),
            fusion: stages().map(fusion).collect(),
        }
    }

    /// - `stages`: `[n, hidden_size, h, w]` each, in the order of the backbone's layers
    /// - returns `[n, fusion_hidden_size, 8 * h, 8 * w]`
    pub fn forward(&self, stages: &[Tensor]) -> Tensor {
        let assembled = stages.iter().zip(&self.reassemble).zip(&self.convs);
        let maps: Vec<Tensor> =
            assembled.map(|((stage, reassemble), conv)| reassemble.forward(stage).apply(conv)).collect();
        let size = |maps: &Tensor| [maps.size()[2], maps.size()[3]];
        let mut fused = None;
        for (fusion, index) in self.fusion.iter().zip((0..maps.len()).rev()) {
            let finer = match index {
                0 => size(&maps[0]).map(|side| 2 * side),
                _ => size(&maps[index - 1]),
            };
            fused = Some(fusion.forward(fused.as_ref(), &maps[index], finer));
        }
        fused.expect("a neck has stages")
    }
}

/// `head`
#[derive(Debug)]
pub struct Head {
    conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    conv3: nn::Conv2D,
}

impl Head {
    pub fn new(vs: &Path, config: &Config) -> Self {
        let (channels, hidden) = (config.fusion_hidden_size, config.head_hidden_size);
        Self {
            conv1: conv(vs / "conv1", channels, channels / 2, 3, true),
            conv2: conv(vs / "conv2", channels / 2, hidden, 3, true),
            conv3: conv(vs / "conv3", hidden, 1, 1, true),
        }
    }

    /// - `maps`: the neck's
    /// - returns `[n, 1, H, W]` of that `size`, not negative, the larger the nearer
    pub fn forward(&self, maps: &Tensor, size: [i64; 2]) -> Tensor {
        let maps = maps.apply(&self.conv1).upsample_bilinear2d(size, true, None, None);
        maps.apply(&self.conv2).relu().apply(&self.conv3).relu()
    }
}

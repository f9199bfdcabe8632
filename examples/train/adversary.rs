//! Somebody who is to tell the network's holes from true ones: a patch discriminator, part of the training alone.
//!
//! Source: Isola et al., "Image-to-image translation with conditional adversarial networks", with hinge losses.

use std::path::Path;

use tch::{
    Device, Kind, Tensor,
    nn::{self, Conv2D, ConvConfig, Module, VarStore},
};

use crate::{adamw::AdamW, checkpoint};

/// File of its checkpoint, beside the networks'.
pub const FILE: &str = "adversary.safetensors";
/// Its learning rate over the network's.
const RATE: f64 = 0.5;
/// Cells of its judgement, in pixels each way.
const CELL: i64 = 4;

pub struct Adversary {
    store: VarStore,
    layers: Vec<Conv2D>,
    optimizer: AdamW,
}

/// What it is shown beside a picture: its source, `[n, 3, H, W]`, 0..1; and where it is to look, `[n, 1, H, W]`, 0..1.
pub struct Shown<'a> {
    pub source: &'a Tensor,
    pub area: &'a Tensor,
}

impl Adversary {
    pub fn new(device: Device) -> Self {
        let store = VarStore::new(device);
        let root = store.root();
        let layer = |name: i64, inputs: i64, outputs: i64, stride: i64| {
            let config = ConvConfig { stride, padding: 1, ..Default::default() };
            nn::conv2d(&root / name, inputs, outputs, 3, config)
        };
        let layers = vec![
            layer(0, 6, 24, 1),
            layer(1, 24, 48, 2),
            layer(2, 48, 64, 2),
            layer(3, 64, 64, 1),
            layer(4, 64, 1, 1),
        ];
        let optimizer = AdamW::new(&store);
        Self { store, layers, optimizer }
    }

    /// One number a cell, higher where the picture seems true: `[n, 1, H / 4, W / 4]`.
    fn judge(&self, picture: &Tensor, source: &Tensor) -> Tensor {
        let mut hidden = Tensor::cat(&[picture, source], 1) * 2.0 - 1.0;
        let (last, inner) = self.layers.split_last().expect("five layers");
        for layer in inner {
            hidden = layer.forward(&hidden).leaky_relu();
        }
        last.forward(&hidden)
    }

    /// What the network loses by being found out.
    pub fn loss(&self, picture: &Tensor, shown: &Shown) -> Tensor {
        -over(&self.judge(picture, shown.source), shown.area)
    }

    /// Learns to tell `picture` from `truth`.
    pub fn learn(&mut self, picture: &Tensor, truth: &Tensor, shown: &Shown, learning_rate: f64) {
        self.optimizer.clear_gradients();
        let judged = |picture: &Tensor| self.judge(&picture.detach(), shown.source);
        let lost = over(&(-judged(truth) + 1.0).relu(), shown.area)
            + over(&(judged(picture) + 1.0).relu(), shown.area);
        lost.backward();
        self.optimizer.step(learning_rate * RATE);
    }

    /// Saves what a resumed run needs of it.
    pub fn save(&self, file: &Path) -> anyhow::Result<()> {
        checkpoint::save(file, &self.optimizer, &self.store, 0.0)
    }

    /// Goes on where it was saved; begins anew where it was not.
    pub fn restore(&mut self, file: &Path) -> anyhow::Result<()> {
        checkpoint::restore(file, &mut self.optimizer, &self.store).map(|_| ())
    }
}

/// The mean where `area` is high.
fn over(judgement: &Tensor, area: &Tensor) -> Tensor {
    let area = area.avg_pool2d([CELL; 2], [CELL; 2], [0, 0], false, true, None);
    (judgement * &area).sum(Kind::Float) / area.sum(Kind::Float).clamp_min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, smooth_noise};

    #[test]
    fn it_learns_to_tell_a_blurred_texture_from_a_sharp_one_where_it_looks() {
        let _ = gstflowvid::torch::Placement::cpu();
        let _random = Random::at(5, 0);
        let mut adversary = Adversary::new(Device::Cpu);
        let source = Tensor::zeros([2, 3, 32, 32], (Kind::Float, Device::Cpu)) + 0.5;
        let area = source.narrow(1, 0, 1).ones_like();
        let shown = Shown { source: &source, area: &area };
        let draw = |scale| smooth_noise([2, 3, 32, 32], scale, Device::Cpu) * 0.2 + 0.5;
        for _ in 0..40 {
            adversary.learn(&draw(4.0), &draw(1.0), &shown, 4e-3);
        }
        let loss = |scale| adversary.loss(&draw(scale), &shown).double_value(&[]);
        assert!(loss(4.0) > loss(1.0) + 0.5, "{} and {}", loss(4.0), loss(1.0));
        let nowhere = Shown { source: &source, area: &area.zeros_like() };
        assert_eq!(adversary.loss(&draw(4.0), &nowhere).double_value(&[]), 0.0);
    }
}

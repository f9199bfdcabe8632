//! Depth of a frame, by Depth Anything V2: near is bright, as depth ControlNets were trained.

mod backbone;
mod config;
mod neck;

use tch::{Kind, Tensor, nn::Path};

use self::{
    backbone::Backbone,
    neck::{Head, Neck},
};
use super::filters::imagenet;

pub use config::Config;

/// Shares of a frame's pixels that come out as black and as white.
const DARKEST: f64 = 0.02;
const BRIGHTEST: f64 = 0.98;
/// Share of the frame before in the range of depths that a frame is spread from.
const HELD: f64 = 0.5;
/// A frame whose depths lie closer than this is flat.
const FLAT: f64 = 1e-6;

/// The network: transformers' `DepthAnythingForDepthEstimation`.
#[derive(Debug)]
pub struct DepthAnything {
    backbone: Backbone,
    neck: Neck,
    head: Head,
    image_size: i64,
    patch_size: i64,
}

impl DepthAnything {
    /// The network's variables are made under `vs`.
    pub fn new(vs: &Path, config: &Config) -> Self {
        Self {
            backbone: Backbone::new(&(vs / "backbone"), &config.backbone_config),
            neck: Neck::new(&(vs / "neck"), config),
            head: Head::new(&(vs / "head"), config),
            image_size: config.backbone_config.image_size,
            patch_size: config.backbone_config.patch_size,
        }
    }

    /// Inverse depth up to an unknown scale and shift.
    ///
    /// - `pictures`: `[n, 3, H, W]`, normalised by ImageNet's statistics; sides are multiples of the patch size
    /// - returns `[n, 1, H, W]`, not negative, the larger the nearer
    pub fn forward(&self, pictures: &Tensor) -> Tensor {
        let [.., height, width] = pictures.size()[..] else { unreachable!("an image is 4-dimensional") };
        self.head.forward(&self.neck.forward(&self.backbone.forward(pictures)), [height, width])
    }

    /// The frames' depth as a spatial condition.
    ///
    /// The longer side is brought to the size that the network was trained on. Of each frame the 2nd and the 98th
    /// percentile become black and white, so that a few stray pixels decide nothing; half of that range is the frame
    /// before's, so that what comes near does not darken all else at once.
    ///
    /// - `frames`: `[n, 3, h, w]`, 0..1, in time order, of one shot
    /// - returns `[n, 3, h, w]`, 0..1, three equal channels, near is 1
    pub fn condition(&self, frames: &Tensor) -> Tensor {
        let [n, _, height, width] = frames.size()[..] else { unreachable!("an image is 4-dimensional") };
        let mut before = None;
        let depths = (0..n).map(|index| {
            let depth = self.estimate(&frames.narrow(0, index, 1));
            let range = held(range(&depth), before);
            before = Some(range);
            spread(&depth, range)
        });
        let depths = Tensor::cat(&depths.collect::<Vec<_>>(), 0);
        depths.upsample_bilinear2d([height, width], false, None, None).expand([n, 3, height, width], false)
    }

    /// `[1, 1, H, W]` at the network's own size.
    fn estimate(&self, frame: &Tensor) -> Tensor {
        let [.., height, width] = frame.size()[..] else { unreachable!("an image is 4-dimensional") };
        let size = network_size([height, width], self.image_size, self.patch_size);
        let resized = frame.internal_upsample_bicubic2d_aa(size, false, None, None).clamp(0.0, 1.0);
        self.forward(&imagenet(&resized))
    }
}

/// The longer side is `longest`, the other one keeps the aspect to a multiple of `patch`.
fn network_size(size: [i64; 2], longest: i64, patch: i64) -> [i64; 2] {
    let scale = longest as f64 / size[0].max(size[1]) as f64;
    size.map(|side| ((side as f64 * scale / patch as f64).round() as i64).max(1) * patch)
}

/// The depths that become black and white.
fn range(depth: &Tensor) -> [f64; 2] {
    let (sorted, _) = depth.flatten(0, -1).to_kind(Kind::Float).sort(0, false);
    let last = (sorted.size()[0] - 1) as f64;
    [DARKEST, BRIGHTEST].map(|share| sorted.double_value(&[(share * last).round() as i64]))
}

fn held(own: [f64; 2], before: Option<[f64; 2]>) -> [f64; 2] {
    let before = before.unwrap_or(own);
    [0, 1].map(|end| HELD * before[end] + (1.0 - HELD) * own[end])
}

fn spread(depth: &Tensor, [far, near]: [f64; 2]) -> Tensor {
    ((depth - far) / (near - far).max(FLAT)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::testing::uniform;

    #[test]
    fn a_frame_is_spread_over_black_to_white_whatever_its_scale() {
        let depth = uniform(3, &[1, 1, 40, 60]);
        for (scale, shift) in [(1.0, 0.0), (1e-3, 5.0), (700.0, 20.0)] {
            let depth = &depth * scale + shift;
            let shown = spread(&depth, range(&depth));
            let share = |at: Tensor| at.to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
            assert!((share(shown.eq(0.0)) - 0.02).abs() < 0.005, "{scale}: black");
            assert!((share(shown.eq(1.0)) - 0.02).abs() < 0.005, "{scale}: white");
            assert!((shown.mean(Kind::Float).double_value(&[]) - 0.5).abs() < 0.02, "{scale}");
        }
    }

    #[test]
    fn a_stray_pixel_and_a_flat_frame_do_no_harm() {
        let depth = uniform(4, &[1, 1, 40, 60]);
        let before = spread(&depth, range(&depth));
        let stray = depth.copy();
        let _ = stray.narrow(2, 0, 1).narrow(3, 0, 1).fill_(1e6);
        let change = (spread(&stray, range(&stray)) - before).abs().mean(Kind::Float).double_value(&[]);
        assert!(change < 0.001, "{change}");
        let flat = depth.zeros_like();
        assert_eq!(spread(&flat, range(&flat)).max().double_value(&[]), 0.0);
    }

    #[test]
    fn what_comes_near_does_not_darken_all_else_at_once() {
        let (calm, near) = ([0.0, 1.0], [0.0, 3.0]);
        let first = held(near, Some(calm));
        assert_eq!(first, [0.0, 2.0]);
        assert_eq!(held(near, Some(first)), [0.0, 2.5]);
        assert_eq!(held(near, None), near, "a shot begins with its own");
    }

    #[test]
    fn the_networks_size_keeps_the_aspect() {
        assert_eq!(network_size([256, 448], 518, 14), [294, 518]);
        assert_eq!(network_size([448, 256], 518, 14), [518, 294]);
        assert_eq!(network_size([64, 2048], 518, 14), [14, 518]);
    }
}

//! Dense Lucas-Kanade: refines a flow by the pictures' own gradients, in tensor operations.

use tch::Tensor;

use super::{
    filters::{enlarged, gaussian, halved, luma, median, scharr, smaller},
    flow::length,
    warp::{Border, Sampling, warp},
};

/// How a flow is refined.
#[derive(Debug, Clone)]
pub struct Refinement {
    /// How often the pictures are halved and the number of iterations there, coarse to fine.
    pub levels: Vec<(u32, usize)>,
    /// Sigma of the window in which motion is taken as constant, pixels.
    pub window: f64,
    /// Added to the gradient energy (grey 0..255, squared), so that flat windows keep the flow they have.
    pub damping: f64,
    /// Grey difference (0..255) at which a pixel's weight falls to one half: occluded pixels fall out.
    pub robust: f64,
    /// Longest step of one iteration, pixels.
    pub max_step: f64,
}

impl Default for Refinement {
    /// The values measured for the embedded model: three iterations at half size, three at full.
    fn default() -> Self {
        Self { levels: vec![(1, 3), (0, 2)], window: 2.0, damping: 6.0, robust: 20.0, max_step: 1.0 }
    }
}

impl Refinement {
    /// From no flow at all, over a pyramid down to a sixteenth.
    pub fn pyramid() -> Self {
        let levels = vec![(4, 6), (3, 5), (2, 4), (1, 3), (0, 2)];
        Self { levels, ..Self::default() }
    }

    /// From what was matched at half size.
    pub fn halved() -> Self {
        Self { levels: vec![(2, 4), (1, 3), (0, 1)], ..Self::default() }
    }

    /// From a tracked motion: each of its steps was refined before.
    pub fn tracked() -> Self {
        Self { levels: vec![(1, 2), (0, 1)], ..Self::default() }
    }

    /// From a motion that is off by a dozen pixels at most.
    pub fn steady() -> Self {
        Self { levels: vec![(3, 2), (2, 3), (1, 2), (0, 1)], ..Self::default() }
    }

    /// The same where two pixels more or less do not matter.
    pub fn rough() -> Self {
        Self { levels: vec![(3, 2), (2, 3)], ..Self::default() }
    }

    /// Refines `flow`, which leads from `source` to `target`.
    ///
    /// - `source`, `target`: `[n, 3, H, W]`, 0..1
    /// - `flow`: `[n, 2, H, W]`, pixels
    /// - returns `[n, 2, H, W]`
    ///
    /// Source: Lucas and Kanade 1981, with a Gaussian window, a robust weight and a median after each step.
    pub fn refine(&self, source: &Tensor, target: &Tensor, flow: &Tensor) -> Tensor {
        let (source, target) = (luma(source) * 255.0, luma(target) * 255.0);
        let mut flow = flow.copy(); // `+=` writes in place
        for &(halvings, iterations) in &self.levels {
            let [source, target] = [&source, &target].map(|image| smaller(image, halvings));
            let before = smaller(&flow, halvings) / f64::from(1 << halvings);
            let mut refined = before.shallow_clone();
            for _ in 0..iterations {
                refined = &refined + self.step(&source, &target, &refined);
            }
            // Only the change is enlarged: what the flow already resolves finely is kept.
            let change = (refined - before) * f64::from(1 << halvings);
            flow += enlarged(&change, halvings, &flow.size());
        }
        flow
    }

    /// The motion that one linearisation adds, `[n, 2, h, w]`. Beyond the gradients it is worked out at half the size: the
    /// window leaves nothing finer in it.
    fn step(&self, source: &Tensor, target: &Tensor, flow: &Tensor) -> Tensor {
        let warped = warp(target, flow, Sampling::Bilinear, Border::Replicate);
        let (x, y) = scharr(&((source + &warped) * 0.5));
        let change = warped - source;
        let weight = 1.0 / (1.0 + (&change / self.robust).square());
        let (along_x, along_y) = (&x * &weight, &y * &weight);
        let products = [&along_x * &x, &along_x * &y, &along_y * &y, &along_x * &change, &along_y * &change];
        let sums = gaussian(&halved(&Tensor::cat(&products, 1)), self.window / 2.0);
        let sum = |index: i64| sums.narrow(1, index, 1);
        let (xx, xy, yy) = (sum(0) + self.damping, sum(1), sum(2) + self.damping);
        let (xt, yt) = (sum(3), sum(4));
        let determinant = &xx * &yy - xy.square();
        let step = Tensor::cat(&[&xy * &yt - &yy * &xt, &xy * &xt - &xx * &yt], 1) / determinant;
        let step = &step * (self.max_step / length(&step).clamp_min(self.max_step));
        let known = halved(flow);
        enlarged(&(median(&(&known + step)) - known), 1, &flow.size())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::torch::testing::uniform;

    /// A smooth texture and the same seen `(x, y)` pixels further.
    fn moved(x: f64, y: f64) -> (Tensor, Tensor) {
        let texture = gaussian(&uniform(3, &[1, 3, 96, 128]), 2.0);
        let texture = (&texture - texture.min()) / (texture.max() - texture.min());
        let plane = Tensor::ones([1, 1, 96, 128], (Kind::Float, Device::Cpu));
        let back = Tensor::cat(&[&plane * -x, &plane * -y], 1);
        (texture.shallow_clone(), warp(&texture, &back, Sampling::Bicubic, Border::Replicate))
    }

    fn end_point_error(flow: &Tensor, x: f64, y: f64) -> f64 {
        let inside = flow.narrow(2, 16, 64).narrow(3, 16, 96);
        let (dx, dy) = (inside.narrow(1, 0, 1) - x, inside.narrow(1, 1, 1) - y);
        dx.hypot(&dy).mean(Kind::Float).double_value(&[])
    }

    #[test]
    fn small_motion_is_refined_from_nothing() {
        let (source, target) = moved(1.3, -0.6);
        let flow = Refinement::default().refine(
            &source,
            &target,
            &Tensor::zeros([1, 2, 96, 128], (Kind::Float, Device::Cpu)),
        );
        let error = end_point_error(&flow, 1.3, -0.6);
        assert!(error < 0.08, "{error}");
    }

    #[test]
    fn the_flow_that_is_refined_stays_as_it_was() {
        let ((source, target), begun) =
            (moved(1.3, -0.6), Tensor::zeros([1, 2, 96, 128], (Kind::Float, Device::Cpu)));
        let _ = Refinement::default().refine(&source, &target, &begun);
        assert_eq!(begun.abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn the_pyramid_finds_larger_motion() {
        let (source, target) = moved(9.0, 5.0);
        let flow = Refinement::pyramid().refine(
            &source,
            &target,
            &Tensor::zeros([1, 2, 96, 128], (Kind::Float, Device::Cpu)),
        );
        let error = end_point_error(&flow, 9.0, 5.0);
        assert!(error < 0.6, "{error}"); // of 10.3 pixels
    }
}

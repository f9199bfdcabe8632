//! Backward warping: a picture sampled along a flow.

use tch::{Kind, Tensor};

/// How a picture is sampled between its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// Four neighbours.
    Bilinear,
    /// Sixteen neighbours: softens less, may overshoot 0..1.
    Bicubic,
}

/// What lies outside the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// The nearest pixel of the edge.
    Replicate,
    /// Zero.
    Zeros,
}

/// `image` as seen from the frame that `flow` starts in: the result at p is the image at p + flow(p).
///
/// - `image`: `[n, c, H, W]`
/// - `flow`: `[n, 2, H, W]`, pixels, channel 0 is x
/// - returns `[n, c, H, W]`
pub fn warp(image: &Tensor, flow: &Tensor, sampling: Sampling, border: Border) -> Tensor {
    let mode = match sampling {
        Sampling::Bilinear => 0,
        Sampling::Bicubic => 2,
    };
    let padding = match border {
        Border::Zeros => 0,
        Border::Replicate => 1,
    };
    image.grid_sampler(&sampling_grid(flow), mode, padding, true)
}

/// Absolute pixel coordinates `p + flow(p)`, `[n, 2, H, W]`.
pub fn target_coordinates(flow: &Tensor) -> Tensor {
    let [.., height, width] = flow.size()[..] else { unreachable!("a flow is 4-dimensional") };
    let options = (flow.kind(), flow.device());
    let x = Tensor::arange(width, options).view([1, 1, 1, width]) + flow.narrow(1, 0, 1);
    let y = Tensor::arange(height, options).view([1, 1, height, 1]) + flow.narrow(1, 1, 1);
    Tensor::cat(&[x, y], 1)
}

/// The coordinates as `grid_sampler` wants them with aligned corners: `[n, H, W, 2]`, -1..1. A view: to lay them pair by
/// pair takes longer on a CPU than to sample by them.
fn sampling_grid(flow: &Tensor) -> Tensor {
    let [.., height, width] = flow.size()[..] else { unreachable!("a flow is 4-dimensional") };
    let axis = |length: i64| Tensor::linspace(-1.0, 1.0, length, (Kind::Float, flow.device()));
    let still = Tensor::stack(&Tensor::meshgrid_indexing(&[axis(width), axis(height)], "xy"), 0);
    let pixel = |length: i64| 2.0 / (length - 1).max(1) as f32;
    let pixels = Tensor::from_slice(&[pixel(width), pixel(height)]).to_device(flow.device());
    (still.unsqueeze(0) + flow * pixels.view([1, 2, 1, 1])).permute([0, 2, 3, 1])
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::torch::testing::uniform;

    fn noise(channels: i64) -> Tensor {
        uniform(1, &[2, channels, 20, 30])
    }

    fn shift(x: f64, y: f64) -> Tensor {
        let plane = Tensor::ones([2, 1, 20, 30], (Kind::Float, Device::Cpu));
        Tensor::cat(&[&plane * x, &plane * y], 1)
    }

    #[test]
    fn no_motion_changes_nothing() {
        for sampling in [Sampling::Bilinear, Sampling::Bicubic] {
            let warped = warp(&noise(3), &shift(0.0, 0.0), sampling, Border::Replicate);
            assert!((warped - noise(3)).abs().max().double_value(&[]) < 1e-5, "{sampling:?}");
        }
    }

    #[test]
    fn a_shift_looks_where_it_points() {
        for sampling in [Sampling::Bilinear, Sampling::Bicubic] {
            let warped = warp(&noise(3), &shift(3.0, -2.0), sampling, Border::Zeros);
            let inside = warped.narrow(2, 5, 10).narrow(3, 5, 20);
            let expected = noise(3).narrow(2, 3, 10).narrow(3, 8, 20);
            assert!((inside - expected).abs().max().double_value(&[]) < 1e-4, "{sampling:?}");
        }
    }
}

//! How far each pixel of a frame can be seen in another one.

use tch::{Kind, Tensor};

use super::{
    filters::{channel_mean, derivative, dilate, gaussian, mean, median},
    flow::length,
    warp::{Border, Sampling, target_coordinates, warp},
};

/// Bounds beyond which a pixel counts as not visible.
#[derive(Debug, Clone)]
pub struct Thresholds {
    /// Allowed forward-backward distance, as a share of both flows' lengths.
    pub relative: f64,
    /// And in pixels, added to it.
    pub absolute: f64,
    /// How far outside the picture a pixel may point, in pixels.
    pub margin: f64,
    /// Mean absolute colour difference in a 7x7 window, 0..1.
    pub photometric: f64,
    /// Smallest and largest stretch (singular values of the mapping's Jacobian).
    pub stretch: (f64, f64),
}

impl Default for Thresholds {
    /// Measured on real clips: tighter bounds flag eight points more of the picture; without the stretch
    /// test dark holes get striped smears.
    fn default() -> Self {
        Self { relative: 0.02, absolute: 2.0, margin: 0.5, photometric: 0.06, stretch: (0.55, 2.2) }
    }
}

/// Marks pixels where the way there and back misses them by more than `relative * (|to| + |from|) +
/// absolute` pixels.
///
/// - `to`, `from`: `[n, 2, H, W]`, pixels
/// - returns `[n, 1, H, W]`, bool, true = not visible there
///
/// Source: UniMatch `geometry.py` (norms not squared); FlowVid section 4.2.
pub fn forward_backward(to: &Tensor, from: &Tensor, relative: f64, absolute: f64) -> Tensor {
    let back = warp(from, to, Sampling::Bilinear, Border::Zeros);
    let missed = length(&(to + back));
    missed.gt_tensor(&((length(to) + length(from)) * relative + absolute))
}

/// How far each pixel of `source` is seen in `reference`: forward-backward distance, picture border,
/// colours and stretch decide; then specks are removed and the borders of what is hidden are grown and
/// softened.
///
/// - `to`: `[n, 2, H, W]`, from source to reference; `from`: back
/// - `source`, `reference`: `[n, 3, H, W]`, 0..1
/// - returns `[n, 1, H, W]`, 0..1, 1 = seen
pub fn confidence(
    to: &Tensor,
    from: &Tensor,
    source: &Tensor,
    reference: &Tensor,
    thresholds: &Thresholds,
) -> Tensor {
    let hidden = forward_backward(to, from, thresholds.relative, thresholds.absolute)
        .logical_or(&outside(to, thresholds.margin))
        .logical_or(&differs(to, source, reference, thresholds.photometric))
        .logical_or(&stretched(to, thresholds.stretch));
    let hidden = dilate(&median(&hidden.to_kind(Kind::Float)));
    1.0 - gaussian(&hidden, 1.5).maximum(&hidden)
}

/// Colour difference (0..1) and miss (pixels) at which a pixel is e times less likely of one surface.
const OTHER: f64 = 0.04;
const ASTRAY: f64 = 8.0;

/// How likely each pixel of `source` is of the surface that `to` leads to, though not of that very place of it: by colours, and by
/// how far the way there and back misses. What [`confidence`] rightly gives up, a smooth surface that turns, stretches or
/// comes into the light, is mostly still that surface.
///
/// - `to`: `[n, 2, H, W]`, from source to reference; `from`: back
/// - `source`, `reference`: `[n, 3, H, W]`, 0..1
/// - returns `[n, 1, H, W]`, 0..1
pub fn same_surface(to: &Tensor, from: &Tensor, source: &Tensor, reference: &Tensor) -> Tensor {
    let there = |maps: &Tensor| warp(maps, to, Sampling::Bilinear, Border::Zeros);
    let difference = mean(&channel_mean(&(source - there(reference)).abs()), 7);
    let missed = length(&(to + there(from)));
    let unlikely = (difference / OTHER).square() + (missed / ASTRAY).square();
    1.0 - dilate(&(1.0 - (-unlikely).exp()))
}

/// The share of pixels that are seen, 0..1.
pub fn visible_fraction(confidence: &Tensor) -> f64 {
    confidence.mean(Kind::Float).double_value(&[])
}

fn outside(to: &Tensor, margin: f64) -> Tensor {
    let [.., height, width] = to.size()[..] else { unreachable!("a flow is 4-dimensional") };
    let target = target_coordinates(to);
    let beyond = |channel: i64, length: i64| {
        let coordinate = target.narrow(1, channel, 1);
        coordinate.lt(-margin).logical_or(&coordinate.gt(length as f64 - 1.0 + margin))
    };
    beyond(0, width).logical_or(&beyond(1, height))
}

fn differs(to: &Tensor, source: &Tensor, reference: &Tensor, threshold: f64) -> Tensor {
    let warped = warp(reference, to, Sampling::Bilinear, Border::Replicate);
    let difference = channel_mean(&(source - warped).abs());
    mean(&difference, 7).gt(threshold)
}

/// Where the mapping p -> p + flow(p), smoothed over 5x5 pixels, stretches beyond `bounds` or folds.
fn stretched(to: &Tensor, bounds: (f64, f64)) -> Tensor {
    let smooth = mean(to, 5);
    let (along_x, along_y) = (derivative(&smooth, 3), derivative(&smooth, 2));
    let (a, c) = (along_x.narrow(1, 0, 1) + 1.0, along_x.narrow(1, 1, 1));
    let (b, d) = (along_y.narrow(1, 0, 1), along_y.narrow(1, 1, 1) + 1.0);
    let half_energy = (a.square() + b.square() + c.square() + d.square()) * 0.5;
    let determinant = a * d - b * c;
    let spread = (half_energy.square() - determinant.square()).clamp_min(0.0).sqrt();
    let largest = (&half_energy + &spread).sqrt();
    let smallest = (&half_energy - &spread).clamp_min(0.0).sqrt();
    smallest.lt(bounds.0).logical_or(&largest.gt(bounds.1)).logical_or(&determinant.le(0.0))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn uniform(x: f64) -> Tensor {
        let plane = Tensor::ones([1, 1, 32, 48], (Kind::Float, Device::Cpu));
        Tensor::cat(&[&plane * x, &plane * 0.0], 1)
    }

    fn grey() -> Tensor {
        Tensor::ones([1, 3, 32, 48], (Kind::Float, Device::Cpu)) * 0.5
    }

    fn seen(to: &Tensor, from: &Tensor, source: &Tensor, reference: &Tensor) -> f64 {
        visible_fraction(&confidence(to, from, source, reference, &Thresholds::default()))
    }

    #[test]
    fn a_still_picture_is_seen_whole() {
        assert_eq!(seen(&uniform(0.0), &uniform(0.0), &grey(), &grey()), 1.0);
    }

    #[test]
    fn each_test_hides_by_itself() {
        let still = uniform(0.0);
        assert!(seen(&uniform(6.0), &uniform(0.0), &grey(), &grey()) < 0.1, "the way back misses");
        let border = seen(&uniform(12.0), &uniform(-12.0), &grey(), &grey());
        assert!((0.6..0.8).contains(&border), "a quarter points outside: {border}");
        assert!(seen(&still, &still, &grey(), &(grey() + 0.2)) < 0.1, "other colours");
        let ramp =
            Tensor::arange(48, (Kind::Float, Device::Cpu)).view([1, 1, 1, 48]).expand([1, 1, 32, 48], false);
        let squeezed = Tensor::cat(&[&ramp * -0.8 + 19.0, &ramp * 0.0], 1);
        let back = Tensor::cat(&[&ramp * 4.0 - 95.0, &ramp * 0.0], 1);
        assert!(
            stretched(&squeezed, (0.55, 2.2)).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]) > 0.8
        );
        assert!(stretched(&back, (0.55, 2.2)).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]) > 0.8);
    }

    #[test]
    fn a_surface_that_is_only_roughly_followed_is_still_the_same_one() {
        let still = uniform(0.0);
        let likely = |to: &Tensor, from: &Tensor, reference: &Tensor| {
            visible_fraction(&same_surface(to, from, &grey(), reference))
        };
        assert!(seen(&uniform(4.0), &still, &grey(), &grey()) < 0.1, "too rough to be trusted");
        assert!(likely(&uniform(4.0), &still, &grey()) > 0.6, "all but what lies outside");
        assert!(likely(&uniform(30.0), &still, &grey()) < 0.05, "the way back misses by far");
        assert!(likely(&still, &still, &(grey() + 0.1)) < 0.05, "another colour");
    }

    #[test]
    fn unimatchs_own_thresholds_mark_a_miss() {
        let miss = |distance: f64| {
            let marked = forward_backward(&uniform(10.0), &uniform(-10.0 + distance), 0.01, 0.5);
            marked.narrow(3, 0, 30).to_kind(Kind::Float).mean(Kind::Float).double_value(&[])
        };
        assert_eq!((miss(0.6), miss(0.8)), (0.0, 1.0)); // the bound is 0.01 * (10 + 9.x) + 0.5 = 0.69
    }
}

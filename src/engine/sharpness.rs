//! Sharpness of an output frame, held to what its edit should have: every warp softens a little.

use tch::{Kind, Tensor};

use crate::conditions::filters::{gaussian, luma};

/// Width of the unsharp mask, in pixels.
const SIGMA: f64 = 0.8;
/// Most that is added of it; more makes halos.
const MAX_GAIN: f64 = 0.6;

/// Adds as much of an unsharp mask as brings the Laplacian energy of `picture` to `target` energy.
/// For outputs only: fed back into the next keyframe it would grow.
///
/// - `picture`: `[1, 3, H, W]`, 0..1
/// - `confidence`: `[1, 1, H, W]`, 0..1, where the picture was warped; elsewhere nothing is added
/// - `target`: see [`energy`]
pub fn hold(picture: &Tensor, confidence: &Tensor, target: f64) -> Tensor {
    let detail = picture - gaussian(picture, SIGMA);
    let (laplacian, detail_laplacian) = (laplacian(picture), laplacian(&detail));
    let mean = |values: Tensor| (values * confidence).mean(Kind::Float).double_value(&[]);
    let own = mean(laplacian.square());
    if own >= target {
        return picture.shallow_clone();
    }
    // |L(picture + gain * detail)|^2 = target, solved for the gain
    let (cross, square) = (mean(&laplacian * &detail_laplacian), mean(detail_laplacian.square()));
    let gain = ((cross * cross + square * (target - own)).sqrt() - cross) / square.max(1e-12);
    (picture + detail * confidence * gain.clamp(0.0, MAX_GAIN)).clamp(0.0, 1.0)
}

/// Mean Laplacian energy of the luma, weighted by `confidence`.
///
/// - `picture`: `[1, 3, H, W]`, 0..1
/// - `confidence`: `[1, 1, H, W]`, 0..1
pub fn energy(picture: &Tensor, confidence: &Tensor) -> f64 {
    (laplacian(picture).square() * confidence).mean(Kind::Float).double_value(&[])
}

/// `[1, 1, H, W]`, the 4-neighbour Laplacian of the luma.
fn laplacian(picture: &Tensor) -> Tensor {
    let luma = luma(picture);
    let padded = luma.replication_pad2d([1, 1, 1, 1]);
    let [.., height, width] = luma.size()[..] else { unreachable!("an image has a height and a width") };
    let at = |y: i64, x: i64| padded.narrow(2, y, height).narrow(3, x, width);
    at(0, 1) + at(2, 1) + at(1, 0) + at(1, 2) - luma * 4.0
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::torch::testing::uniform;

    #[test]
    fn a_softened_picture_gets_its_energy_back_and_a_sharp_one_is_left_alone() {
        let noise = uniform(5, &[1, 3, 48, 64]);
        let sharp = gaussian(&noise, 1.2);
        let everywhere = Tensor::ones([1, 1, 48, 64], (Kind::Float, Device::Cpu));
        let target = energy(&sharp, &everywhere);
        let soft = gaussian(&sharp, 0.6);
        let held = energy(&hold(&soft, &everywhere, target), &everywhere);
        assert!(energy(&soft, &everywhere) < 0.8 * target);
        assert!((held / target - 1.0).abs() < 0.25, "{held} of {target}");
        assert!(hold(&sharp, &everywhere, target).equal(&sharp));
    }
}

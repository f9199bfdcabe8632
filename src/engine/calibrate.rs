//! Colour and sharpness of an edited frame, held to what they should be.

use tch::{Kind, Tensor};

/// Bounds of a colour match, so that a shot that really changes is not forced back.
const GAIN: (f64, f64) = (0.8, 1.25);
const OFFSET: f64 = 0.1;
/// With fewer co-visible pixels than this share, nothing is known about the colours.
const MIN_SHARE: f64 = 0.05;
/// Keeps the gain finite on flat pictures.
const MIN_DEVIATION: f64 = 1e-3;
/// Where a pixel counts as visible.
const VISIBLE: f64 = 0.5;

/// Gain and offset a channel that bring `picture`'s statistics to `target`'s over the pixels that both
/// show, at most x0.8..1.25 and +-0.1.
///
/// - `picture`, `target`: `[1, 3, H, W]`, 0..1
/// - `confidence`: `[1, 1, H, W]`, 0..1; pixels above one half count
/// - returns `picture`, matched, `[1, 3, H, W]`, 0..1; unchanged where under 5 % of the pixels count
///
/// Source: FlowVid eq. 5, restricted to co-visible pixels.
pub fn match_color(picture: &Tensor, target: &Tensor, confidence: &Tensor) -> Tensor {
    let weight = confidence.gt(VISIBLE).to_kind(Kind::Float);
    if weight.mean(Kind::Float).double_value(&[]) < MIN_SHARE {
        return picture.shallow_clone();
    }
    let (mean, deviation) = statistics(picture, &weight);
    let (target_mean, target_deviation) = statistics(target, &weight);
    let gain = ((target_deviation + MIN_DEVIATION) / (deviation + MIN_DEVIATION)).clamp(GAIN.0, GAIN.1);
    let offset = (target_mean - &gain * mean).clamp(-OFFSET, OFFSET);
    (picture * gain + offset).clamp(0.0, 1.0)
}

/// Weighted mean and standard deviation a channel, each `[1, 3, 1, 1]`.
fn statistics(picture: &Tensor, weight: &Tensor) -> (Tensor, Tensor) {
    let sum = |values: Tensor| (values * weight).sum_dim_intlist([2, 3].as_slice(), true, Kind::Float);
    let total = weight.sum(Kind::Float);
    let mean = sum(picture.shallow_clone()) / &total;
    let variance = sum((picture - &mean).square()) / &total;
    (mean, variance.sqrt())
}

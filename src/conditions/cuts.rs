//! Where shots begin.

use tch::{Kind, Tensor};

use super::{
    filters::{luma, resize},
    flow::FlowEstimator,
    occlusion::{Thresholds, confidence, visible_fraction},
};

/// Frames are compared at this height and width.
const SIZE: (i64, i64) = (64, 112);
/// Mean absolute luma difference of neighbours (0..1) below which no flow is needed to see that they belong
/// together.
const SIMILAR: f64 = 0.02;

/// The indices of `frames` at which a shot begins, ascending; never 0, since nothing is known of what was
/// before.
///
/// - `frames`: in order, `[1, 3, H, W]` each, 0..1
/// - `threshold`: a cut is where less than this share of the frame is seen in the one before, 0..1. Measured:
///   at most .02 across cuts, at least .28 within shots
pub fn find(flow: &FlowEstimator, frames: &[&Tensor], threshold: f64) -> Vec<usize> {
    let small: Vec<Tensor> = frames.iter().map(|frame| resize(frame, SIZE)).collect();
    (1..small.len()).filter(|&index| is_cut(flow, &small[index - 1], &small[index], threshold)).collect()
}

fn is_cut(flow: &FlowEstimator, before: &Tensor, after: &Tensor, threshold: f64) -> bool {
    let difference = (luma(before) - luma(after)).abs().mean(Kind::Float).double_value(&[]);
    if difference < SIMILAR {
        return false;
    }
    let pair = flow.near(after, before);
    let seen = confidence(&pair.to, &pair.from, after, before, &Thresholds::default());
    visible_fraction(&seen) < threshold
}

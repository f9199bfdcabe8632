//! Motion between two source frames, both ways.

use tch::{Kind, Tensor};

use super::{
    gmflow::GmFlow,
    lucas_kanade::Refinement,
    occlusion::{Thresholds, confidence, visible_fraction},
    warp::{Border, Sampling, warp},
};

/// Of a tracked flow's pixels at least this share must be seen; where fewer are, the frames are matched
/// anew.
const TRACKED: f64 = 0.5;

/// The motion from a frame to another one and back, `[n, 2, H, W]` each, pixels.
#[derive(Debug)]
pub struct FlowPair {
    /// From the frame to the other.
    pub to: Tensor,
    /// From the other to the frame.
    pub from: Tensor,
}

impl FlowPair {
    fn of_both(both: &Tensor) -> Self {
        let half = both.size()[0] / 2;
        Self { to: both.narrow(0, 0, half), from: both.narrow(0, half, half) }
    }
}

/// Estimates motion: global matching by GMFlow's coarse stage, refined by dense Lucas-Kanade.
#[derive(Debug)]
pub struct FlowEstimator {
    gmflow: GmFlow,
}

impl FlowEstimator {
    /// An estimator that matches with `gmflow`.
    pub fn new(gmflow: GmFlow) -> Self {
        Self { gmflow }
    }

    /// Between frames that are close in time: Lucas-Kanade over a pyramid, from no motion.
    ///
    /// - `frame`, `other`: `[n, 3, H, W]`, 0..1
    pub fn near(&self, frame: &Tensor, other: &Tensor) -> FlowPair {
        let (a, b) = both_ways(frame, other);
        let still = a.narrow(1, 0, 2).zeros_like();
        FlowPair::of_both(&Refinement::pyramid().refine(&a, &b, &still))
    }

    /// Between any two frames of a shot: matched globally, then refined.
    ///
    /// - `frame`, `other`: `[n, 3, H, W]`, 0..1
    pub fn far(&self, frame: &Tensor, other: &Tensor) -> FlowPair {
        let matched = self.gmflow.coarse(&self.gmflow.features(frame), &self.gmflow.features(other));
        refine(frame, other, &matched.0, &matched.1)
    }

    /// From `frame` to a reference, by way of a frame between whose flow to the reference is known:
    /// composed, then refined directly against the reference, so that nothing drifts; matched anew where
    /// tracking has lost it.
    ///
    /// - `between_to_reference`: of the frame between
    /// - `to_between`: of `frame`
    /// - `frame`, `reference`: `[1, 3, H, W]`, 0..1
    pub fn track(
        &self,
        between_to_reference: &FlowPair,
        to_between: &FlowPair,
        frame: &Tensor,
        reference: &Tensor,
    ) -> FlowPair {
        let to = compose(&to_between.to, &between_to_reference.to);
        let from = compose(&between_to_reference.from, &to_between.from);
        let tracked = refine(frame, reference, &to, &from);
        let seen = |pair: &FlowPair| {
            visible_fraction(&confidence(&pair.to, &pair.from, frame, reference, &Thresholds::default()))
        };
        let share = seen(&tracked);
        if share >= TRACKED {
            return tracked;
        }
        let matched = self.far(frame, reference);
        if seen(&matched) > share { matched } else { tracked }
    }
}

/// The flow that follows `first`, then `second`, `[n, 2, H, W]`.
pub fn compose(first: &Tensor, second: &Tensor) -> Tensor {
    first + warp(second, first, Sampling::Bilinear, Border::Replicate)
}

fn refine(frame: &Tensor, other: &Tensor, to: &Tensor, from: &Tensor) -> FlowPair {
    let (a, b) = both_ways(frame, other);
    FlowPair::of_both(&Refinement::default().refine(&a, &b, &Tensor::cat(&[to, from], 0)))
}

/// Both directions as one batch: `[2n, 3, H, W]` each.
fn both_ways(frame: &Tensor, other: &Tensor) -> (Tensor, Tensor) {
    debug_assert_eq!(frame.kind(), Kind::Float);
    (Tensor::cat(&[frame, other], 0), Tensor::cat(&[other, frame], 0))
}

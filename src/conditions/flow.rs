//! Motion between two source frames, both ways.

use tch::{Kind, Tensor};

use super::{
    gmflow::{Features, GmFlow},
    lucas_kanade::Refinement,
    warp::{Border, Sampling, warp},
};

/// Of a tracked flow's pixels at least this share must be seen; where fewer are, the frames are matched
/// anew.
pub const TRACKED: f64 = 0.5;

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
        self.matched((frame, &self.features(frame)), (other, &self.features(other)))
    }

    /// What [`matched`](Self::matched) is told of a frame; computed once for all its pairs.
    pub fn features(&self, frame: &Tensor) -> Features {
        self.gmflow.features(frame)
    }

    /// As [`far`](Self::far), of frames with their features.
    pub fn matched(&self, frame: (&Tensor, &Features), other: (&Tensor, &Features)) -> FlowPair {
        let matched = self.gmflow.coarse(frame.1, other.1);
        refine(frame.0, other.0, &matched.0, &matched.1)
    }

    /// From `frame` to a reference, by way of a frame between whose flow to the reference is known:
    /// composed, then refined directly against the reference, so that nothing drifts. Where less than
    /// [`TRACKED`] of the frame is seen by it, tracking has lost the reference.
    ///
    /// - `between_to_reference`: of the frame between
    /// - `to_between`: of `frame`
    /// - `frame`, `reference`: `[1, 3, H, W]`, 0..1
    pub fn tracked(
        &self,
        between_to_reference: &FlowPair,
        to_between: &FlowPair,
        frame: &Tensor,
        reference: &Tensor,
    ) -> FlowPair {
        let to = compose(&to_between.to, &between_to_reference.to);
        let from = compose(&between_to_reference.from, &to_between.from);
        refine(frame, reference, &to, &from)
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

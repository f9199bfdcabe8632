//! Motion between two source frames, both ways.

use tch::{Kind, Tensor};

use super::{
    filters::resize,
    gmflow::{Features, GmFlow},
    lucas_kanade::Refinement,
    warp::{Border, Sampling, warp},
};

/// A match at half size that sees so much of the frame needs none at full size.
pub const CLEAR: f64 = 0.6;
/// Pixels of the shorter side below which half of it has too little to match.
const SHORTEST_HALVED: i64 = 192;

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

    /// As [`features`](Self::features), of the frame at half size: a quarter of the cost, for a little less sight.
    /// `None` for frames that are too small for it.
    pub fn half_features(&self, frame: &Tensor) -> Option<Features> {
        let [.., height, width] = frame.size()[..] else { unreachable!("an image is 4-dimensional") };
        let fits = height.min(width) >= SHORTEST_HALVED;
        fits.then(|| self.gmflow.features(&resize(frame, (height / 2, width / 2))))
    }

    /// As [`far`](Self::far), of frames with their features, both at full size or both at half.
    pub fn matched(&self, frame: (&Tensor, &Features), other: (&Tensor, &Features)) -> FlowPair {
        let (to, from) = self.gmflow.coarse(frame.1, other.1);
        if to.size()[2..] == frame.0.size()[2..] {
            return refine(frame.0, other.0, &to, &from, &Refinement::default());
        }
        let [to, from] = [to, from].map(|flow| resized(&flow, frame.0));
        refine(frame.0, other.0, &to, &from, &Refinement::halved())
    }

    /// From a frame to the two that it lies between, first and second as one batch: the motion between those is taken as
    /// steady, then refined. Their own motion to the frame only judges, and is refined roughly: where things speed up or
    /// stand still for a frame, all of it would else seem hidden.
    ///
    /// - `frame`, `ends`: `[1, 3, H, W]`, 0..1
    /// - `motion`: from the second end to the first one, and back
    /// - `time`: 0 at the first end, 1 at the second
    /// - returns `[2, 2, H, W]` each
    ///
    /// Source: the steady motion, Jiang et al., "Super SloMo", eq. 4.
    pub fn between(&self, frame: &Tensor, ends: [&Tensor; 2], motion: &FlowPair, time: f64) -> FlowPair {
        let left = 1.0 - time;
        let to_first = &motion.to * (time * time) - &motion.from * (time * left);
        let to_second = &motion.from * (left * left) - &motion.to * (time * left);
        let (frames, ends) = (Tensor::cat(&[frame, frame], 0), Tensor::cat(&ends, 0));
        FlowPair {
            to: Refinement::steady().refine(&frames, &ends, &Tensor::cat(&[to_first, to_second], 0)),
            from: Refinement::rough().refine(
                &ends,
                &frames,
                &Tensor::cat(&[&motion.from * time, &motion.to * left], 0),
            ),
        }
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
        refine(frame, reference, &to, &from, &Refinement::tracked())
    }
}

/// Length of each vector, `[n, 1, H, W]`, pixels.
pub fn length(flow: &Tensor) -> Tensor {
    (flow.narrow(1, 0, 1).square() + flow.narrow(1, 1, 1).square()).sqrt()
}

/// The flow that follows `first`, then `second`, `[n, 2, H, W]`.
pub fn compose(first: &Tensor, second: &Tensor) -> Tensor {
    first + warp(second, first, Sampling::Bilinear, Border::Replicate)
}

/// A flow brought to the size of `frame`, its vectors with it.
fn resized(flow: &Tensor, frame: &Tensor) -> Tensor {
    let ([.., height, width], [.., old_height, old_width]) = (&frame.size()[..], &flow.size()[..]) else {
        unreachable!("a frame and a flow are 4-dimensional")
    };
    let factors = [*width as f32 / *old_width as f32, *height as f32 / *old_height as f32];
    let factors = Tensor::from_slice(&factors).to_device(flow.device()).view([1, 2, 1, 1]);
    resize(flow, (*height, *width)) * factors
}

fn refine(frame: &Tensor, other: &Tensor, to: &Tensor, from: &Tensor, refinement: &Refinement) -> FlowPair {
    let (a, b) = both_ways(frame, other);
    FlowPair::of_both(&refinement.refine(&a, &b, &Tensor::cat(&[to, from], 0)))
}

/// Both directions as one batch: `[2n, 3, H, W]` each.
fn both_ways(frame: &Tensor, other: &Tensor) -> (Tensor, Tensor) {
    debug_assert_eq!(frame.kind(), Kind::Float);
    (Tensor::cat(&[frame, other], 0), Tensor::cat(&[other, frame], 0))
}

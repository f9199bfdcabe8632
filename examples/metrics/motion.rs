//! What of the source's motion the measures need.

use gstflowvid::conditions::{
    flow::{FlowEstimator, FlowPair},
    occlusion::{Thresholds, confidence},
    warp::{Border, Sampling, warp},
};
use tch::Tensor;

/// Pixels seen with more confidence than this are compared.
const SEEN: f64 = 0.9;
/// Pixels seen with less count as not shown at all.
const HIDDEN: f64 = 0.5;
/// Between the frames that are compared with their neighbours: prime to every usual keyframe interval, so
/// that keyframes and the frames between all have their turn.
const NEAR_STEP: usize = 3;
const FAR_STEP: usize = 8;

/// What a frame shows of another one.
#[derive(Debug)]
pub struct Sight {
    pub frame: usize,
    other: usize,
    to: Tensor, // [1, 2, H, W]
    /// Pixels of the frame that the other shows beyond doubt, `[1, 1, H, W]`, bool.
    pub seen: Tensor,
    /// Those that it does not show.
    pub hidden: Tensor,
}

impl Sight {
    fn of(sources: &[Tensor], frame: usize, other: usize, flow: &FlowPair) -> Self {
        let (source, reference) = (&sources[frame], &sources[other]);
        let confidence = confidence(&flow.to, &flow.from, source, reference, &Thresholds::default());
        let (seen, hidden) = (confidence.gt(SEEN), confidence.lt(HIDDEN));
        Self { frame, other, to: flow.to.shallow_clone(), seen, hidden }
    }

    /// The other frame of `video`, brought onto this one.
    pub fn carry(&self, video: &[Tensor]) -> Tensor {
        warp(&video[self.other], &self.to, Sampling::Bicubic, Border::Replicate)
    }
}

/// The motion of a source that has no cut, as far as the measures look at it.
#[derive(Debug)]
pub struct Motion {
    /// A frame, seen in the one before and in the one after.
    pub near: Vec<(Sight, Sight)>,
    /// A frame, seen [`Motion::FAR`] frames before.
    pub far: Vec<Sight>,
    /// A frame, seen in the first one.
    pub from_first: Vec<Sight>,
}

impl Motion {
    pub const FAR: usize = 16;

    /// By the engine's own estimator, but each pair on its own, without tracking.
    pub fn estimate(flow: &FlowEstimator, sources: &[Tensor]) -> Self {
        Self::with(sources, |frame, other| match frame.abs_diff(other) {
            1 => flow.near(&sources[frame], &sources[other]),
            _ => flow.far(&sources[frame], &sources[other]),
        })
    }

    /// - `flow`: from a frame to another, by number
    pub fn with(sources: &[Tensor], flow: impl Fn(usize, usize) -> FlowPair) -> Self {
        let sight = |frame: usize, other: usize| Sight::of(sources, frame, other, &flow(frame, other));
        let near = (1..sources.len().saturating_sub(1)).step_by(NEAR_STEP);
        let far = (Self::FAR..sources.len()).step_by(FAR_STEP);
        Self {
            near: near.map(|frame| (sight(frame, frame - 1), sight(frame, frame + 1))).collect(),
            far: far.map(|frame| sight(frame, frame - Self::FAR)).collect(),
            from_first: (FAR_STEP..sources.len()).step_by(FAR_STEP).map(|frame| sight(frame, 0)).collect(),
        }
    }
}

pub mod mask {
    use gstflowvid::conditions::filters::dilate;
    use tch::{Kind, Tensor};

    /// Two pixels to either side of an area's border, bool.
    pub fn border(area: &Tensor) -> Tensor {
        let (inside, outside) = (area.to_kind(Kind::Float), area.logical_not().to_kind(Kind::Float));
        (dilate(&inside) * dilate(&outside)).gt(0.5)
    }
}

//! How the keyframes of a run see the finished pictures: anchor, seed frame and the keyframe before.

use std::sync::OnceLock;

use tch::Tensor;

use super::{
    EngineError,
    composite::WarpedEdit,
    shot::{Edited, Shot, Sight},
    work::Work,
};
use crate::conditions::{
    flow::{CLEAR, FlowPair, TRACKED},
    gmflow::Features,
};

/// A source frame, and what the flow network makes of it, once it has been asked.
#[derive(Debug)]
pub struct SourceFrame {
    image: Tensor, // [1, 3, h, w], 0..1
    features: OnceLock<Features>,
    half_features: OnceLock<Option<Features>>,
}

impl SourceFrame {
    /// `image`: `[1, 3, h, w]`, 0..1.
    pub fn new(image: &Tensor) -> Self {
        Self { image: image.shallow_clone(), features: OnceLock::new(), half_features: OnceLock::new() }
    }

    fn features(&self, work: &mut Work) -> Result<&Features, EngineError> {
        let flow = &work.model.flow;
        work.run("flow", || self.features.get_or_init(|| flow.features(&self.image)))
    }

    fn half_features(&self, work: &mut Work) -> Result<Option<&Features>, EngineError> {
        let flow = &work.model.flow;
        work.run("flow", || self.half_features.get_or_init(|| flow.half_features(&self.image)).as_ref())
    }
}

/// A finished picture that the keyframes of a run are tracked to.
#[derive(Debug)]
struct Reference<'a> {
    edited: &'a Edited,
    frame: &'a SourceFrame,
    /// The last keyframe's.
    sight: Sight,
}

/// The sight of the anchor and of the run's first frame, tracked from keyframe to keyframe: composed
/// with the motion to the previous keyframe, then refined directly against the reference.
#[derive(Debug)]
pub struct Tracker<'a> {
    /// The anchor, and the run's first frame where that is another.
    references: Vec<Reference<'a>>,
}

impl<'a> Tracker<'a> {
    /// At the run's first keyframe: the shot's seed frame where the run is `seeded`, else its anchor.
    ///
    /// - `anchor`, `seed`: the source frames of the shot's
    pub fn new(shot: &'a Shot, seeded: bool, [anchor, seed]: [&'a SourceFrame; 2]) -> Self {
        let sight = shot.seed_sees_anchor.shallow_clone();
        let mut references = vec![Reference { edited: &shot.anchor, frame: anchor, sight }];
        if seeded && !shot.anchor_is_seed() {
            let sight = Sight::of_itself(&shot.seed.source);
            references.push(Reference { edited: &shot.seed, frame: seed, sight });
        }
        Self { references }
    }

    /// The warped edits for the next keyframe, the most trusted first: anchor, seed frame, previous keyframe.
    ///
    /// - `previous`: the keyframe before, and the sight of it
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn warped_edits(
        &mut self,
        work: &mut Work,
        frame: &SourceFrame,
        (previous, sees_previous): (&Edited, &Sight),
    ) -> Result<Vec<WarpedEdit>, EngineError> {
        let tracked = work.side_by_side(&self.references, |work, reference| {
            track(work, frame, (&reference.sight, &sees_previous.flow), reference.frame)
        })?;
        let mut edits = Vec::with_capacity(tracked.len() + 1);
        for (reference, sight) in self.references.iter_mut().zip(tracked) {
            edits.push(sight.warp(reference.edited));
            reference.sight = sight;
        }
        edits.push(sees_previous.warp(previous));
        Ok(edits)
    }

    /// The last keyframe's sight of the anchor.
    pub fn into_sees_anchor(mut self) -> Sight {
        self.references.swap_remove(0).sight
    }
}

/// The sight that each of `frames`, which are keyframes in order of time or against it, has of the one before it.
///
/// # Errors
/// [`EngineError::Cancelled`].
pub fn neighbours(work: &mut Work, frames: &[&SourceFrame]) -> Result<Vec<Sight>, EngineError> {
    let pairs: Vec<_> = frames.windows(2).collect();
    work.side_by_side(&pairs, |work, pair| matched(work, pair[1], pair[0]))
}

/// The frame's sight of `reference`, a neighbouring keyframe, found from nothing: at half size and, where that sees
/// little, at full size. In steps that can be called off one by one: on a CPU each is a large part of a second.
///
/// # Errors
/// [`EngineError::Cancelled`].
pub fn matched(work: &mut Work, frame: &SourceFrame, reference: &SourceFrame) -> Result<Sight, EngineError> {
    match half_matched(work, frame, reference)? {
        Some(half) if half.visible_fraction() >= CLEAR => Ok(half),
        half => Ok(better(half, whole_matched(work, frame, reference)?)),
    }
}

/// The one that sees more.
fn better(one: Option<Sight>, other: Sight) -> Sight {
    let share = other.visible_fraction();
    one.filter(|one| one.visible_fraction() >= share).unwrap_or(other)
}

fn whole_matched(
    work: &mut Work,
    frame: &SourceFrame,
    reference: &SourceFrame,
) -> Result<Sight, EngineError> {
    let (own, other) = (frame.features(work)?, reference.features(work)?);
    judged(work, (frame, own), (reference, other))
}

fn half_matched(
    work: &mut Work,
    frame: &SourceFrame,
    reference: &SourceFrame,
) -> Result<Option<Sight>, EngineError> {
    match (frame.half_features(work)?, reference.half_features(work)?) {
        (Some(own), Some(other)) => judged(work, (frame, own), (reference, other)).map(Some),
        _ => Ok(None),
    }
}

fn judged(
    work: &mut Work,
    frame: (&SourceFrame, &Features),
    reference: (&SourceFrame, &Features),
) -> Result<Sight, EngineError> {
    let model = work.model;
    let (image, other) = (&frame.0.image, &reference.0.image);
    work.run("flow", || {
        let pair = model.flow.matched((image, frame.1), (other, reference.1));
        Sight::new(pair, image, other)
    })
}

/// The frame's sight of `reference`; `known`: a neighbouring keyframe's, and the motion to that keyframe.
/// Where tracking has lost the reference, the two are matched anew.
///
/// # Errors
/// [`EngineError::Cancelled`].
pub fn track(
    work: &mut Work,
    frame: &SourceFrame,
    known: (&Sight, &FlowPair),
    reference: &SourceFrame,
) -> Result<Sight, EngineError> {
    let model = work.model;
    let tracked = work.run("flow", || {
        let pair = model.flow.tracked(&known.0.flow, known.1, &frame.image, &reference.image);
        Sight::new(pair, &frame.image, &reference.image)
    })?;
    if tracked.visible_fraction() >= TRACKED {
        return Ok(tracked);
    }
    Ok(better(Some(tracked), whole_matched(work, frame, reference)?))
}

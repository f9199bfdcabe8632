//! How the keyframes of a run see the finished pictures: anchor, seed frame and the keyframe before.

use std::{cell::OnceCell, rc::Rc};

use tch::Tensor;

use super::{
    EngineError,
    composite::WarpedEdit,
    shot::{Edited, Shot, Sight},
    work::Work,
};
use crate::conditions::{
    flow::{CLEAR, FlowEstimator, FlowPair, TRACKED},
    gmflow::Features,
};

/// A source frame, and what the flow network makes of it, once it has been asked.
#[derive(Debug)]
pub struct SourceFrame {
    image: Tensor, // [1, 3, h, w], 0..1
    features: OnceCell<Features>,
    half_features: OnceCell<Option<Features>>,
}

impl SourceFrame {
    /// `image`: `[1, 3, h, w]`, 0..1.
    pub fn new(image: &Tensor) -> Self {
        Self { image: image.shallow_clone(), features: OnceCell::new(), half_features: OnceCell::new() }
    }

    fn features(&self, work: &mut Work) -> Result<&Features, EngineError> {
        once(&self.features, work, |flow| flow.features(&self.image))
    }

    fn half_features(&self, work: &mut Work) -> Result<Option<&Features>, EngineError> {
        Ok(once(&self.half_features, work, |flow| flow.half_features(&self.image))?.as_ref())
    }
}

/// What `cell` holds, made by the flow network where it is still empty.
fn once<'a, T>(
    cell: &'a OnceCell<T>,
    work: &mut Work,
    make: impl FnOnce(&FlowEstimator) -> T,
) -> Result<&'a T, EngineError> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let model = work.model;
    let made = work.run("flow", || make(&model.flow))?;
    Ok(cell.get_or_init(|| made))
}

/// The sight of the anchor and of the run's first frame, tracked from keyframe to keyframe: composed
/// with the motion to the previous keyframe, then refined directly against the reference.
#[derive(Debug)]
pub struct Tracker<'a> {
    /// The previous keyframe with its edit.
    pub previous: (Rc<SourceFrame>, Edited),
    /// The last keyframe's sight of the anchor.
    pub sees_anchor: Sight,
    /// The last keyframe's motion to the one before it, and back.
    pub motion: Option<FlowPair>,
    shot: &'a Shot,
    anchor: Rc<SourceFrame>,
    /// Only where the run's first frame is not the anchor.
    seed: Option<(Rc<SourceFrame>, Sight)>,
}

impl<'a> Tracker<'a> {
    /// At the run's first keyframe: the shot's seed frame where the run is `seeded`, else its anchor.
    pub fn new(shot: &'a Shot, seeded: bool) -> Self {
        let first = Rc::new(SourceFrame::new(&shot.seed.source));
        let anchor = if shot.anchor_is_seed() {
            first.clone()
        } else {
            Rc::new(SourceFrame::new(&shot.anchor.source))
        };
        let seed = seeded && !shot.anchor_is_seed();
        let seed = seed.then(|| (first.clone(), Sight::of_itself(&shot.seed.source)));
        Self {
            previous: (first, shot.seed.shallow_clone()),
            sees_anchor: shot.seed_sees_anchor.shallow_clone(),
            motion: None,
            shot,
            anchor,
            seed,
        }
    }

    /// The warped edits for the next keyframe, the most trusted first: anchor, seed frame, previous
    /// keyframe. The keyframe is to become [`previous`](Self::previous) once its own edit is known.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn warped_edits(
        &mut self,
        work: &mut Work,
        frame: &SourceFrame,
    ) -> Result<Vec<WarpedEdit>, EngineError> {
        let sees_previous = matched(work, frame, &self.previous.0)?;
        let to_previous = &sees_previous.flow;
        self.sees_anchor = track(work, frame, (&self.sees_anchor, to_previous), &self.anchor)?;
        let mut edits = vec![self.sees_anchor.warp(&self.shot.anchor)];
        if let Some((seed, sight)) = &mut self.seed {
            *sight = track(work, frame, (sight, to_previous), seed)?;
            edits.push(sight.warp(&self.shot.seed));
        }
        edits.push(sees_previous.warp(&self.previous.1));
        self.motion = Some(sees_previous.flow);
        Ok(edits)
    }
}

/// The frame's sight of `reference`, a neighbouring keyframe, found from nothing: at half size and, where that sees
/// little, at full size, as is then the rest of the batch. In steps that can be called off one by one: on a CPU each is a
/// large part of a second.
///
/// # Errors
/// [`EngineError::Cancelled`].
pub fn matched(work: &mut Work, frame: &SourceFrame, reference: &SourceFrame) -> Result<Sight, EngineError> {
    let half = half_matched(work, frame, reference)?;
    match half {
        Some(half) if half.visible_fraction() >= CLEAR => Ok(half),
        half => {
            work.half_size_is_clear = false;
            Ok(better(half, whole_matched(work, frame, reference)?))
        }
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
    if !work.half_size_is_clear {
        return Ok(None);
    }
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

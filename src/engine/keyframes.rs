//! A run's keyframes: tracked, composed from warped edits, diffused, and held to their colours.

use std::rc::Rc;

use tch::Tensor;

use super::{
    ColorCalibration, Condition, EditParameters, EngineError, Propagation,
    batch::Run,
    calibrate::match_color,
    composite::Composite,
    pictures::Source,
    propagate::KeyframeConditions,
    shot::{Edited, Shot, Sight},
    tracking::{SourceFrame, Tracker},
    work::Work,
};
use crate::conditions::canny::{Hysteresis, canny};

/// A keyframe on its way from composite to finished edit.
#[derive(Debug)]
pub struct Keyframe {
    /// Counts the frames of the run; the seed frame of a seeded run is at -1.
    pub position: i64,
    /// Source and edit; the edit is the filled composite until the diffusion has run.
    pub edited: Edited,
    /// How far the warped edits see it, `[1, 1, h, w]`, 0..1.
    pub confidence: Tensor,
    /// Laplacian energy that it should have; `None`: it was not warped.
    pub sharpness: Option<f64>,
}

impl Keyframe {
    /// The run's first keyframe, which is finished: the anchor's edit or the seed frame.
    fn first(shot: &Shot, seeded: bool) -> Self {
        let edited = shot.seed.shallow_clone();
        let confidence = edited.source.narrow(1, 0, 1).ones_like();
        Self { position: if seeded { -1 } else { 0 }, edited, confidence, sharpness: None }
    }
}

/// Each keyframe's composite of warped edits, holes filled by the proposal (FlowVid 4.2); the run's first
/// keyframe leads them. Also returns the last one's sight of the anchor.
///
/// # Errors
/// [`EngineError::Cancelled`].
pub fn compose(
    work: &mut Work,
    shot: &Shot,
    sources: &[Source],
    run: &Run,
) -> Result<(Vec<Keyframe>, Sight), EngineError> {
    let model = work.model;
    let mut tracker = Tracker::new(shot, run.seeded);
    let mut keyframes = vec![Keyframe::first(shot, run.seeded)];
    for index in &run.keyframes[usize::from(!run.seeded)..] {
        let position = index - run.frames.start;
        let Source { image: source, stream_time, .. } = &sources[position];
        let frame = Rc::new(SourceFrame::new(source));
        let composite = Composite::of(&tracker.warped_edits(work, &frame)?);
        let proposal = work.run("propose", || shot.proposer.propose(&model.looks, source, &composite))?;
        let sharpness = shot.proposer.sharpness(source, &proposal, &composite.confidence);
        let edit = composite.filled(&proposal);
        let edited = Edited { source: source.shallow_clone(), edit, stream_time: *stream_time };
        tracker.previous = (frame, edited.edit.shallow_clone());
        let confidence = composite.confidence;
        keyframes.push(Keyframe {
            position: position as i64,
            edited,
            confidence,
            sharpness: Some(sharpness),
        });
    }
    Ok((keyframes, tracker.sees_anchor))
}

/// Diffuses all keyframes at once from their composites (FlowVid 4.2, 4.3), the first one being finished
/// already, and holds each one's colours to its composite's.
///
/// # Errors
/// [`EngineError::Settings`] where the model has no network for it, [`EngineError::Cancelled`].
pub fn diffuse(work: &mut Work, keyframes: &mut [Keyframe]) -> Result<(), EngineError> {
    let (model, parameters, cancel) = (work.model, work.parameters, work.cancel);
    if parameters.propagation == Propagation::Warp || keyframes.len() < 2 {
        return Ok(());
    }
    let propagator = model.propagator.as_ref().ok_or_else(|| EngineError::Settings(NO_DIFFUSION.into()))?;
    let spatial = work.run("condition", || spatial_condition(parameters.condition, keyframes))??;
    let conditions = conditions_of(keyframes, spatial);
    let diffused = work.run("diffuse", || propagator.diffuse(&conditions, parameters, cancel))??;
    for (index, keyframe) in keyframes.iter_mut().enumerate().skip(1) {
        let picture = diffused.narrow(0, index as i64, 1);
        keyframe.edited.edit = calibrated(parameters, picture, keyframe);
    }
    Ok(())
}

const NO_DIFFUSION: &str = "this model folder has no unet: set propagation=warp, or model to one that has it";

/// FlowVid 4.3, eq. 5, on the pixels that the warped edits see.
fn calibrated(parameters: &EditParameters, picture: Tensor, keyframe: &Keyframe) -> Tensor {
    match parameters.color_calibration {
        ColorCalibration::On => match_color(&picture, &keyframe.edited.edit, &keyframe.confidence),
        ColorCalibration::Off => picture,
    }
}

/// `[keyframes, 3, h, w]`, 0..1.
fn spatial_condition(condition: Condition, keyframes: &[Keyframe]) -> Result<Tensor, EngineError> {
    let sources = stack(keyframes, |keyframe| keyframe.edited.source.shallow_clone());
    match condition {
        Condition::Auto | Condition::Canny => Ok(canny(&sources, Hysteresis::default())),
        Condition::None => Ok(sources.zeros_like()),
        Condition::Depth => Err(EngineError::Settings(NO_DEPTH.into())),
    }
}

const NO_DEPTH: &str = "this model folder has no depth network: set condition=canny or condition=auto";

fn stack(keyframes: &[Keyframe], part: impl Fn(&Keyframe) -> Tensor) -> Tensor {
    Tensor::cat(&keyframes.iter().map(part).collect::<Vec<_>>(), 0)
}

fn conditions_of(keyframes: &[Keyframe], spatial: Tensor) -> KeyframeConditions {
    KeyframeConditions {
        composite: stack(keyframes, |keyframe| keyframe.edited.edit.shallow_clone()),
        confidence: stack(keyframes, |keyframe| keyframe.confidence.shallow_clone()),
        condition: spatial,
        first: keyframes[0].edited.edit.shallow_clone(),
        stream_times: keyframes.iter().map(|keyframe| keyframe.edited.stream_time).collect(),
    }
}

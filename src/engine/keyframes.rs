//! A run's keyframes: tracked, composed from warped edits, diffused, and held to their colours.

use tch::Tensor;

use super::{
    ColorCalibration, EditParameters, EngineError, Propagation,
    ahead::Ahead,
    batch::Run,
    calibrate::match_color,
    composite::Composite,
    pictures::Source,
    propagate::{KeyframeConditions, Propagator},
    proposal::Proposal,
    shot::{Edited, Shot, Sight},
    tone::Witness,
    tracking::{SourceFrame, Tracker, neighbours},
    work::Work,
    workbench::Composed,
};
use crate::{
    conditions::{flow::FlowPair, inpaint::inpaint_condition},
    diffusion::{ControlCondition, PictureConditions},
};

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
    /// To the keyframe before it, and back; `None` where it leads the run.
    pub motion: Option<FlowPair>,
    /// What it tells of the tone of others; `None` where a look proposes.
    pub told: Option<Witness>,
}

impl Keyframe {
    /// One that is finished: the anchor's edit, the seed frame or a picture of the user's.
    fn finished(edited: &Edited, position: i64) -> Self {
        let confidence = edited.source.narrow(1, 0, 1).ones_like();
        Self {
            position,
            edited: edited.shallow_clone(),
            confidence,
            sharpness: None,
            motion: None,
            told: None,
        }
    }

    /// What it tells of the tone of `source`, another frame that sees it by `sight`.
    pub fn followed(&self, sight: &Sight, source: &Tensor) -> Option<Witness> {
        self.told.as_ref().map(|told| told.followed(sight, source, &self.edited.source))
    }
}

/// Each keyframe's composite of warped edits, holes filled by the proposal (FlowVid 4.2); the run's first
/// keyframe leads them, and the user's picture that the run ends on closes them. Also returns the last composite's
/// sight of the anchor.
///
/// # Errors
/// [`EngineError::Cancelled`].
pub fn compose(
    work: &mut Work,
    shot: &Shot,
    sources: &[Source],
    run: &Run,
    picture: Option<&Edited>,
) -> Result<(Vec<Keyframe>, Sight), EngineError> {
    let leading = Keyframe::finished(&shot.seed, if run.seeded { -1 } else { 0 });
    let mut keyframes = vec![told(work, shot, leading)?];
    let (first, last) = (keyframes[0].position, sources.len() as i64 - 1);
    let positions = positions(run, picture.is_some());
    let composed: Vec<&Source> = positions.iter().map(|&position| &sources[position as usize]).collect();
    let images = composed.iter().map(|source| &source.image).chain(picture.map(|picture| &picture.source));
    let in_order: Vec<_> = [&shot.seed.source].into_iter().chain(images).map(SourceFrame::new).collect();
    let (frames, anchor) = (in_order.iter().collect::<Vec<_>>(), SourceFrame::new(&shot.anchor.source));
    let mut sees_previous = neighbours(work, &frames)?.into_iter();
    let ahead = picture.map(|picture| Ahead::new(work, &frames[1..], picture)).transpose()?;
    let anchor = if shot.anchor_is_seed() { frames[0] } else { &anchor };
    let mut tracker = Tracker::new(shot, run.seeded, [anchor, frames[0]]);
    for (index, (position, source)) in positions.into_iter().zip(composed).enumerate() {
        let sight = sees_previous.next().expect("each frame but the first sees one before it");
        let previous = (&keyframes[index].edited, &sight);
        let before = Composite::of(&tracker.warped_edits(work, frames[index + 1], previous)?);
        let time = (position - first) as f64 / (last - first) as f64;
        let blended = ahead.as_ref().map(|ahead| ahead.blend(index, &before, time));
        let seen = Seen { composite: blended.unwrap_or(before), previous: (&keyframes[index], &sight) };
        let composed = filled(work, shot, (position, source), seen)?;
        keyframes.push(Keyframe { motion: Some(sight.flow), ..composed });
    }
    if let (Some(picture), Some(sight)) = (picture, sees_previous.next()) {
        let frame = frames.last().expect("the picture's own");
        let arrived = arrival(work, &mut tracker, (picture, frame, last), sight, &keyframes)?;
        keyframes.push(told(work, shot, arrived)?);
    }
    Ok((keyframes, tracker.into_sees_anchor()))
}

/// A finished keyframe, with what it tells others.
fn told(work: &mut Work, shot: &Shot, keyframe: Keyframe) -> Result<Keyframe, EngineError> {
    let looks = &work.model.looks;
    let told = work.run("propose", || shot.proposer.told(looks, &keyframe.edited))?;
    Ok(Keyframe { told, ..keyframe })
}

/// What is known of a keyframe before it is proposed.
struct Seen<'a> {
    composite: Composite,
    /// The keyframe before, and the sight of it.
    previous: (&'a Keyframe, &'a Sight),
}

/// The keyframe whose edit is the composite, with the proposal where no edit is seen.
fn filled(
    work: &mut Work,
    shot: &Shot,
    (position, source): (i64, &Source),
    Seen { composite, previous: (previous, sight) }: Seen,
) -> Result<Keyframe, EngineError> {
    let (model, image) = (work.model, &source.image);
    let (Proposal { edit: proposal, priors }, composite) = work.run("propose", || {
        let followed = previous.followed(sight, image);
        shot.proposer.complete(&model.looks, image, composite, followed.as_ref())
    })?;
    if let Some(composed) = &mut work.composed {
        composed.push(Composed {
            stream_time: source.stream_time,
            source: image.shallow_clone(),
            confidence: composite.confidence.shallow_clone(),
            prior: priors.as_ref().map(|[fitted, _]| fitted.shallow_clone()),
            proposal: proposal.shallow_clone(),
        });
    }
    let sharpness = Some(shot.proposer.sharpness(image, &proposal, &composite.confidence));
    let edit = composite.filled(&proposal);
    let Composite { mask, confidence, .. } = composite;
    let edited = Edited { source: image.shallow_clone(), edit, mask, stream_time: source.stream_time };
    let told = priors.map(|[_, plain]| edited.told(&plain));
    Ok(Keyframe { position, edited, confidence, sharpness, motion: None, told })
}

/// The picture that the run ends on, with its frame and position. One that brings no mask is edited where the shot was.
fn arrival(
    work: &mut Work,
    tracker: &mut Tracker,
    (picture, frame, position): (&Edited, &SourceFrame, i64),
    sees_previous: Sight,
    before: &[Keyframe],
) -> Result<Keyframe, EngineError> {
    let mut edited = picture.shallow_clone();
    let previous = before.last().expect("the run's first keyframe leads");
    if edited.mask.is_none() && previous.edited.mask.is_some() {
        let edits = tracker.warped_edits(work, frame, (&previous.edited, &sees_previous))?;
        edited.mask = Composite::of(&edits).mask;
    }
    Ok(Keyframe { motion: Some(sees_previous.flow), ..Keyframe::finished(&edited, position) })
}

/// Where in the run the keyframes are that are not finished before it begins.
fn positions(run: &Run, ends_on_picture: bool) -> Vec<i64> {
    let unfinished = usize::from(!run.seeded)..run.keyframes.len() - usize::from(ends_on_picture);
    run.keyframes[unfinished].iter().map(|index| (index - run.frames.start) as i64).collect()
}

/// Diffuses all keyframes at once from their composites (FlowVid 4.2, 4.3), the first one being finished
/// already, and holds each one's colours to its composite's.
///
/// # Errors
/// [`EngineError::Settings`] where the model has no network for it, [`EngineError::Cancelled`].
pub fn diffuse(work: &mut Work, shot: &mut Shot, keyframes: &mut [Keyframe]) -> Result<(), EngineError> {
    let (model, parameters, cancel) = (work.model, work.parameters, work.cancel);
    if parameters.propagation == Propagation::Warp || keyframes.len() < 2 {
        return Ok(());
    }
    let propagator = model.propagator.as_ref().ok_or_else(|| EngineError::Settings(NO_DIFFUSION.into()))?;
    let conditions = conditions_of(work, propagator, shot, keyframes)?;
    let diffused = work.run("diffuse", || propagator.diffuse(&conditions, parameters, cancel))??;
    if diffused.anchor.is_some() {
        shot.anchor_memory = diffused.anchor;
    }
    let sampled = diffused.pictures.size()[0] - (keyframes.len() as i64 - 1);
    for (index, keyframe) in (sampled..).zip(keyframes.iter_mut().skip(1)) {
        let picture = diffused.pictures.narrow(0, index, 1);
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

/// What steers the networks. An image model's keyframes see the anchor as well: as an earlier batch remembers it or,
/// where none does, as one more keyframe that leads.
fn conditions_of(
    work: &mut Work,
    propagator: &Propagator,
    shot: &Shot,
    keyframes: &[Keyframe],
) -> Result<KeyframeConditions, EngineError> {
    let anchor_leads = shot.anchor_is_seed() || !propagator.is_image_model();
    let known = shot.anchor_memory.clone().filter(|known| propagator.fits(known, work.parameters));
    let anchor = if anchor_leads { None } else { known };
    let primed = (!anchor_leads && anchor.is_none()).then(|| Keyframe::finished(&shot.anchor, 0));
    let leading: Vec<&Keyframe> = primed.iter().chain(keyframes).collect();
    let composite = stack(&leading, |keyframe| &keyframe.edited.edit);
    let confidence = stack(&leading, |keyframe| &keyframe.confidence);
    let control = work.control(propagator, &stack(&leading, |keyframe| &keyframe.edited.source))?;
    let inpaint = (ControlCondition::Inpaint, inpaint_condition(&composite, &confidence));
    let times = leading.iter().map(|keyframe| keyframe.edited.stream_time);
    Ok(KeyframeConditions {
        pictures: PictureConditions {
            composite,
            confidence,
            first: keyframes[0].edited.edit.shallow_clone(),
            control: control.into_iter().chain([inpaint]).collect(),
        },
        finished: 1 + i64::from(primed.is_some()),
        anchor,
        stream_times: match propagator.is_image_model() {
            true => vec![shot.began; leading.len()],
            false => times.collect(),
        },
    })
}

fn stack(keyframes: &[&Keyframe], part: impl Fn(&Keyframe) -> &Tensor) -> Tensor {
    Tensor::cat(&keyframes.iter().map(|keyframe| part(keyframe)).collect::<Vec<_>>(), 0)
}

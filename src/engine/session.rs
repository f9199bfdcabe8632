//! One element's stream on the server thread: FlowVid's steps for one batch, and the shot it belongs to.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use tch::{Kind, Tensor};

use super::{
    CancelToken, CutDetection, EditParameters, EditedBatch, EditedFrame, EngineError, Frame, Picture,
    batch::{self, Run},
    between::{Finished, interpolate},
    keyframes::{compose, diffuse},
    model::Model,
    pictures::{Source, processing_size, to_picture, to_tensor},
    propagate::Propagator,
    proposal::Proposer,
    sharpness,
    shot::{Edited, Shot},
    upscale::upscale,
    work::Work,
};
use crate::{
    conditions::{cuts, filters::resize},
    editors::picture,
};

/// A stream's memory.
#[derive(Debug, Default)]
pub struct Session {
    shot: Option<Shot>,
    /// Thumbnails of the last frames, which decide about cuts with those to come.
    recent: Vec<Tensor>,
    /// The user's picture that was used last: it shows one shot's first frame, not the next one's.
    used_picture: Option<PathBuf>,
    said: HashSet<String>,
}

impl Session {
    /// Edits one batch; see [`super::Engine::process`].
    ///
    /// # Errors
    /// As there. The shot is then to be ended.
    pub fn process(
        &mut self,
        model: &Model,
        frames: &[Frame],
        parameters: &EditParameters,
        cancel: &CancelToken,
    ) -> Result<EditedBatch, EngineError> {
        let mut work = Work::new(model, parameters, cancel);
        let sources = prepare(&mut work, frames)?;
        let starts = self.shot_starts(&mut work, frames, &sources)?;
        let mut edited = Vec::with_capacity(frames.len());
        for run in batch::plan(frames.len(), &starts, self.shot.is_some(), parameters.keyframe_interval) {
            edited.extend(self.process_run(&mut work, &sources[run.frames.clone()], &run)?);
        }
        let warnings =
            work.warnings.into_iter().filter(|warning| self.said.insert(warning.clone())).collect();
        Ok(EditedBatch { frames: edited, timings: work.timings, warnings })
    }

    /// Forgets the shot.
    pub fn end_shot(&mut self) {
        self.shot = None;
        self.recent.clear();
    }

    /// Where shots begin: told from outside, seen in the pictures, or forced by other settings.
    fn shot_starts(
        &mut self,
        work: &mut Work,
        frames: &[Frame],
        sources: &[Source],
    ) -> Result<Vec<usize>, EngineError> {
        let mut starts = self.cuts_seen(work, sources)?;
        starts
            .extend(frames.iter().enumerate().filter(|(_, frame)| frame.starts_shot).map(|(index, _)| index));
        if self.shot.as_ref().is_some_and(|shot| !shot.fits(work.parameters)) {
            starts.push(0);
        }
        starts.sort_unstable();
        starts.dedup();
        Ok(starts)
    }

    /// Where the pictures show a cut.
    fn cuts_seen(&mut self, work: &mut Work, sources: &[Source]) -> Result<Vec<usize>, EngineError> {
        if work.parameters.cut_detection != CutDetection::Auto {
            self.recent.clear();
            return Ok(Vec::new());
        }
        let (threshold, known) = (work.parameters.cut_threshold, self.recent.len());
        work.run("cuts", || self.recent.extend(sources.iter().map(|source| cuts::thumbnail(&source.image))))?;
        let mut starts = Vec::new();
        for index in known.max(1)..self.recent.len() {
            if work.run("cuts", || cuts::is_cut(&self.recent, index, threshold))? {
                starts.push(index - known);
            }
        }
        self.recent.drain(..self.recent.len().saturating_sub(cuts::HISTORY));
        Ok(starts)
    }

    /// FlowVid 4.3: edit the first frame, propagate it to the keyframes, interpolate the rest; the last
    /// keyframe seeds the next batch.
    fn process_run(
        &mut self,
        work: &mut Work,
        sources: &[Source],
        run: &Run,
    ) -> Result<Vec<EditedFrame>, EngineError> {
        if !run.seeded {
            self.shot = Some(self.begin_shot(work, &sources[0])?);
        }
        let shot = self.shot.as_mut().expect("a run is seeded only where a shot is under way");
        let (mut keyframes, sees_anchor) = compose(work, shot, sources, run)?;
        diffuse(work, shot, &mut keyframes)?;
        let finished = interpolate(work, shot, sources, &keyframes)?;
        let last = keyframes.pop().expect("a run's first keyframe is always there");
        shot.hand_over(&last.edited, sees_anchor);
        let finish_one = |(index, (source, finished)): (usize, (&Source, Finished))| {
            let picture = Some(finish(work, source, &finished)?);
            Ok(EditedFrame { picture, keyframe: finished.keyframe, starts_shot: !run.seeded && index == 0 })
        };
        sources.iter().zip(finished).enumerate().map(finish_one).collect()
    }

    /// The first frame is edited: by the user's picture, by the edit that the stream began with, or by the
    /// prompt's look.
    fn begin_shot(&mut self, work: &mut Work, first: &Source) -> Result<Shot, EngineError> {
        let (parameters, model, source) = (work.parameters, work.model, &first.image);
        let before = self.shot.take().map(|shot| shot.proposer);
        let (edit, proposer) = match (&parameters.edited_frame, before) {
            (Some(file), _) if self.used_picture.as_ref() != Some(file) => {
                self.used_picture = Some(file.clone());
                let edit = work.run("edit", || users_edit(file, first, parameters.strength))??;
                (edit.shallow_clone(), Proposer::from_edit(source, &edit))
            }
            (_, Some(proposer @ Proposer::Prior { .. })) if parameters.prompt.is_empty() => {
                work.warnings.push(EDIT_OF_ANOTHER_SHOT.into());
                (work.run("edit", || proposer.edit(&model.looks, source))?, proposer)
            }
            _ => match &model.propagator {
                Some(propagator) if propagator.is_image_model() => {
                    let edit = models_edit(work, propagator, first)?;
                    (edit.shallow_clone(), Proposer::from_edit(source, &edit))
                }
                _ => prompts_look(work, source)?,
            },
        };
        let edited = Edited { source: source.shallow_clone(), edit, stream_time: first.stream_time };
        Ok(Shot::begin(&edited, proposer, parameters.clone()))
    }
}

const EDIT_OF_ANOTHER_SHOT: &str = "a new shot begins, but edited-frame shows the first frame of the stream: \
    the edit's tone and colours are carried over, its texture and objects are not; \
    set prompt as well to have later shots edited by it";

/// The first frame by the prompt's look, which then proposes what no edit shows.
fn prompts_look(work: &mut Work, source: &Tensor) -> Result<(Tensor, Proposer), EngineError> {
    let (model, parameters) = (work.model, work.parameters);
    let understood = model.looks.understand(&parameters.prompt, &parameters.negative_prompt);
    work.warnings.extend(understood.warnings);
    let (look, strength) = (understood.look, parameters.strength);
    let frozen = model.looks.freeze(&look, source);
    let proposer = Proposer::Look { look, strength, frozen };
    Ok((work.run("edit", || proposer.edit(&model.looks, source))?, proposer))
}

/// The first frame as the image model draws it.
fn models_edit(work: &mut Work, propagator: &Propagator, first: &Source) -> Result<Tensor, EngineError> {
    let (parameters, cancel) = (work.parameters, work.cancel);
    let control = work.control(propagator, &first.image)?;
    work.run("edit", || propagator.edit(&first.image, control, first.stream_time, parameters, cancel))?
}

/// The user's picture at processing size, mixed with the source by `strength`.
fn users_edit(file: &Path, first: &Source, strength: f64) -> Result<Tensor, EngineError> {
    let [.., height, width] = first.image.size()[..] else { unreachable!("an image is 4-dimensional") };
    let video = (first.picture.width, first.picture.height);
    let edit = picture::load(file, video, (height, width), first.image.device())
        .map_err(|error| EngineError::Settings(error.to_string()))?;
    Ok(first.image.lerp(&edit, strength))
}

/// The frames at processing size, on the model's device. They lie in one tensor: one by one, they would lie between
/// the full-size pictures that are freed after each, and keep the allocator from reusing that memory.
fn prepare(work: &mut Work, frames: &[Frame]) -> Result<Vec<Source>, EngineError> {
    let (device, longer) = (work.model.placement.device, work.parameters.processing_size);
    let (height, width) = processing_size(&frames[0].picture, longer);
    let images = Tensor::empty([frames.len() as i64, 3, height, width], (Kind::Float, device));
    let prepare_one = |(index, frame): (usize, &Frame)| {
        let mut image = images.narrow(0, index as i64, 1);
        work.run("resize", || {
            image.copy_(&resize(&to_tensor(&frame.picture, device), (height, width)));
        })?;
        Ok(Source { picture: frame.picture.clone(), image, stream_time: frame.stream_time })
    };
    frames.iter().enumerate().map(prepare_one).collect()
}

/// Sharpness held, enlarged to the size of the input.
fn finish(work: &mut Work, source: &Source, finished: &Finished) -> Result<Picture, EngineError> {
    let sharp = |target| sharpness::hold(&finished.edit, &finished.confidence, target);
    let edit = finished.sharpness.map_or_else(|| finished.edit.shallow_clone(), sharp);
    work.run("upscale", || {
        let full = to_tensor(&source.picture, edit.device());
        let guide = finished.guided.then_some(&source.image);
        to_picture(&upscale(&edit, guide, &full), &source.picture)
    })
}

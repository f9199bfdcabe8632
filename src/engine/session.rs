//! One element's stream on the server thread: FlowVid's steps for one batch, and the shot it belongs to.

use std::collections::{BTreeMap, HashSet};

use tch::{Kind, Tensor};

use super::{
    CancelToken, CutDetection, EditParameters, EditedBatch, EditedFrame, EngineError, Frame, Picture,
    batch::{self, Run},
    begin::{self, Given, Progress},
    between::{Finished, Place},
    keyframes::{compose, diffuse},
    model::Model,
    pictures::{Source, processing_size, to_picture, to_tensor},
    sharpness,
    shot::Edited,
    upscale::upscale,
    user_edits::UserEdits,
    user_mask::UserMask,
    work::Work,
};
use crate::{
    conditions::{cuts, filters::resize},
    editors::picture::EditedPicture,
};

/// A stream's memory.
#[derive(Debug, Default)]
pub struct Session {
    progress: Progress,
    /// Thumbnails of the last frames, which decide about cuts with those to come.
    recent: Vec<Tensor>,
    user_edits: Option<UserEdits>,
    user_mask: Option<UserMask>,
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
        self.edit(&mut Work::new(model, parameters, cancel), frames)
    }

    /// Whether the next frame may belong to a shot that has begun.
    pub fn is_under_way(&self) -> bool {
        self.progress.is_under_way()
    }

    /// As [`process`](Self::process); `work` keeps what it collected beside the result.
    ///
    /// # Errors
    /// As there.
    pub fn edit(&mut self, work: &mut Work, frames: &[Frame]) -> Result<EditedBatch, EngineError> {
        let sources = prepare(work, frames)?;
        let mut starts = self.shot_starts(work, frames, &sources)?;
        let user_edits = self.take_user_edits(work, &sources)?;
        self.user_mask = UserMask::current(self.user_mask.take(), work, &sources[0])?;
        let pictures: Vec<usize> = user_edits.keys().copied().collect();
        self.progress.begin_where_edited(&mut starts, &pictures);
        let (seeded, interval) = (self.is_under_way(), work.parameters.keyframe_interval);
        let mut edited = Vec::with_capacity(frames.len());
        for run in batch::plan(frames.len(), &starts, &pictures, seeded, interval) {
            edited.extend(self.process_run(work, &sources, &run, &user_edits)?);
        }
        let warnings = std::mem::take(&mut work.warnings);
        let warnings = warnings.into_iter().filter(|warning| self.said.insert(warning.clone())).collect();
        Ok(EditedBatch { frames: edited, timings: std::mem::take(&mut work.timings), warnings })
    }

    /// Forgets the shot.
    pub fn end_shot(&mut self) {
        self.progress = Progress::Nothing;
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
        if !self.progress.fits(work.parameters) {
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

    /// The user's pictures of these frames, by index, mixed with their sources by `strength`.
    fn take_user_edits(
        &mut self,
        work: &mut Work,
        sources: &[Source],
    ) -> Result<BTreeMap<usize, Edited>, EngineError> {
        let Some(setting) = &work.parameters.edited_frame else {
            self.user_edits = None;
            return Ok(BTreeMap::new());
        };
        if !self.user_edits.as_ref().is_some_and(|edits| edits.fits(setting, &sources[0])) {
            self.user_edits = Some(UserEdits::read(work, setting, &sources[0])?);
        }
        let pictures = self.user_edits.as_mut().map(|edits| edits.take(sources, &mut work.warnings));
        let strength = work.parameters.strength;
        let edited = |(index, picture): (usize, EditedPicture)| {
            let Source { image: source, stream_time, .. } = &sources[index];
            let edit = source.lerp(&picture.upon(source), strength);
            let source = source.shallow_clone();
            (index, Edited { source, edit, mask: picture.alpha, stream_time: *stream_time })
        };
        Ok(pictures.into_iter().flatten().map(edited).collect())
    }

    /// FlowVid 4.3: edit the first frame, propagate it to the keyframes, interpolate the rest; the last
    /// keyframe seeds the next run.
    fn process_run(
        &mut self,
        work: &mut Work,
        sources: &[Source],
        run: &Run,
        user_edits: &BTreeMap<usize, Edited>,
    ) -> Result<Vec<EditedFrame>, EngineError> {
        let next = user_edits.get(&(run.frames.end - 1)).filter(|_| run.ends_on_picture);
        let sources = &sources[run.frames.clone()];
        if !run.seeded {
            let (first, mask) =
                (user_edits.get(&run.frames.start), self.user_mask.as_ref().map(UserMask::mask));
            let before = std::mem::take(&mut self.progress);
            self.progress = begin::shot(work, &sources[0], Given { first, next, mask }, before)?;
        }
        let Progress::Edited(shot) = &mut self.progress else { return Ok(unedited(run)) };
        let (mut keyframes, sees_anchor) = compose(work, shot, sources, run, next)?;
        let unfinished = keyframes.len() - usize::from(next.is_some());
        diffuse(work, shot, &mut keyframes[..unfinished])?;
        let (frames, proposer) =
            (sources.iter().zip(Place::all(&keyframes)).collect::<Vec<_>>(), &shot.proposer);
        let mut pictures = work.side_by_side(&frames, |work, (source, place)| {
            let finished = place.finished(work, proposer, &source.image)?;
            let picture = finish(work, source, &finished)?;
            Ok(EditedFrame { picture, keyframe: finished.keyframe, starts_shot: false })
        })?;
        pictures[0].starts_shot = !run.seeded;
        let last = keyframes.pop().expect("a run's first keyframe is always there");
        match next {
            Some(_) => shot.arrive(&last.edited),
            None => shot.hand_over(&last.edited, sees_anchor),
        }
        Ok(pictures)
    }
}

/// The frames of a run that nobody said how to edit.
fn unedited(run: &Run) -> Vec<EditedFrame> {
    let frame = |index| EditedFrame {
        picture: None,
        keyframe: false,
        starts_shot: !run.seeded && index == run.frames.start,
    };
    run.frames.clone().map(frame).collect()
}

/// The frames at processing size, on the model's device. They lie in one tensor: one by one, they would lie between
/// the full-size pictures that are freed after each, and keep the allocator from reusing that memory.
fn prepare(work: &mut Work, frames: &[Frame]) -> Result<Vec<Source>, EngineError> {
    let (device, longer) = (work.model.placement.device, work.parameters.processing_size);
    let first = &frames[0].picture;
    let (height, width) = processing_size((first.width, first.height), longer);
    let images = Tensor::empty([frames.len() as i64, 3, height, width], (Kind::Float, device));
    let places: Vec<_> = frames.iter().zip(images.split(1, 0)).collect();
    work.side_by_side(&places, |work, (frame, image)| {
        work.run("resize", || {
            image.shallow_clone().copy_(&resize(&to_tensor(&frame.picture, device), (height, width)));
        })?;
        Ok(Source {
            picture: frame.picture.clone(),
            image: image.shallow_clone(),
            stream_time: frame.stream_time,
        })
    })
}

/// Sharpness held, enlarged to the size of the input, and laid over it where the mask says; `None` where nothing of the
/// frame is edited.
fn finish(work: &mut Work, source: &Source, finished: &Finished) -> Result<Option<Picture>, EngineError> {
    if finished.mask.as_ref().is_some_and(|mask| mask.max().double_value(&[]) < VISIBLE) {
        return Ok(None);
    }
    let edit = work.run("sharpen", || {
        let sharp = |target| sharpness::hold(&finished.edit, &finished.confidence, target);
        finished.sharpness.map_or_else(|| finished.edit.shallow_clone(), sharp)
    })?;
    work.run("upscale", || {
        let full = to_tensor(&source.picture, edit.device());
        let guide = finished.guided.then_some(&source.image);
        let edited = upscale(&edit, guide, &full);
        let masked = finished.mask.as_ref().map(|mask| {
            let [.., height, width] = full.size()[..] else { unreachable!("an image is 4-dimensional") };
            // A lerp by 0 is exact, so what is not edited keeps its samples.
            full.lerp_tensor(&edited, &mask.upsample_bilinear2d([height, width], false, None, None))
        });
        Some(to_picture(&masked.unwrap_or(edited), &source.picture))
    })
}

/// Of 0..1; less of an edit changes no sample of eight bits.
const VISIBLE: f64 = 0.5 / 255.0;

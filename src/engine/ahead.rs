//! A picture of the user's that a run ends on: its keyframes look ahead to it, so that nothing jumps where it comes.

use tch::Tensor;

use super::{
    EngineError,
    composite::Composite,
    shot::{Edited, Sight},
    tracking::{SourceFrame, neighbours, track},
    work::Work,
};

/// The picture, and each keyframe's sight of it.
#[derive(Debug)]
pub struct Ahead<'a> {
    picture: &'a Edited,
    sights: Vec<Sight>,
}

impl<'a> Ahead<'a> {
    /// Tracks `picture` backwards through the keyframes before it.
    ///
    /// - `frames`: those keyframes in time order, then the picture's own
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn new(work: &mut Work, frames: &[&SourceFrame], picture: &'a Edited) -> Result<Self, EngineError> {
        let backwards: Vec<_> = frames.iter().rev().copied().collect();
        let mut sights: Vec<Sight> = Vec::with_capacity(frames.len());
        for (frame, to_later) in backwards[1..].iter().zip(neighbours(work, &backwards)?) {
            sights.push(match sights.last() {
                None => to_later,
                Some(known) => track(work, frame, (known, &to_later.flow), backwards[0])?,
            });
        }
        sights.reverse();
        Ok(Self { picture, sights })
    }

    /// What the edits before and the picture ahead together tell about keyframe `index`; `time` runs from 0 at the
    /// run's first keyframe to 1 at the picture.
    pub fn blend(&self, index: usize, before: &Composite, time: f64) -> Composite {
        let before = before.as_edit();
        let mut picture = self.sights[index].warp(self.picture);
        // A picture that brings no mask is edited where the shot is: its mask is what comes to it from before.
        picture.mask = picture.mask.or_else(|| before.mask.as_ref().map(Tensor::shallow_clone));
        Composite::between(&before, &picture, time)
    }
}

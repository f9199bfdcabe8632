//! A picture of the user's that a run ends on: its keyframes look ahead to it, so that nothing jumps where it comes.

use std::rc::Rc;

use tch::Tensor;

use super::{
    EngineError,
    composite::Composite,
    pictures::Source,
    shot::{Edited, Sight},
    tracking::{SourceFrame, matched, track},
    work::Work,
};

/// The picture, and each keyframe's sight of it.
#[derive(Debug)]
pub struct Ahead<'a> {
    /// The picture.
    pub picture: &'a Edited,
    /// Its source.
    pub target: Rc<SourceFrame>,
    keyframes: Vec<(Rc<SourceFrame>, Sight)>,
}

impl<'a> Ahead<'a> {
    /// Tracks `picture` backwards through the keyframes before it, which stand in `sources` in time order.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn new(work: &mut Work, sources: &[&Source], picture: &'a Edited) -> Result<Self, EngineError> {
        let target = Rc::new(SourceFrame::new(&picture.source));
        let mut keyframes: Vec<(Rc<SourceFrame>, Sight)> = Vec::with_capacity(sources.len());
        for source in sources.iter().rev() {
            let frame = Rc::new(SourceFrame::new(&source.image));
            let sight = match keyframes.last() {
                None => matched(work, &frame, &target)?,
                Some((later, known)) => {
                    let to_later = matched(work, &frame, later)?;
                    track(work, &frame, (known, &to_later.flow), &target)?
                }
            };
            keyframes.push((frame, sight));
        }
        keyframes.reverse();
        Ok(Self { picture, target, keyframes })
    }

    /// Keyframe `index` of those before the picture.
    pub fn frame(&self, index: usize) -> Rc<SourceFrame> {
        self.keyframes[index].0.clone()
    }

    /// What the edits before and the picture ahead together tell about keyframe `index`; `time` runs from 0 at the
    /// run's first keyframe to 1 at the picture.
    pub fn blend(&self, index: usize, before: &Composite, time: f64) -> Composite {
        let before = before.as_edit();
        let mut picture = self.keyframes[index].1.warp(self.picture);
        // A picture that brings no mask is edited where the shot is: its mask is what comes to it from before.
        picture.mask = picture.mask.or_else(|| before.mask.as_ref().map(Tensor::shallow_clone));
        Composite::between(&before, &picture, time)
    }
}

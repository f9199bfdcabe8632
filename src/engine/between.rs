//! The frames between two keyframes.

use tch::Tensor;

use super::{
    EngineError, Interpolation,
    composite::Composite,
    keyframes::Keyframe,
    proposal::{Proposal, Proposer},
    shot::{Edited, Sight},
    tone::Witness,
    work::Work,
};
use crate::conditions::flow::FlowEstimator;

/// A frame at processing size, finished but for its sharpness and its size.
#[derive(Debug)]
pub struct Finished {
    /// `[1, 3, h, w]`, 0..1.
    pub edit: Tensor,
    /// Where it is edited, `[1, 1, h, w]`, 0..1; `None`: everywhere.
    pub mask: Option<Tensor>,
    /// Where it was warped, `[1, 1, h, w]`, 0..1.
    pub confidence: Tensor,
    /// Laplacian energy that it should have; `None`: leave it.
    pub sharpness: Option<f64>,
    /// Diffused, not interpolated.
    pub keyframe: bool,
    /// The edit shows what its own source frame shows, which may guide its enlarging.
    pub guided: bool,
}

impl Finished {
    fn keyframe(keyframe: &Keyframe) -> Self {
        Self {
            edit: keyframe.edited.edit.shallow_clone(),
            mask: keyframe.edited.mask.as_ref().map(Tensor::shallow_clone),
            confidence: keyframe.confidence.shallow_clone(),
            sharpness: keyframe.sharpness,
            keyframe: true,
            guided: true,
        }
    }

    /// As it is: nothing was warped, nothing is to be sharpened.
    fn plain(edit: Tensor, mask: Option<Tensor>) -> Self {
        let confidence = edit.narrow(1, 0, 1).ones_like();
        Self { edit, mask, confidence, sharpness: None, keyframe: false, guided: true }
    }
}

/// A frame's place in its run.
#[derive(Debug)]
pub enum Place<'a> {
    /// It is a keyframe.
    Keyframe(&'a Keyframe),
    /// It lies between two.
    Gap(Gap<'a>),
}

impl<'a> Place<'a> {
    /// Those of all frames of a run, the seed frame of a seeded run left out.
    pub fn all(keyframes: &'a [Keyframe]) -> Vec<Self> {
        let first = (keyframes[0].position == 0).then(|| Self::Keyframe(&keyframes[0]));
        let behind_first = keyframes.windows(2).flat_map(|pair| {
            let [first, second] = pair else { unreachable!("windows of two") };
            let gap = |position| {
                let time = (position - first.position) as f64 / (second.position - first.position) as f64;
                Self::Gap(Gap { first, second, time })
            };
            (first.position + 1..second.position).map(gap).chain([Self::Keyframe(second)])
        });
        first.into_iter().chain(behind_first).collect()
    }

    /// The edit of the frame there, whose source is `source`, `[1, 3, h, w]`.
    ///
    /// # Errors
    /// [`EngineError::Settings`] where RIFE is asked for and the model has none, [`EngineError::Cancelled`].
    pub fn finished(
        &self,
        work: &mut Work,
        proposer: &Proposer,
        source: &Tensor,
    ) -> Result<Finished, EngineError> {
        match self {
            Self::Keyframe(keyframe) => Ok(Finished::keyframe(keyframe)),
            Self::Gap(gap) => gap.fill(work, proposer, source),
        }
    }
}

/// A place between two keyframes; `time` runs from 0 at the first to 1 at the second.
#[derive(Debug)]
pub struct Gap<'a> {
    first: &'a Keyframe,
    second: &'a Keyframe,
    time: f64,
}

impl Gap<'_> {
    fn fill(&self, work: &mut Work, proposer: &Proposer, source: &Tensor) -> Result<Finished, EngineError> {
        match work.parameters.interpolation {
            // Source flow wins over RIFE by flicker and sharpness; holes come from the proposal.
            Interpolation::Auto | Interpolation::SourceFlow => self.along_source_flow(work, proposer, source),
            Interpolation::Rife => self.by_rife(work),
            Interpolation::None => {
                let nearest = if self.time < 0.5 { self.first } else { self.second };
                Ok(Finished { keyframe: false, guided: false, ..Finished::keyframe(nearest) })
            }
        }
    }

    /// Both edited keyframes, warped along the source's own motion.
    fn along_source_flow(
        &self,
        work: &mut Work,
        proposer: &Proposer,
        source: &Tensor,
    ) -> Result<Finished, EngineError> {
        let model = work.model;
        let sights = work.run("flow between", || self.sights(&model.flow, source))?;
        let composite = work.run("blend", || {
            let [first, second] = [0, 1].map(|end| sights[end].warp(&self.ends()[end].edited));
            Composite::between(&first, &second, self.time)
        })?;
        let (Proposal { edit: proposal, .. }, composite) = work.run("propose", || {
            let followed = self.followed(&sights, source);
            proposer.complete(&model.looks, source, composite, followed.as_ref())
        })?;
        let sharpness = proposer.sharpness(source, &proposal, &composite.confidence);
        Ok(Finished {
            edit: composite.filled(&proposal),
            mask: composite.mask,
            confidence: composite.confidence,
            sharpness: Some(sharpness),
            keyframe: false,
            guided: true,
        })
    }

    fn ends(&self) -> [&Keyframe; 2] {
        [self.first, self.second]
    }

    /// How `source` sees both keyframes.
    fn sights(&self, flow: &FlowEstimator, source: &Tensor) -> [Sight; 2] {
        let motion = self.second.motion.as_ref().expect("only the run's first keyframe has none before it");
        let pictures = self.ends().map(|keyframe| &keyframe.edited.source);
        let pair = flow.between(source, pictures, motion, self.time);
        let both = Sight::new(pair, &Tensor::cat(&[source, source], 0), &Tensor::cat(&pictures, 0));
        [0, 1].map(|end| both.narrow(end))
    }

    /// What both keyframes tell of the tone of `source`.
    fn followed(&self, sights: &[Sight; 2], source: &Tensor) -> Option<Witness> {
        let [first, second] = [0, 1].map(|end| self.ends()[end].followed(&sights[end], source));
        Some(Witness::between(&first?, &second?, self.time))
    }

    fn by_rife(&self, work: &mut Work) -> Result<Finished, EngineError> {
        let rife = work.model.rife.as_ref().ok_or_else(|| EngineError::Settings(NO_RIFE.into()))?;
        let time = Tensor::from_slice(&[self.time as f32]).to_device(work.model.placement.device);
        let (first, second) = (&self.first.edited, &self.second.edited);
        work.run("interpolate", || {
            let middle = |one: &Tensor, other: &Tensor| rife.interpolate(one, other, &time).clamp(0.0, 1.0);
            let mask = (first.mask.is_some() || second.mask.is_some())
                .then(|| middle(&mask_picture(first), &mask_picture(second)).narrow(1, 0, 1));
            Finished::plain(middle(&first.edit, &second.edit), mask)
        })
    }
}

/// `[1, 3, h, w]`.
fn mask_picture(edited: &Edited) -> Tensor {
    edited.mask_or_ones().expand_as(&edited.source)
}

const NO_RIFE: &str = "this model folder has no interpolation network: run `make setup`, or set \
    interpolation=source-flow";

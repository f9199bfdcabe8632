//! The engine on the caller's own thread, open to measurements: what each of its keyframes was composed of.

use tch::Tensor;

use super::{
    CancelToken, EditParameters, EditedBatch, EngineError, Frame, model::Model, session::Session, work::Work,
};
use crate::{torch::Placement, weights::ModelFolder};

/// What a keyframe that no picture of the user's shows was composed of, at the processing size.
#[derive(Debug)]
pub struct Composed {
    /// Which frame, in nanoseconds.
    pub stream_time: u64,
    /// The source frame, `[1, 3, h, w]`, 0..1.
    pub source: Tensor,
    /// How far the warped edits see it, `[1, 1, h, w]`, 0..1.
    pub confidence: Tensor,
    /// The closed-form prior alone, `[1, 3, h, w]`, 0..1; `None` where a look proposes.
    pub prior: Option<Tensor>,
    /// What is laid where no warped edit sees, `[1, 3, h, w]`, 0..1; proposed for the whole frame.
    pub proposal: Tensor,
}

/// One stream's session and its model.
#[derive(Debug)]
pub struct Workbench {
    model: Model,
    session: Session,
}

impl Workbench {
    /// Loads all networks of `folder`.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] names the file.
    pub fn load(folder: &ModelFolder, placement: Placement) -> Result<Self, EngineError> {
        let model = Model::load(folder, placement, &CancelToken::new())?;
        Ok(Self { model, session: Session::default() })
    }

    /// See [`super::Engine::batch_frames`].
    pub fn batch_frames(&self, parameters: &EditParameters) -> usize {
        parameters.batch_frames(self.model.batch_size, self.session.is_under_way())
    }

    /// Edits one batch; see [`super::Engine::process`]. Also returns its composed keyframes, in order.
    ///
    /// # Errors
    /// As there.
    pub fn process(
        &mut self,
        frames: &[Frame],
        parameters: &EditParameters,
    ) -> Result<(EditedBatch, Vec<Composed>), EngineError> {
        let cancel = CancelToken::new();
        let mut work = Work::new(&self.model, parameters, &cancel);
        work.composed = Some(vec![]);
        let _no_grad = tch::no_grad_guard();
        let batch = self.session.edit(&mut work, frames)?;
        Ok((batch, work.composed.unwrap_or_default()))
    }

    /// Ends the shot: the next frame is the first of a new one.
    pub fn reset(&mut self) {
        self.session = Session::default();
    }
}

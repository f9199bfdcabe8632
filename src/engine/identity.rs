//! The engine without a model: returns its input, and can be told to wait, to fail or to panic.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, Sender, after, select};
use parking_lot::Mutex;

use super::{
    CancelToken, EditParameters, EditedBatch, EditedFrame, Engine, EngineError, Frame, Loaded, Picture,
    Samples,
};

/// What the identity engine does besides returning its input; for tests of the element.
#[derive(Debug, Clone, Default)]
pub struct IdentityScript {
    /// Loading waits for one message, or for the sender to be gone; cancelling ends the wait.
    pub load_gate: Option<Receiver<()>>,
    /// Waited before each batch; cancelling ends the wait.
    pub delay: Duration,
    /// Told when a batch begins.
    pub begins: Option<Sender<()>>,
    /// Each batch waits for one message, or for the sender to be gone.
    pub gate: Option<Receiver<()>>,
    /// Outcomes of the batches to come, first one first; where there is none, the batch succeeds.
    pub outcomes: Arc<Mutex<Vec<Outcome>>>,
    /// Each frame comes back as an edited picture that shows the same, not as unchanged.
    pub returns_pictures: bool,
    /// Those pictures are negatives of the frames.
    pub negative: bool,
    /// The engine's own number of keyframes in a batch.
    pub batch_size: Option<usize>,
    /// Told when it is open.
    pub notes: Vec<String>,
    /// Told with each batch.
    pub warnings: Vec<String>,
    /// The end of a shot panics: outside of a batch, where nothing but the whole worker is guarded.
    pub panics_at_reset: bool,
}

/// How one batch ends.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// As it should.
    Succeed,
    /// With this error.
    Fail(EngineError),
    /// With a panic on the engine's thread.
    Panic,
}

impl PartialEq for IdentityScript {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.outcomes, &other.outcomes) && self.delay == other.delay
    }
}

impl IdentityScript {
    fn picture(&self, shown: &Picture) -> Picture {
        let mut picture = shown.clone();
        if self.negative {
            match &mut picture.samples {
                Samples::U8(samples) => samples.iter_mut().for_each(|sample| *sample = !*sample),
                Samples::U16(samples) => samples.iter_mut().for_each(|sample| *sample = !*sample),
            }
        }
        picture
    }
}

/// The engine without a model.
#[derive(Debug)]
pub struct Identity {
    script: IdentityScript,
    shot_begun: bool,
}

impl Identity {
    /// A session that follows `script`, once it is loaded.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn open(script: IdentityScript, cancel: &CancelToken) -> Result<Self, EngineError> {
        pass(script.load_gate.as_ref(), cancel)?;
        Ok(Self { script, shot_begun: false })
    }

    fn wait(&self, cancel: &CancelToken) -> Result<(), EngineError> {
        pass(self.script.gate.as_ref(), cancel)?;
        if !self.script.delay.is_zero() {
            let delay = after(self.script.delay);
            select! {
                recv(delay) -> _ => {}
                recv(cancel.raised()) -> _ => return Err(EngineError::Cancelled),
            }
        }
        cancel.check()
    }

    fn next_outcome(&self) -> Outcome {
        let mut outcomes = self.script.outcomes.lock();
        if outcomes.is_empty() { Outcome::Succeed } else { outcomes.remove(0) }
    }
}

/// Waits at the gate, where there is one.
fn pass(gate: Option<&Receiver<()>>, cancel: &CancelToken) -> Result<(), EngineError> {
    let Some(gate) = gate else { return Ok(()) };
    select! {
        recv(gate) -> _ => Ok(()),
        recv(cancel.raised()) -> _ => Err(EngineError::Cancelled),
    }
}

impl Engine for Identity {
    fn batch_frames(&self, parameters: &EditParameters) -> usize {
        parameters.batch_frames(self.script.batch_size, self.shot_begun)
    }

    fn process(
        &mut self,
        frames: Vec<Frame>,
        parameters: &EditParameters,
        cancel: &CancelToken,
    ) -> Result<EditedBatch, EngineError> {
        if let Some(begins) = &self.script.begins {
            let _ = begins.send(()); // whoever asked may have gone
        }
        self.wait(cancel)?;
        match self.next_outcome() {
            Outcome::Succeed => {}
            Outcome::Fail(error) => return Err(error),
            Outcome::Panic => panic!("the identity engine was told to panic"),
        }
        let mut since_keyframe = 0;
        let frames = frames
            .iter()
            .map(|frame| {
                let first = !std::mem::replace(&mut self.shot_begun, true);
                let starts_shot = first || frame.starts_shot;
                since_keyframe = if starts_shot { 0 } else { since_keyframe + 1 };
                let keyframe = since_keyframe % parameters.keyframe_interval == 0;
                let picture = self.script.returns_pictures.then(|| self.script.picture(&frame.picture));
                EditedFrame { picture, keyframe, starts_shot }
            })
            .collect();
        Ok(EditedBatch { frames, warnings: self.script.warnings.clone(), ..Default::default() })
    }

    fn reset(&mut self) {
        assert!(!(self.script.panics_at_reset && self.shot_begun), "the identity engine was told to panic");
        self.shot_begun = false;
    }

    fn looks_at_pictures(&self) -> bool {
        self.script.returns_pictures
    }

    fn device(&self) -> String {
        "none".into()
    }

    fn notes(&self) -> Vec<String> {
        self.script.notes.clone()
    }

    /// There is no model: the script's outcomes stand for it, so that the element's tests see who holds it.
    fn loaded(&self) -> Loaded {
        self.script.outcomes.clone()
    }
}

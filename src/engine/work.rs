//! What one batch is worked on with: the model, the settings, and what is reported of it afterwards.

use std::time::{Duration, Instant};

use super::{CancelToken, EditParameters, EngineError, model::Model, workbench::Composed};

/// One batch's surroundings.
#[derive(Debug)]
pub struct Work<'a> {
    /// All networks.
    pub model: &'a Model,
    /// The batch's settings.
    pub parameters: &'a EditParameters,
    /// Looked at between network calls.
    pub cancel: &'a CancelToken,
    /// Wall time a stage, in the order in which stages first ran.
    pub timings: Vec<(&'static str, Duration)>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// What keyframes are composed of, where somebody measures it.
    pub composed: Option<Vec<Composed>>,
    /// Whether motion that was matched at half size has so far been seen well.
    pub half_size_is_clear: bool,
}

impl<'a> Work<'a> {
    /// Nothing is measured yet.
    pub fn new(model: &'a Model, parameters: &'a EditParameters, cancel: &'a CancelToken) -> Self {
        Self {
            model,
            parameters,
            cancel,
            timings: vec![],
            warnings: vec![],
            composed: None,
            half_size_is_clear: true,
        }
    }

    /// Runs `work` as part of `stage`, unless the batch was cancelled.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn run<T>(&mut self, stage: &'static str, work: impl FnOnce() -> T) -> Result<T, EngineError> {
        self.cancel.check()?;
        let begun = Instant::now();
        let result = work();
        self.add(stage, begun.elapsed());
        Ok(result)
    }

    fn add(&mut self, stage: &'static str, took: Duration) {
        match self.timings.iter_mut().find(|(name, _)| *name == stage) {
            Some((_, total)) => *total += took,
            None => self.timings.push((stage, took)),
        }
    }
}

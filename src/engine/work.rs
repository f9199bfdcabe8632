//! What one batch is worked on with: the model, the settings, and what is reported of it afterwards.

use std::{
    iter,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use super::{CancelToken, EditParameters, EngineError, model::Model, workbench::Composed};
use crate::torch::{side_by_side, workers};

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
}

impl<'a> Work<'a> {
    /// Nothing is measured yet.
    pub fn new(model: &'a Model, parameters: &'a EditParameters, cancel: &'a CancelToken) -> Self {
        Self { model, parameters, cancel, timings: vec![], warnings: vec![], composed: None }
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

    /// What `job` makes of each of `items`, in their order, on several threads where that is faster: of what it borrows it
    /// may change nothing that another item's reads, see [`side_by_side`]. A stage that runs on several threads counts as the
    /// time of one.
    ///
    /// # Errors
    /// Those of `job`; after one, no further item is begun.
    pub fn side_by_side<T, R: Send>(
        &mut self,
        items: &[T],
        job: impl Fn(&mut Work, &T) -> Result<R, EngineError>,
    ) -> Result<Vec<R>, EngineError> {
        let Self { model, parameters, cancel, .. } = *self;
        let (workers, next) = (workers(model.placement.device, items.len()), AtomicUsize::new(0));
        let take = || {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, item))
        };
        let shares = side_by_side(workers, || {
            let mut work = Work::new(model, parameters, cancel);
            let one = |(index, item)| job(&mut work, item).map(|result| (index, result));
            let done: Result<Vec<_>, _> = iter::from_fn(take).map(one).collect();
            if done.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            (done, work.timings, work.warnings)
        });
        let mut results = Vec::with_capacity(items.len());
        for (done, timings, warnings) in shares {
            timings.into_iter().for_each(|(stage, took)| self.add(stage, took / workers as u32));
            self.warnings.extend(warnings);
            results.extend(done?);
        }
        results.sort_unstable_by_key(|&(index, _)| index);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }

    fn add(&mut self, stage: &'static str, took: Duration) {
        match self.timings.iter_mut().find(|(name, _)| *name == stage) {
            Some((_, total)) => *total += took,
            None => self.timings.push((stage, took)),
        }
    }
}

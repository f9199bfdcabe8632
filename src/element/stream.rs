//! What the element's three threads share from READY to READY: both queues and the state of the flow.
//!
//! Frames stay in the input queue while the engine works on them and move to the output queue one by
//! one, with the events between them. So at any moment each event is in exactly one queue, and a flush
//! finds the sticky ones, whatever the worker is doing.

use std::time::Duration;

use gst::{ClockTime, FlowError, FlowSuccess};
use parking_lot::{Condvar, Mutex};

use super::{
    enums::OverloadPolicy,
    items::{Input, InputFrame, Output},
    latency::{Delay, FrameTimes, ProcessingTime},
    overload::{self, Load, Relief},
    queue::Queue,
    settings::Timing,
};
use crate::engine::CancelToken;

pub use worker::{Stale, Work};

mod source;
#[cfg(test)]
mod tests;
mod upstream;
mod worker;

/// Whether data flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Running,
    /// Between FLUSH_START and FLUSH_STOP.
    Flushing,
    /// Downstream wants no more frames; events still pass.
    Eos,
    /// Nothing passes until a flush, or (NOT_LINKED) a new link.
    Failed(FlowError),
}

#[derive(Debug)]
struct State {
    input: Queue<Input>,
    output: Queue<Output>,
    flow: Flow,
    stopped: bool,
    worker_gone: bool,
    /// For the engine's work on the present generation.
    cancel: CancelToken,
    load: Load,
    drains: u64,
    drained: u64,
    timing: Timing,
    processing: ProcessingTime,
    frame_times: FrameTimes,
    /// The source pad's thread is busy with what it took last.
    pushing: bool,
    /// The alarms set so far, and the last one that rang.
    alarms: u64,
    rang: u64,
}

impl State {
    fn open(&self) -> bool {
        !self.stopped && matches!(self.flow, Flow::Running | Flow::Eos)
    }

    /// Makes room for a frame of a live stream, by the policy.
    fn relieve(&mut self) -> Relief {
        let load = Load { ahead: self.output.frames() > 0, ..self.load };
        let relief = overload::relieve(&mut self.input, load, self.timing.overload);
        if relief.call_off {
            self.cancel_work();
        }
        relief
    }

    fn resize(&mut self) {
        let batches = overload::batches_queued(self.load.live, self.timing.overload);
        self.input.set_capacity(batches * self.load.batch_frames);
        self.output.set_capacity(self.load.batch_frames);
    }

    /// How long a file's batch may get no frame before somebody looks why.
    fn patience(&self) -> Option<Duration> {
        time_of(self.timing.stall_timeout).filter(|_| !self.load.live).map(Into::into)
    }

    /// When the batch that begins with `first` is to be closed.
    fn deadline(&self, first: &InputFrame) -> Option<ClockTime> {
        let timeout = time_of(self.timing.batch_timeout).filter(|_| self.load.live)?;
        first.arrived.map(|arrived| arrived.saturating_add(timeout))
    }

    /// The worker looks for work.
    fn rest(&mut self) {
        self.load = Load { working: false, blocked: false, taken: 0, ..self.load };
    }

    /// Cancels what the engine works on. Its results will be for a generation that has passed.
    fn cancel_work(&mut self) {
        self.cancel.cancel();
        self.cancel = CancelToken::new();
    }
}

/// The shared state, its lock and its bell.
pub struct Stream {
    state: Mutex<State>,
    changed: Condvar,
    /// Raised when the element leaves PAUSED: ends the loading of a model, too.
    pub stop: CancelToken,
}

impl Stream {
    /// Open and empty, for batches of `batch_frames`.
    pub fn new(batch_frames: usize, timing: Timing) -> Self {
        let load = Load {
            live: false,
            working: true, // until the worker first asks for work
            ahead: false,
            blocked: false,
            taken: 0,
            batch_frames,
        };
        let mut state = State {
            input: Queue::new(0),
            output: Queue::new(0),
            flow: Flow::Running,
            stopped: false,
            worker_gone: false,
            cancel: CancelToken::new(),
            load,
            drains: 0,
            drained: 0,
            timing,
            processing: ProcessingTime::new(time_of(timing.processing_latency)),
            frame_times: FrameTimes::default(),
            pushing: false,
            alarms: 0,
            rang: 0,
        };
        state.resize();
        Self { state: Mutex::new(state), changed: Condvar::new(), stop: CancelToken::new() }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.state.lock());
        self.changed.notify_all();
        result
    }

    /// FLUSH_START: nobody waits any longer, the engine is told to stop. Returns at once.
    pub fn flush_start(&self) {
        self.change(|state| {
            state.flow = Flow::Flushing;
            state.input.close();
            state.output.close();
            state.cancel_work();
        });
    }

    /// FLUSH_STOP: queues are empty but for sticky events, and data flows again.
    pub fn flush_stop(&self) {
        self.change(|state| {
            state.input.reopen();
            state.output.reopen();
            state.flow = if state.worker_gone { Flow::Failed(FlowError::Error) } else { Flow::Running };
        });
    }

    /// The element leaves PAUSED. Returns at once.
    pub fn stop(&self) {
        self.change(|state| {
            state.stopped = true;
            state.cancel_work();
        });
        // Only now: a worker whose loading was called off must find that there is nothing more to do.
        self.stop.cancel();
    }

    /// Ends the flow with an error.
    pub fn fail(&self, error: FlowError) {
        self.change(|state| {
            if state.flow != Flow::Flushing {
                state.flow = Flow::Failed(error);
                state.cancel_work();
            }
        });
    }

    /// Downstream was linked anew: what waits may go. True if it had not been linked before.
    pub fn relinked(&self) -> bool {
        self.change(|state| {
            let was_unlinked = state.flow == Flow::Failed(FlowError::NotLinked);
            if was_unlinked {
                state.flow = Flow::Running;
            }
            was_unlinked
        })
    }

    /// What a LATENCY query is answered from.
    pub fn delay(&self) -> Delay {
        let state = self.state.lock();
        Delay {
            batch_frames: state.load.batch_frames as u64,
            capacity: (state.input.capacity() + state.output.capacity()) as u64,
            frame: state.frame_times.get(),
            processing: state.processing.reported(),
            batch_timeout: time_of(state.timing.batch_timeout),
            leaky: state.timing.overload == OverloadPolicy::Drop,
        }
    }
}

/// A user's time; 0 is none. Beyond a year all are for ever, and sums of times stay in their range.
fn time_of(nanoseconds: u64) -> Option<ClockTime> {
    const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;
    Some(ClockTime::from_nseconds(nanoseconds.min(YEAR))).filter(|time| !time.is_zero())
}

fn flow_of(state: &State) -> Result<FlowSuccess, FlowError> {
    match state.flow {
        _ if state.stopped => Err(FlowError::Flushing),
        Flow::Running => Ok(FlowSuccess::Ok),
        Flow::Flushing => Err(FlowError::Flushing),
        Flow::Eos => Err(FlowError::Eos),
        Flow::Failed(error) => Err(error),
    }
}

//! What upstream's thread does with the stream.

use gst::{ClockTime, FlowError, FlowSuccess};
use parking_lot::MutexGuard;

use super::{Flow, Stream, flow_of};
use crate::element::{
    items::{Input, InputFrame},
    latency::{FrameTime, UNKNOWN_RATE},
    overload::Relief,
    queue::Push,
};

impl Stream {
    /// Queues a frame, waiting for room; `relieved` hears, without the lock, of what had to be done to make
    /// room in a live stream.
    ///
    /// # Errors
    /// What upstream is to be told.
    pub fn push_frame(
        &self,
        frame: InputFrame,
        mut relieved: impl FnMut(Relief),
    ) -> Result<FlowSuccess, FlowError> {
        let mut state = self.state.lock();
        let mut item = Input::Frame(frame);
        loop {
            flow_of(&state)?;
            let relief = state.relieve();
            if relief.call_off || !relief.dropped.is_empty() {
                self.changed.notify_all();
                MutexGuard::unlocked(&mut state, || relieved(relief));
                continue;
            }
            let generation = state.input.generation();
            match state.input.push(item, generation) {
                Push::Queued => break,
                Push::Full(returned) => item = returned,
                Push::Stale(_) | Push::Closed(_) => return Err(FlowError::Flushing),
            }
            self.changed.wait(&mut state);
        }
        self.changed.notify_all();
        Ok(FlowSuccess::Ok)
    }

    /// Queues what is no frame; never waits. False while flushing or after an error.
    pub fn push_event(&self, item: Input) -> bool {
        self.change(|state| {
            let generation = state.input.generation();
            state.open() && state.input.push(item, generation).is_queued()
        })
    }

    /// What upstream is told at present.
    ///
    /// # Errors
    /// The flow's error.
    pub fn flow(&self) -> Result<FlowSuccess, FlowError> {
        flow_of(&self.state.lock())
    }

    /// Waits until all that is queued has left downstream. False if a flush or an error came between.
    pub fn drain(&self) -> bool {
        let ticket = self.change(|state| {
            state.drains += 1;
            state.drains
        });
        if !self.push_event(Input::Drain(ticket)) {
            return false;
        }
        let mut state = self.state.lock();
        let generation = state.input.generation();
        while state.drained < ticket {
            if !state.open() || state.input.generation() != generation {
                return false;
            }
            self.changed.wait(&mut state);
        }
        true
    }

    /// A new stream or segment: frames are wanted again after an EOS.
    pub fn rearm(&self) {
        self.change(|state| {
            if state.flow == Flow::Eos {
                state.flow = Flow::Running;
            }
        });
    }

    /// The frame rate that caps tell.
    pub fn set_rate(&self, rate: gst::Fraction) {
        self.state.lock().frame_times.set_rate(rate);
    }

    /// Two frames are `distance` apart. True if the pipeline must hear of another latency.
    pub fn record_distance(&self, distance: ClockTime) -> bool {
        self.state.lock().frame_times.record(distance)
    }

    /// One frame's duration, as far as it is known.
    pub fn frame_time(&self) -> FrameTime {
        self.state.lock().frame_times.get().unwrap_or(UNKNOWN_RATE)
    }

    /// Upstream says whether it waits for us.
    pub fn set_live(&self, live: bool) {
        self.change(|state| {
            state.load.live = live;
            state.resize();
        });
    }
}

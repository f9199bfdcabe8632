//! What the worker's thread does with the stream.

use std::sync::Arc;

use gst::{ClockTime, FlowError};
use parking_lot::MutexGuard;

use super::{Flow, State, Stream};
use crate::{
    element::{
        caps::Format,
        items::{Boundary, Input, InputFrame, Output, first_batch},
        latency::Verdict,
        queue::Push,
    },
    engine::CancelToken,
};

/// What the worker is to do next.
#[derive(Debug)]
pub enum Work {
    /// End.
    Stop,
    /// A flush happened: forget everything; the present generation.
    Flushed(u64),
    /// Negotiate this format, then [`Stream::finish_caps`].
    Caps(Arc<Format>),
    /// An event went by that separates two streams.
    Reset,
    /// A frame waits; it stays in the queue.
    Frame(Box<InputFrame>),
}

/// Answer to what was made for an older generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale;

impl Stream {
    /// Waits for the next thing to do; `generation` is the one that the worker knows. Events that stand
    /// before it go out on the way.
    pub fn next_work(&self, generation: u64) -> Work {
        let mut state = self.state.lock();
        state.rest();
        loop {
            if state.stopped {
                return Work::Stop;
            }
            if state.input.generation() != generation {
                return Work::Flushed(state.input.generation());
            }
            let reset = if state.open() { self.forward_events(&mut state) } else { false };
            if reset {
                return Work::Reset;
            }
            let frames_flow = state.flow == Flow::Running;
            match state.input.front() {
                Some(Input::Frame(frame)) if frames_flow => return Work::Frame(Box::new(frame.clone())),
                Some(Input::Caps(format)) if state.open() => return Work::Caps(format.clone()),
                _ => self.changed.wait(&mut state),
            }
        }
    }

    /// Moves what stands at the head and is neither frame nor caps; true after an event that resets.
    fn forward_events(&self, state: &mut MutexGuard<State>) -> bool {
        let mut moved = false;
        let mut reset = false;
        while !reset {
            let item = match state.input.front() {
                Some(Input::Event(event, boundary)) => {
                    reset = *boundary == Boundary::Reset;
                    Output::Event(event.clone())
                }
                Some(Input::Drain(ticket)) => Output::Drained(*ticket),
                Some(Input::Frame(_) | Input::Caps(_)) | None => break,
            };
            advance(state, item);
            moved = true;
        }
        if moved {
            self.changed.notify_all();
        }
        reset
    }

    /// Waits for `wanted` frames, or for what closes the batch before. The frames stay in the queue; the
    /// token is raised when they are not wanted any more. `set_alarm` is to see to it that
    /// [`ring`](Self::ring) is called with its number at its time, unless what it returns is dropped before.
    /// `explain` is asked when nothing has moved for long, neither in nor out; after it has told the user
    /// (true) it is not asked again before a frame comes.
    ///
    /// # Errors
    /// [`Stale`] if there is nothing to do any more; [`next_work`](Self::next_work) tells why.
    pub fn collect<A>(
        &self,
        generation: u64,
        wanted: usize,
        set_alarm: impl Fn(u64, ClockTime) -> A,
        explain: impl Fn() -> bool,
    ) -> Result<(Vec<InputFrame>, CancelToken), Stale> {
        let mut alarm = None;
        let mut explained_with = None;
        let mut state = self.state.lock();
        state.rest();
        loop {
            if !current(&state, generation) {
                return Err(Stale);
            }
            let (frames, full) = first_batch(state.input.iter(), wanted);
            if full || (state.rang == state.alarms && alarm.is_some() && !frames.is_empty()) {
                let frames: Vec<_> = frames.into_iter().cloned().collect();
                state.load.taken = frames.len();
                state.load.working = true;
                return Ok((frames, state.cancel.clone()));
            }
            let deadline = frames.first().and_then(|first| state.deadline(first));
            if let (Some(deadline), None) = (deadline, &alarm) {
                state.alarms += 1;
                let number = state.alarms;
                alarm = Some(MutexGuard::unlocked(&mut state, || set_alarm(number, deadline)));
                continue;
            }
            let held = state.input.frames();
            if self.wait_is_stall(&mut state, explained_with == Some(held))
                && MutexGuard::unlocked(&mut state, &explain)
            {
                explained_with = Some(held);
            }
        }
    }

    /// Waits for a change; true where none came for long though downstream is ready.
    fn wait_is_stall(&self, state: &mut MutexGuard<State>, explained: bool) -> bool {
        match state.patience().filter(|_| !explained) {
            Some(patience) => {
                let quiet = self.changed.wait_for(state, patience).timed_out();
                quiet && !state.pushing && state.output.front().is_none()
            }
            None => {
                self.changed.wait(state);
                false
            }
        }
    }

    /// The alarm of that number is due.
    pub fn ring(&self, number: u64) {
        self.change(|state| state.rang = state.rang.max(number));
    }

    /// The engine is about to do what takes long.
    pub fn begin_work(&self) {
        self.state.lock().load.working = true;
    }

    /// The engine says that a full batch has so many frames. True if the pipeline must hear of another latency.
    pub fn set_batch(&self, frames: usize) -> bool {
        self.change(|state| {
            let differs = frames != state.load.batch_frames;
            state.load.batch_frames = frames;
            state.resize();
            differs
        })
    }

    /// Makes room for batches of `frames`. True if the pipeline must hear of a greater latency.
    pub fn make_room(&self, frames: usize) -> bool {
        self.change(|state| {
            let grew = frames > state.load.batch_frames;
            if grew {
                state.load.batch_frames = frames;
                state.resize();
            }
            grew
        })
    }

    /// The format at the head is negotiated; `event` tells downstream, unless it knows.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn finish_caps(&self, generation: u64, event: Option<gst::Event>) -> Result<(), Stale> {
        self.change(|state| {
            if state.input.generation() != generation || !state.open() {
                return Err(Stale);
            }
            let Some(Input::Caps(_)) = state.input.front() else { return Err(Stale) };
            match event {
                Some(event) => advance(state, Output::Event(event)),
                None => drop(state.input.pop()),
            }
            Ok(())
        })
    }

    /// Sends an event of the element's own, before the frame at the head.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn insert_event(&self, generation: u64, event: gst::Event) -> Result<(), Stale> {
        self.change(|state| match state.output.push(Output::Event(event), generation) {
            Push::Queued => Ok(()),
            Push::Full(_) | Push::Stale(_) | Push::Closed(_) => Err(Stale),
        })
    }

    /// The frame at the head (after the events before it) leaves as `buffer`, when there is room;
    /// `before`, which holds no frames, is sent just before it.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn finish_frame(
        &self,
        generation: u64,
        buffer: gst::Buffer,
        before: Vec<Output>,
    ) -> Result<(), Stale> {
        let mut state = self.state.lock();
        state.load.working = false;
        loop {
            if !current(&state, generation) {
                return Err(Stale);
            }
            self.forward_events(&mut state);
            state.load.blocked = state.output.frames() >= state.output.capacity();
            if !state.load.blocked {
                break;
            }
            self.changed.wait(&mut state);
        }
        for item in before {
            state.output.push(item, generation);
        }
        advance(&mut state, Output::Buffer(buffer));
        state.load.taken = state.load.taken.saturating_sub(1);
        self.changed.notify_all();
        Ok(())
    }

    /// A live stream's batch took `time`; in another nobody waits for it.
    pub fn record_processing(&self, time: ClockTime) -> Verdict {
        let frame = self.frame_time().of(1);
        let mut state = self.state.lock();
        if state.load.live { state.processing.record(time, frame) } else { Verdict::Fine }
    }

    /// The worker has ended, for whatever reason: nobody may wait for it.
    pub fn worker_gone(&self) {
        self.change(|state| {
            state.worker_gone = true;
            if state.flow != Flow::Flushing {
                state.flow = Flow::Failed(FlowError::Error);
            }
        });
    }
}

/// Whether work for `generation` is still wanted.
fn current(state: &State, generation: u64) -> bool {
    !state.stopped && state.flow == Flow::Running && state.input.generation() == generation
}

/// Replaces the input's head by `item` on the output; there must be room.
fn advance(state: &mut State, item: Output) {
    let generation = state.output.generation();
    if state.output.push(item, generation).is_queued() {
        state.input.pop();
    }
}

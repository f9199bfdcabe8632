//! What the element's three threads share from READY to READY: both queues and the state of the flow.
//!
//! Frames stay in the input queue while the engine works on them and move to the output queue one by
//! one, with the events between them. So at any moment each event is in exactly one queue, and a flush
//! finds the sticky ones, whatever the worker is doing.

use std::sync::Arc;

use gst::{ClockTime, FlowError, FlowSuccess};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    caps::Format,
    items::{Boundary, Input, InputFrame, Output, first_batch},
    latency::{FrameTime, ProcessingTime},
    queue::{Pop, Push, Queue},
};
use crate::engine::CancelToken;

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
    batch_frames: usize,
    drains: u64,
    drained: u64,
    processing: ProcessingTime,
    frame_time: FrameTime,
}

impl State {
    fn open(&self) -> bool {
        !self.stopped && matches!(self.flow, Flow::Running | Flow::Eos)
    }

    /// Cancels what the engine works on. Its results will be for a generation that has passed.
    fn cancel_work(&mut self) {
        self.cancel.cancel();
        self.cancel = CancelToken::new();
    }
}

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

/// The shared state, its lock and its bell.
pub struct Stream {
    state: Mutex<State>,
    changed: Condvar,
    /// Raised when the element leaves PAUSED: ends the loading of a model, too.
    pub stop: CancelToken,
}

impl Stream {
    /// Open and empty, for batches of `batch_frames`.
    pub fn new(batch_frames: usize) -> Self {
        let state = State {
            input: Queue::new(2 * batch_frames),
            output: Queue::new(batch_frames),
            flow: Flow::Running,
            stopped: false,
            worker_gone: false,
            cancel: CancelToken::new(),
            batch_frames,
            drains: 0,
            drained: 0,
            processing: ProcessingTime::default(),
            frame_time: FrameTime::new(gst::Fraction::new(0, 1), None),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), stop: CancelToken::new() }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.state.lock());
        self.changed.notify_all();
        result
    }

    // Upstream's thread.

    /// Queues a frame, waiting for room.
    ///
    /// # Errors
    /// What upstream is to be told.
    pub fn push_frame(&self, frame: InputFrame) -> Result<FlowSuccess, FlowError> {
        let mut state = self.state.lock();
        let mut item = Input::Frame(frame);
        loop {
            flow_of(&state)?;
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

    /// One frame's duration, for the LATENCY query.
    pub fn set_frame_time(&self, time: FrameTime) {
        self.state.lock().frame_time = time;
    }

    // Anyone's.

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
        self.stop.cancel();
        self.change(|state| {
            state.stopped = true;
            state.cancel_work();
        });
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

    /// Frames in a batch, frames that can be held in all, one frame's time, a batch's wall time.
    pub fn delay(&self) -> super::latency::Delay {
        let state = self.state.lock();
        super::latency::Delay {
            batch_frames: state.batch_frames as u64,
            capacity: (state.input.capacity() + state.output.capacity()) as u64,
            frame: state.frame_time,
            processing: state.processing.reported(),
        }
    }

    // The worker's thread.

    /// Waits for the next thing to do; `generation` is the one that the worker knows. Events that stand
    /// before it go out on the way.
    pub fn next_work(&self, generation: u64) -> Work {
        let mut state = self.state.lock();
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
    /// token is raised when they are not wanted any more.
    ///
    /// # Errors
    /// [`Stale`] if there is nothing to do any more; [`next_work`](Self::next_work) tells why.
    pub fn collect(&self, generation: u64, wanted: usize) -> Result<(Vec<InputFrame>, CancelToken), Stale> {
        let mut state = self.state.lock();
        loop {
            if !current(&state, generation) {
                return Err(Stale);
            }
            let (frames, closed) = first_batch(state.input.iter(), wanted);
            if closed {
                return Ok((frames.into_iter().cloned().collect(), state.cancel.clone()));
            }
            self.changed.wait(&mut state);
        }
    }

    /// Makes room for batches of `frames`. True if the pipeline must hear of a greater latency.
    pub fn make_room(&self, frames: usize) -> bool {
        self.change(|state| {
            let grew = frames > state.batch_frames;
            if grew {
                state.batch_frames = frames;
                state.input.set_capacity(2 * frames);
                state.output.set_capacity(frames);
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
    /// `before` is sent just before it.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn finish_frame(
        &self,
        generation: u64,
        buffer: gst::Buffer,
        before: Option<gst::Event>,
    ) -> Result<(), Stale> {
        let mut state = self.state.lock();
        loop {
            if !current(&state, generation) {
                return Err(Stale);
            }
            self.forward_events(&mut state);
            if state.output.frames() < state.output.capacity() {
                break;
            }
            self.changed.wait(&mut state);
        }
        if let Some(event) = before {
            state.output.push(Output::Event(event), generation);
        }
        advance(&mut state, Output::Buffer(buffer));
        self.changed.notify_all();
        Ok(())
    }

    /// A batch took `wall`. True if the pipeline must hear of a greater latency.
    pub fn record_processing(&self, wall: ClockTime) -> bool {
        let mut state = self.state.lock();
        let frame = state.frame_time.of(1);
        state.processing.record(wall, frame)
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

    // The source pad's thread.

    /// Waits for what goes out next; `None`: the thread is to pause.
    pub fn next_output(&self) -> Option<Output> {
        let mut state = self.state.lock();
        loop {
            if !state.open() {
                return None;
            }
            match state.output.pop() {
                Pop::Item(item) => {
                    self.changed.notify_all();
                    return Some(item);
                }
                Pop::Closed => return None,
                Pop::Empty => self.changed.wait(&mut state),
            }
        }
    }

    /// All before the ticket has left.
    pub fn drained(&self, ticket: u64) {
        self.change(|state| state.drained = ticket);
    }

    /// Downstream wants no more frames.
    pub fn downstream_eos(&self) {
        self.change(|state| {
            if state.flow == Flow::Running {
                state.flow = Flow::Eos;
                state.input.discard_frames();
                state.output.discard_frames();
                state.cancel_work();
            }
        });
    }
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

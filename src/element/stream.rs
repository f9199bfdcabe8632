//! What the element's three threads share from READY to READY: both queues and the state of the flow.
//!
//! Frames stay in the input queue while the engine works on them and move to the output queue one by
//! one, with the events between them. So at any moment each event is in exactly one queue, and a flush
//! finds the sticky ones, whatever the worker is doing.

use std::{sync::Arc, time::Duration};

use gst::{ClockTime, FlowError, FlowSuccess};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    caps::Format,
    enums::OverloadPolicy,
    items::{Boundary, Input, InputFrame, Output, first_batch},
    latency::{Delay, FrameTime, FrameTimes, ProcessingTime, UNKNOWN_RATE, Verdict},
    overload::{self, Load, Relief},
    queue::{Pop, Push, Queue},
    settings::Timing,
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
        let relief = overload::relieve(&mut self.input, self.load, self.timing.overload);
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
    pub fn new(batch_frames: usize, timing: Timing) -> Self {
        let load = Load {
            live: false,
            working: true, // until the worker first asks for work
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

    // Upstream's thread.

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

    // The worker's thread.

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

    // The source pad's thread.

    /// Waits for what goes out next; `None`: the thread is to pause.
    pub fn next_output(&self) -> Option<Output> {
        let mut state = self.state.lock();
        state.pushing = false;
        loop {
            if !state.open() {
                return None;
            }
            match state.output.pop() {
                Pop::Item(item) => {
                    state.pushing = true;
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

//! The element's own thread: it closes batches, talks to the engine and hands the results on.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use gst::{ClockTime, FlowError, ProgressType, prelude::*, subclass::prelude::*};

use super::{
    CAT, FlowVidFilter,
    alarm::Alarm,
    caps::Format,
    items::{InputFrame, Output},
    latency::{Stopwatch, Verdict},
    messages::{self, BatchReport},
    metas::{self, FrameNote, History},
    negotiated::Negotiated,
    regions::Restriction,
    settings::Settings,
    stream::{Stale, Stream, Work},
    tags, watchdog,
};
use crate::engine::{
    self, EditedBatch, EditedFrame, Engine, EngineError, Frame, ModelRequest, Pace, Picture, Samples,
};

/// The worker's own memory.
pub struct Worker {
    stream: Arc<Stream>,
    element: glib::WeakRef<FlowVidFilter>,
    request: ModelRequest,
    engine: Option<Box<dyn Engine>>,
    output: Option<Negotiated>,
    generation: u64,
    history: History,
    /// A frame has left since the start or the last flush or event that resets.
    shot_sent: bool,
    told_of_nothing_to_do: bool,
    told_of_hdr: bool,
}

/// Why a step was left.
enum Leave {
    /// There is other work to do.
    Stale,
    /// The user was told, and the flow ends.
    Failed(FlowError),
}

impl From<Stale> for Leave {
    fn from(_: Stale) -> Self {
        Self::Stale
    }
}

impl Worker {
    /// For the stream that begins.
    pub fn new(stream: Arc<Stream>, element: &FlowVidFilter, request: ModelRequest) -> Self {
        Self {
            stream,
            element: element.downgrade(),
            request,
            engine: None,
            output: None,
            generation: 0,
            history: History::default(),
            shot_sent: false,
            told_of_nothing_to_do: false,
            told_of_hdr: false,
        }
    }

    /// Works until the stream stops; `load_now`: the engine will be needed. No panic leaves, and whatever
    /// happens nobody waits for the worker any longer.
    pub fn run(mut self, load_now: bool) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work(load_now)));
        if let Err(panic) = outcome {
            // Before upstream hears of it: applications show the first error, which should be the cause.
            self.post_engine_error(&EngineError::Internal(panic_text(&*panic)));
        }
        self.stream.worker_gone();
    }

    fn work(&mut self, load_now: bool) {
        if load_now {
            self.end_flow_on_error(|worker| worker.open_engine());
        }
        loop {
            match self.stream.next_work(self.generation) {
                Work::Stop => return,
                Work::Flushed(generation) => {
                    self.generation = generation;
                    self.reset();
                }
                Work::Reset => self.reset(),
                Work::Caps(format) => self.end_flow_on_error(|worker| worker.caps(&format)),
                Work::Frame(frame) => self.end_flow_on_error(|worker| worker.frame(*frame)),
            }
        }
    }

    fn end_flow_on_error(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Leave>) {
        if let Err(Leave::Failed(flow)) = step(self) {
            self.stream.fail(flow);
        }
    }

    fn reset(&mut self) {
        self.shot_sent = false;
        if let Some(engine) = &mut self.engine {
            engine.reset();
        }
    }

    /// Opens the engine unless it is open.
    fn open_engine(&mut self) -> Result<(), Leave> {
        if self.engine.is_some() {
            return Ok(());
        }
        let Some(element) = self.element.upgrade() else { return Err(Leave::Stale) };
        self.stream.begin_work();
        let loaded = element.imp().has_loaded(&self.request);
        if !loaded {
            self.progress(ProgressType::Start, "loading the model");
        }
        match engine::open(&self.request, &self.stream.stop) {
            Ok(engine) => {
                let device = format!("model loaded on {}", engine.device());
                let told: Vec<_> = [device].into_iter().chain(engine.notes()).collect();
                self.take_engine(&element, engine);
                if !loaded {
                    self.progress(ProgressType::Complete, &told.join("; "));
                }
                Ok(())
            }
            Err(EngineError::Cancelled) => {
                self.progress(ProgressType::Canceled, "loading was stopped");
                Err(Leave::Stale)
            }
            Err(error) => {
                self.progress(ProgressType::Error, &error.to_string());
                Err(self.report(&error))
            }
        }
    }

    fn take_engine(&mut self, element: &FlowVidFilter, engine: Box<dyn Engine>) {
        element.imp().set_active_device(&engine.device());
        element.imp().keep_loaded(&self.request, engine.loaded());
        let settings = element.imp().settings.lock().clone();
        if self.stream.set_batch(engine.batch_frames(&settings.parameters).max(1)) {
            self.post_latency();
        }
        self.engine = Some(engine);
    }

    // Negotiation.

    fn caps(&mut self, format: &Arc<Format>) -> Result<(), Leave> {
        let (output, event) = self.negotiate(format)?;
        self.reset();
        self.stream.finish_caps(self.generation, event)?;
        self.output = Some(output); // not where a flush came between: then downstream was told nothing
        Ok(())
    }

    /// Decides the output's format; with the CAPS event, unless downstream knows it already.
    fn negotiate(&self, format: &Arc<Format>) -> Result<(Negotiated, Option<gst::Event>), Leave> {
        let Some(element) = self.element.upgrade() else { return Err(Leave::Stale) };
        let srcpad = &element.imp().srcpad;
        srcpad.check_reconfigure();
        let allowed = srcpad.peer_query_caps(None);
        let compare = element.imp().settings.lock().compare;
        let Some(output) = Negotiated::choose(format, compare, &allowed) else {
            srcpad.mark_reconfigure();
            return Err(self.not_negotiated(format, &allowed));
        };
        gst::info!(CAT, obj = element, "{} in, {} out", format.caps, output.caps);
        let known = self.output.as_ref().is_some_and(|before| before.caps == output.caps);
        let event = (!known).then(|| gst::event::Caps::new(&output.caps));
        Ok((output, event))
    }

    fn not_negotiated(&self, format: &Format, allowed: &gst::Caps) -> Leave {
        if self.stream.flow() == Err(FlowError::Flushing) {
            return Leave::Stale;
        }
        self.with_element(|element| {
            gst::element_error!(
                element,
                gst::CoreError::Negotiation,
                ("downstream takes no format that {} can become", format.info.format()),
                ["{} in, {allowed} allowed", format.caps]
            );
        });
        Leave::Failed(FlowError::NotNegotiated)
    }

    /// Negotiates again where downstream asked for it, or where a flush took the caps away.
    fn keep_negotiated(&mut self, format: &Arc<Format>) -> Result<(), Leave> {
        let asked = self.element.upgrade().is_some_and(|element| element.imp().srcpad.needs_reconfigure());
        let known = self.output.as_ref().is_some_and(|output| output.input == *format);
        if known && !asked {
            return Ok(());
        }
        let (output, event) = self.negotiate(format)?;
        if let Some(event) = event {
            self.stream.insert_event(self.generation, event)?;
        }
        self.output = Some(output);
        Ok(())
    }

    // Frames.

    fn frame(&mut self, first: InputFrame) -> Result<(), Leave> {
        self.keep_negotiated(&first.format)?;
        if first.settings.uses_engine() && !first.bypass { self.batch(&first) } else { self.bypass(first) }
    }

    /// The frame at the head passes unchanged.
    fn bypass(&mut self, frame: InputFrame) -> Result<(), Leave> {
        let nothing_to_do = frame.settings.enabled && !frame.settings.uses_engine();
        if nothing_to_do && !std::mem::replace(&mut self.told_of_nothing_to_do, true) {
            self.warn("nothing is asked for, so frames pass unchanged: set prompt or edited-frame");
        }
        if let Some(engine) = &mut self.engine {
            engine.reset(); // what it remembers is from before these frames
        }
        self.send(frame, &UNCHANGED, None, None)?;
        self.with_element(|element| element.imp().status.lock().bypassed += 1);
        Ok(())
    }

    /// Closes the batch at the head, has it edited and sends it.
    fn batch(&mut self, first: &InputFrame) -> Result<(), Leave> {
        let settings: &Settings = &first.settings;
        self.open_engine()?;
        self.warn_of_hdr();
        let Some(engine) = &mut self.engine else { return Err(Leave::Stale) };
        let pace = Pace { first: first.stream_time, frame: self.stream.frame_time().of(1).nseconds() };
        let wanted = engine.batch_frames_at(&settings.parameters, pace).max(1);
        if self.stream.make_room(wanted) {
            self.post_latency();
        }
        let (frames, cancel) = self.stream.collect(
            self.generation,
            wanted,
            |number, time| self.set_alarm(number, time),
            || self.explain_stall(),
        )?;
        let watch = Stopwatch::start(self.clock());
        let pictures = self.pictures(&frames)?;
        let restriction = Restriction::of(&frames, &pictures);
        let mut edited = match self
            .engine_guarded(|engine| engine.process(pictures, &settings.parameters, &cancel))
        {
            Ok(batch) if batch.frames.len() == frames.len() => batch,
            Ok(batch) => {
                let (wrong, right) = (batch.frames.len(), frames.len());
                return Err(self.report(&EngineError::Internal(format!("{wrong} frames back for {right}"))));
            }
            Err(EngineError::Cancelled) if cancel.is_cancelled() => return Err(Leave::Stale),
            Err(error) => return Err(self.report(&error)),
        };
        restriction.apply(&mut edited.frames);
        self.record_processing(watch.elapsed());
        self.tell(&frames, &edited, watch.wall());
        let times = frames.iter().map(|frame| ClockTime::from_nseconds(frame.stream_time));
        let notes = self.history.batch(edited.frames.iter().zip(times));
        let mut tags = settings.add_tags.then(|| tags::of(settings));
        for ((frame, edited), note) in frames.into_iter().zip(&edited.frames).zip(notes) {
            let tags = edited.picture.as_ref().and_then(|_| tags.take());
            self.send(frame, edited, tags, Some(note).filter(|_| settings.add_meta))?;
        }
        Ok(())
    }

    /// The models know pictures as monitors of standard dynamic range show them.
    fn warn_of_hdr(&mut self) {
        let transfer = self.output.as_ref().and_then(|output| output.input.hdr());
        if let Some(transfer) = transfer
            && !std::mem::replace(&mut self.told_of_hdr, true)
        {
            self.warn(&format!(
                "{transfer} video is edited as if it were of standard dynamic range, so the edit may look flat or too \
                 bright; its colorimetry and HDR fields go on unchanged. For a correct picture map the tones before \
                 flowvidfilter"
            ));
        }
    }

    fn clock(&self) -> Option<gst::Clock> {
        self.element.upgrade()?.clock()
    }

    fn set_alarm(&self, number: u64, time: ClockTime) -> Alarm {
        let stream = self.stream.clone();
        Alarm::set(self.clock(), time, move || stream.ring(number))
    }

    /// No frame comes; whether that is a full branch beside ours, which the user then is told of.
    fn explain_stall(&self) -> bool {
        let Some(element) = self.element.upgrade() else { return false };
        if !watchdog::is_flowing(element.upcast_ref()) {
            gst::debug!(CAT, obj = element, "no frame comes: the pipeline is paused");
            return false;
        }
        let full = watchdog::full_siblings(&element.imp().sinkpad);
        if full.is_empty() {
            gst::debug!(CAT, obj = element, "no frame comes, and no branch beside this one is full");
            return false;
        }
        let frames = self.stream.delay().batch_frames;
        let queues = full.join(", ");
        gst::element_warning!(
            element,
            gst::StreamError::Failed,
            ("the pipeline stands still: {queues} is full before flowvidfilter has the {frames} frames of a batch. \
              Set max-size-buffers=0 max-size-bytes=0 max-size-time=0 on {queues}, or lower batch-size or \
              keyframe-interval")
        );
        true
    }

    fn record_processing(&self, time: ClockTime) {
        match self.stream.record_processing(time) {
            Verdict::Fine => {}
            Verdict::Grew => self.post_latency(),
            Verdict::OverFixed(time) => self.warn(&format!(
                "a batch takes {time}, longer than processing-latency: live frames come too late; raise it, or set \
                 0 to have it measured"
            )),
        }
    }

    fn pictures(&mut self, frames: &[InputFrame]) -> Result<Vec<Frame>, Leave> {
        let Some(output) = &mut self.output else { return Err(Leave::Stale) };
        let looks = self.engine.as_ref().is_some_and(|engine| engine.looks_at_pictures());
        let pictures: Result<Vec<Frame>, glib::BoolError> = frames
            .iter()
            .map(|frame| {
                Ok(Frame {
                    picture: Arc::new(if looks { output.picture(frame)? } else { empty() }),
                    stream_time: frame.stream_time,
                    starts_shot: frame.starts_shot,
                })
            })
            .collect();
        pictures.map_err(|error| self.report(&EngineError::Internal(error.to_string())))
    }

    /// Calls the engine; a panic of it becomes an error, and the engine is dropped.
    fn engine_guarded(
        &mut self,
        call: impl FnOnce(&mut dyn Engine) -> Result<EditedBatch, EngineError>,
    ) -> Result<EditedBatch, EngineError> {
        let Some(engine) = &mut self.engine else { return Err(EngineError::Cancelled) };
        catch_unwind(AssertUnwindSafe(|| call(engine.as_mut()))).unwrap_or_else(|panic| {
            self.engine = None;
            Err(EngineError::Internal(panic_text(&*panic)))
        })
    }

    /// Sends the frame at the head as `edited` says, after `tags` and with `note` on it.
    fn send(
        &mut self,
        frame: InputFrame,
        edited: &EditedFrame,
        tags: Option<gst::TagList>,
        note: Option<FrameNote>,
    ) -> Result<(), Leave> {
        let before = self.before(&frame, edited, tags);
        let Some(output) = &mut self.output else { return Err(Leave::Stale) };
        let buffer = output.output(frame, edited);
        let noted = buffer.and_then(|mut buffer| {
            note.map_or(Ok(()), |note| metas::attach(buffer.make_mut(), &note)).map(|()| buffer)
        });
        let buffer = noted.map_err(|error| self.report(&EngineError::Internal(error.to_string())))?;
        self.stream.finish_frame(self.generation, buffer, before)?;
        self.shot_sent = true;
        Ok(())
    }

    /// What downstream hears just before the frame.
    fn before(&self, frame: &InputFrame, edited: &EditedFrame, tags: Option<gst::TagList>) -> Vec<Output> {
        let cut = edited.starts_shot && self.shot_sent && !frame.key_unit_asked;
        let key_unit = cut.then(|| Output::Event(force_key_unit(frame)));
        tags.map(Output::Tags).into_iter().chain(key_unit).collect()
    }

    // What the application hears.

    fn tell(&mut self, frames: &[InputFrame], edited: &EditedBatch, wall: Duration) {
        let keyframes = edited.frames.iter().filter(|frame| frame.keyframe).count();
        let pts = |frame: Option<&InputFrame>| frame.and_then(|frame| frame.buffer.pts());
        let report = BatchReport {
            index: self.history.batches(),
            span: (pts(frames.first()), pts(frames.last())),
            frames: (frames.len(), keyframes),
            duration: self.stream.frame_time().of(frames.len() as u64),
            wall,
            timings: &edited.timings,
        };
        self.with_element(|element| {
            messages::batch(element, &report);
            let mut status = element.imp().status.lock();
            status.batches += 1;
            status.keyframes += keyframes as u64;
        });
        for warning in &edited.warnings {
            self.warn(warning);
        }
    }

    fn with_element(&self, call: impl FnOnce(&FlowVidFilter)) {
        if let Some(element) = self.element.upgrade() {
            call(&element);
        }
    }

    fn progress(&self, kind: ProgressType, text: &str) {
        self.with_element(|element| messages::progress(element, kind, text));
    }

    fn post_latency(&self) {
        self.with_element(messages::latency);
    }

    fn warn(&self, text: &str) {
        self.with_element(|element| {
            gst::element_warning!(element, gst::LibraryError::Settings, ("{text}"));
        });
    }

    /// Tells the user of `error`; the flow is to end.
    fn report(&self, error: &EngineError) -> Leave {
        self.post_engine_error(error);
        Leave::Failed(FlowError::Error)
    }

    fn post_engine_error(&self, error: &EngineError) {
        self.with_element(|element| match error {
            EngineError::OutOfMemory { .. } => {
                gst::element_error!(element, gst::ResourceError::NoSpaceLeft, ("{error}"));
            }
            EngineError::Unavailable(_) => {
                gst::element_error!(element, gst::LibraryError::Init, ("{error}"));
            }
            EngineError::Settings(_) => {
                gst::element_error!(element, gst::LibraryError::Settings, ("{error}"));
            }
            EngineError::Internal(_) | EngineError::Cancelled => {
                gst::element_error!(element, gst::LibraryError::Failed, ("{error}"));
            }
        });
    }
}

/// For an engine that does not look.
fn empty() -> Picture {
    Picture { width: 0, height: 0, samples: Samples::U8(Vec::new()) }
}

/// What becomes of a frame that no engine saw.
static UNCHANGED: EditedFrame = EditedFrame { picture: None, keyframe: false, starts_shot: false };

/// Asks the encoder for a key unit where a new shot begins.
fn force_key_unit(frame: &InputFrame) -> gst::Event {
    gst_video::DownstreamForceKeyUnitEvent::builder()
        .timestamp(frame.buffer.pts())
        .stream_time(ClockTime::from_nseconds(frame.stream_time))
        .running_time(frame.running_time)
        .all_headers(true)
        .build()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without a text".into())
}

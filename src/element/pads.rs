//! The pads: what upstream's thread, the source pad's thread and queries do.

use std::sync::Arc;

use gst::{ClockTime, FlowError, FlowSuccess, prelude::*, subclass::prelude::*};
use gst_video::prelude::*;

use super::{
    CAT, allocation,
    caps::{self, Format},
    frames,
    imp::FlowVidFilter,
    items::{Boundary, Input, InputFrame, Output},
    latency::{self, Latency},
    messages,
    overload::Relief,
    stream::Stream,
};
use crate::engine::CutDetection;

/// What upstream's thread remembers.
#[derive(Debug, Default)]
pub struct Upstream {
    format: Option<Arc<Format>>,
    segment: gst::FormattedSegment<ClockTime>,
    last_pts: Option<ClockTime>,
    /// An event said that the next frame begins a shot.
    shot_announced: bool,
    frames: u64,
    /// The user knows that a batch was called off.
    told_of_call_off: bool,
    /// EOS came: no more frames will carry an error back to upstream.
    ended: bool,
}

/// How far downstream has got.
#[derive(Debug, Default)]
pub struct Position {
    segment: gst::FormattedSegment<ClockTime>,
    pts: Option<ClockTime>,
}

impl FlowVidFilter {
    pub(super) fn sink_pad(template: &gst::PadTemplate) -> gst::Pad {
        gst::Pad::builder_from_template(template)
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(parent, || Err(FlowError::Error), |imp| imp.chain(buffer))
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_query(pad, query))
            })
            .build()
    }

    pub(super) fn src_pad(template: &gst::PadTemplate) -> gst::Pad {
        gst::Pad::builder_from_template(template)
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.src_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.src_query(pad, query))
            })
            .activatemode_function(|pad, parent, _mode, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::loggable_error!(CAT, "panic while activating")),
                    |imp| imp.src_activate(pad, active),
                )
            })
            .build()
    }

    // Upstream's thread.

    fn chain(&self, buffer: gst::Buffer) -> Result<FlowSuccess, FlowError> {
        gst::log!(CAT, obj = self.sinkpad, "{buffer:?}");
        let stream = self.stream().ok_or(FlowError::Flushing)?;
        stream.flow()?;
        let frame = self.take_frame(buffer)?;
        self.status.lock().frames_in += 1;
        stream.push_frame(frame, |relief| self.tell_of_overload(&stream, &relief))
    }

    fn tell_of_overload(&self, stream: &Stream, relief: &Relief) {
        let behind = stream.delay();
        for frame in &relief.dropped {
            let mut status = self.status.lock();
            status.dropped += 1;
            let passed = status.frames_out;
            let dropped = status.dropped;
            drop(status);
            gst::debug!(CAT, imp = self, "dropped {:?}: the engine is behind", frame.buffer.pts());
            messages::dropped(&self.obj(), frame, (passed, dropped), &behind);
        }
        if relief.call_off && !std::mem::replace(&mut self.upstream.lock().told_of_call_off, true) {
            gst::element_imp_warning!(
                self,
                gst::CoreError::TooLazy,
                ("the engine is several times slower than this live stream, so frames pass unedited: lower \
                  processing-size, steps or batch-size, or set overload-policy=drop")
            );
        }
    }

    /// Copies upstream's buffer and lets go of it.
    fn take_frame(&self, buffer: gst::Buffer) -> Result<InputFrame, FlowError> {
        let mut upstream = self.upstream.lock();
        let format = upstream.format.clone().ok_or(FlowError::NotNegotiated)?;
        if buffer.video_flags().contains(gst_video::VideoBufferFlags::INTERLACED) {
            drop(upstream);
            self.refuse(caps::INTERLACED);
            return Err(FlowError::NotNegotiated);
        }
        let discont = buffer.flags().intersects(gst::BufferFlags::DISCONT | gst::BufferFlags::RESYNC);
        let key_unit_asked = std::mem::take(&mut upstream.shot_announced);
        let (stream_time, running_time) = upstream.times(&buffer);
        let slower = self.measure_rate(&mut upstream, &format, &buffer);
        drop(upstream);
        if slower {
            messages::latency(&self.obj());
        }
        if let Some(time) = stream_time {
            let _ = self.obj().sync_values(time); // fails only where nothing is controlled
        }
        let copy = frames::take(&buffer, &format.info).map_err(|error| {
            self.refuse(&format!("a buffer is no frame of the caps: {error}"));
            FlowError::Error
        })?;
        Ok(InputFrame {
            buffer: copy,
            format,
            settings: self.settings.lock().clone(),
            stream_time: stream_time.unwrap_or_default().nseconds(),
            running_time,
            starts_shot: key_unit_asked || discont,
            key_unit_asked,
            arrived: self.obj().clock().map(|clock| clock.time()),
            bypass: false,
        })
    }

    /// Without a rate in the caps the latency is told by the distance of two frames; true if it is news.
    fn measure_rate(&self, upstream: &mut Upstream, format: &Format, buffer: &gst::BufferRef) -> bool {
        let before = std::mem::replace(&mut upstream.last_pts, buffer.pts());
        if format.info.fps().numer() == 0
            && let (Some(before), Some(now)) = (before, buffer.pts())
        {
            return self
                .stream()
                .is_some_and(|stream| stream.record_distance(now.max(before) - now.min(before)));
        }
        false
    }

    /// What is known of upstream's time when caps come.
    fn learn_timing(&self, format: &Format) {
        let Some(stream) = self.stream() else { return };
        stream.set_rate(format.info.fps());
        let mut query = gst::query::Latency::new();
        if self.sinkpad.peer_query(&mut query) {
            stream.set_live(query.result().0);
        }
        if format.info.fps().numer() == 0 {
            gst::warning!(
                CAT,
                imp = self,
                "variable frame rate: the latency is told for 25/1 until two frames came"
            );
        }
        // Until now the frame rate, so the latency, was a guess.
        messages::latency(&self.obj());
    }

    fn refuse(&self, text: &str) {
        gst::element_imp_error!(self, gst::StreamError::Format, ("{text}"));
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        gst::debug!(CAT, obj = pad, "{event:?}");
        match event.view() {
            EventView::FlushStart(_) => self.flush_start(event),
            EventView::FlushStop(_) => self.flush_stop(event),
            EventView::Caps(caps) => self.sink_caps(caps.caps()),
            EventView::Segment(segment) => self.sink_segment(segment.segment(), &event),
            EventView::StreamStart(_) => {
                self.rearm();
                self.queue_event(event.clone(), Boundary::Reset)
            }
            EventView::Eos(_) => self.sink_eos(&event),
            EventView::Gap(gap) => {
                let boundary = self.gap_boundary(gap.get().1);
                self.queue_event(event.clone(), boundary)
            }
            _ if !event.is_serialized() => gst::Pad::event_default(pad, Some(&*self.obj()), event),
            _ => self.sink_other(event),
        }
    }

    fn sink_other(&self, event: gst::Event) -> bool {
        let boundary = match event.view() {
            gst::EventView::SegmentDone(_) => Boundary::Close,
            gst::EventView::CustomDownstream(_) if is_key_unit(&event) && self.events_cut() => {
                self.upstream.lock().shot_announced = true;
                Boundary::Close
            }
            gst::EventView::CustomDownstream(_) if is_still(&event) => Boundary::Close,
            _ => Boundary::None,
        };
        self.queue_event(event, boundary)
    }

    /// Whether upstream's force-key-unit events begin shots.
    fn events_cut(&self) -> bool {
        self.settings.lock().parameters.cut_detection != CutDetection::Off
    }

    /// A sticky event after an error counts as taken: the next frame brings upstream the error itself,
    /// where a refused event would only make it NOT_NEGOTIATED.
    fn push_item(&self, item: Input, sticky: bool) -> bool {
        self.stream()
            .is_some_and(|stream| stream.push_event(item) || (sticky && stream.flow().is_err_and(is_fatal)))
    }

    fn queue_event(&self, event: gst::Event, boundary: Boundary) -> bool {
        let sticky = event.is_sticky() && event.type_() != gst::EventType::Eos;
        self.push_item(Input::Event(event, boundary), sticky)
    }

    fn rearm(&self) {
        let mut upstream = self.upstream.lock();
        upstream.ended = false;
        upstream.last_pts = None;
        drop(upstream);
        if let Some(stream) = self.stream() {
            stream.rearm();
        }
    }

    fn sink_caps(&self, caps: &gst::CapsRef) -> bool {
        let format = match Format::new(caps) {
            Ok(format) => Arc::new(format),
            Err(text) => {
                self.refuse(&text);
                return false;
            }
        };
        self.upstream.lock().format = Some(format.clone());
        self.learn_timing(&format);
        self.push_item(Input::Caps(format), true)
    }

    fn sink_segment(&self, segment: &gst::Segment, event: &gst::Event) -> bool {
        let Some(segment) = segment.downcast_ref::<ClockTime>() else {
            self.refuse(
                "only segments in time can be edited: put a decoder or `videoparse` before flowvidfilter",
            );
            return false;
        };
        self.rearm();
        let continues = self.upstream.lock().enter(segment);
        self.queue_event(event.clone(), if continues { Boundary::None } else { Boundary::Reset })
    }

    fn sink_eos(&self, event: &gst::Event) -> bool {
        self.upstream.lock().ended = true;
        let flow = self.stream().map_or(Err(FlowError::Flushing), |stream| stream.flow());
        match flow {
            Err(error) if is_fatal(error) => {
                self.post_flow_error(error);
                false
            }
            _ => self.queue_event(event.clone(), Boundary::Reset),
        }
    }

    /// A gap of a frame or more ends the batch: motion cannot be followed across it.
    fn gap_boundary(&self, duration: Option<ClockTime>) -> Boundary {
        let frame = self.stream().map(|stream| stream.frame_time().of(1));
        match (duration, frame) {
            (Some(gap), Some(frame)) if gap < frame => Boundary::None,
            _ => Boundary::Close,
        }
    }

    fn flush_start(&self, event: gst::Event) -> bool {
        let pushed = self.srcpad.push_event(event);
        if let Some(stream) = self.stream() {
            stream.flush_start();
        }
        self.flush_pool(true);
        let _ = self.srcpad.pause_task(); // there is none before activation
        pushed
    }

    fn flush_stop(&self, event: gst::Event) -> bool {
        let pushed = self.srcpad.push_event(event);
        // Whoever holds this lock is the task on its last round; after it the queues are ours.
        drop(self.srcpad.stream_lock());
        self.upstream.lock().forget();
        *self.position.lock() = Position::default();
        self.flush_pool(false);
        if let Some(stream) = self.stream() {
            stream.flush_stop();
            self.start_task();
        }
        pushed
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let waits = query.is_serialized() && query.type_() != gst::QueryType::Allocation;
        if waits && !self.stream().is_some_and(|stream| stream.drain()) {
            return false;
        }
        match query.view_mut() {
            gst::QueryViewMut::Caps(caps) => {
                let result = caps::through(&self.srcpad.peer_query_caps(None), caps.filter());
                caps.set_result(&result);
                true
            }
            gst::QueryViewMut::Allocation(allocation) => {
                allocation::propose(allocation);
                true
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    // Downstream's requests.

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = pad, "{event:?}");
        if event.type_() == gst::EventType::Reconfigure {
            self.ask_downstream_again();
            if self.stream().is_some_and(|stream| stream.relinked()) {
                self.start_task();
            }
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => self.query_latency(latency),
            gst::QueryViewMut::Caps(caps) => {
                let result = caps::through(&self.sinkpad.peer_query_caps(None), caps.filter());
                caps.set_result(&result);
                true
            }
            gst::QueryViewMut::Position(position) if position.format() == gst::Format::Time => {
                match self.position.lock().stream_time() {
                    Some(time) => {
                        position.set(time);
                        true
                    }
                    None => self.sinkpad.peer_query(query),
                }
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn query_latency(&self, query: &mut gst::query::Latency) -> bool {
        let mut upstream = gst::query::Latency::new();
        if !self.sinkpad.peer_query(&mut upstream) {
            return false;
        }
        let (live, min, max) = upstream.result();
        let upstream = Latency { live, min, max };
        let answer = self.stream().map_or(upstream, |stream| {
            stream.set_live(live);
            latency::reported(upstream, &stream.delay())
        });
        gst::debug!(CAT, imp = self, "latency: upstream {upstream:?}, with ours {answer:?}");
        query.set(answer.live, answer.min, answer.max);
        true
    }

    // The source pad's thread.

    fn src_activate(&self, pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
        if active {
            self.start_task();
        } else {
            if let Some(stream) = self.stream() {
                stream.flush_start();
            }
            self.ask_downstream_again();
            self.leave_pool();
            pad.stop_task().map_err(|_| gst::loggable_error!(CAT, "the task cannot be stopped"))?;
        }
        Ok(())
    }

    fn start_task(&self) {
        let element = self.obj().downgrade();
        let started = self.srcpad.start_task(move || {
            if let Some(element) = element.upgrade() {
                element.imp().push_one();
            }
        });
        if started.is_err() {
            gst::error!(CAT, imp = self, "the source pad's task cannot be started");
        }
    }

    /// One round of the task.
    fn push_one(&self) {
        let Some(stream) = self.stream() else {
            let _ = self.srcpad.pause_task(); // it is about to be stopped
            return;
        };
        match stream.next_output() {
            Some(Output::Buffer(buffer)) => self.push_buffer(buffer),
            Some(Output::Event(event)) => self.push_out_event(event),
            Some(Output::Tags(tags)) => self.announce(tags),
            Some(Output::Drained(ticket)) => stream.drained(ticket),
            None => drop(self.srcpad.pause_task()), // a flush or a new link starts it again
        }
    }

    fn push_buffer(&self, buffer: gst::Buffer) {
        gst::log!(CAT, obj = self.srcpad, "{buffer:?}");
        let pts = buffer.pts();
        match self.in_downstreams_memory(buffer).and_then(|buffer| self.srcpad.push(buffer)) {
            Ok(_) => {
                self.position.lock().pts = pts;
                self.status.lock().frames_out += 1;
            }
            Err(error) => self.push_failed(error),
        }
    }

    fn push_out_event(&self, event: gst::Event) {
        if let gst::EventView::Segment(segment) = event.view()
            && let Some(segment) = segment.segment().downcast_ref::<ClockTime>()
        {
            *self.position.lock() = Position { segment: segment.clone(), pts: None };
        }
        let caps = event.type_() == gst::EventType::Caps;
        let event = self.tags.lock().pass(event);
        self.srcpad.push_event(event);
        if caps {
            self.ask_downstream_again();
        }
    }

    fn announce(&self, tags: gst::TagList) {
        let event = self.tags.lock().announce(tags);
        if let Some(event) = event {
            self.srcpad.push_event(event);
        }
    }

    fn push_failed(&self, error: FlowError) {
        gst::info!(CAT, imp = self, "downstream answers {error:?}");
        let Some(stream) = self.stream() else { return };
        match error {
            FlowError::Flushing => drop(self.srcpad.pause_task()),
            FlowError::Eos => stream.downstream_eos(),
            _ => {
                stream.fail(error);
                if is_fatal(error) && self.upstream.lock().ended {
                    self.post_flow_error(error);
                }
            }
        }
    }

    fn post_flow_error(&self, error: FlowError) {
        gst::element_imp_error!(
            self,
            gst::StreamError::Failed,
            ("data flow stopped: downstream answers {error:?}"),
            details: gst::Structure::builder("details")
                .field("flow-return", glib::translate::IntoGlib::into_glib(error))
                .build()
        );
    }
}

impl Upstream {
    /// After a flush only the format is still true.
    fn forget(&mut self) {
        *self = Self { format: self.format.take(), ..Default::default() };
    }

    /// The frame's place in the stream (counted where it has no timestamp) and on the clock.
    fn times(&mut self, buffer: &gst::BufferRef) -> (Option<ClockTime>, Option<ClockTime>) {
        self.frames += 1;
        let running_time = self.segment.to_running_time(buffer.pts());
        let counted = ClockTime::from_nseconds(self.frames - 1);
        (self.segment.to_stream_time(buffer.pts()).or(Some(counted)), running_time)
    }

    /// Takes a new segment; true if it goes on with the one before.
    fn enter(&mut self, segment: &gst::FormattedSegment<ClockTime>) -> bool {
        let mut before = std::mem::replace(&mut self.segment, segment.clone());
        before.set_position(segment.position());
        before == *segment && self.frames > 0
    }
}

impl Position {
    fn stream_time(&self) -> Option<ClockTime> {
        self.segment.to_stream_time(self.pts)
    }
}

fn is_key_unit(event: &gst::EventRef) -> bool {
    gst_video::DownstreamForceKeyUnitEvent::parse(event).is_ok()
}

fn is_still(event: &gst::EventRef) -> bool {
    gst_video::StillFrameEvent::parse(event).is_ok_and(|still| still.in_still)
}

/// Errors that upstream must hear of even if it sends no more frames.
fn is_fatal(error: FlowError) -> bool {
    !matches!(error, FlowError::Eos | FlowError::Flushing)
}

//! The sink pad: what upstream's thread does.

mod upstream;

use std::sync::Arc;

use gst::{ClockTime, FlowError, FlowSuccess, prelude::*, subclass::prelude::*};
use gst_video::prelude::*;

use super::{
    CAT, allocation,
    caps::{self, Format},
    compare,
    enums::Interlaced,
    frames,
    imp::FlowVidFilter,
    items::{Boundary, Input, InputFrame},
    messages,
    overload::Relief,
    srcpad::{Position, is_fatal},
    stream::Stream,
};
use crate::engine::CutDetection;

pub use upstream::Upstream;

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
    fn chain(&self, mut buffer: gst::Buffer) -> Result<FlowSuccess, FlowError> {
        gst::log!(CAT, obj = self.sinkpad, "{buffer:?}");
        let stream = self.stream().ok_or(FlowError::Flushing)?;
        stream.flow()?;
        if !self.upstream.lock().lets_in(&mut buffer) {
            gst::log!(CAT, obj = self.sinkpad, "dropped {:?}: outside the segment", buffer.pts());
            return Ok(FlowSuccess::Ok);
        }
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
        let policy = self.settings.lock().interlaced;
        let mut upstream = self.upstream.lock();
        let format = upstream.format.clone().ok_or(FlowError::NotNegotiated)?;
        let flagged = buffer.video_flags().contains(gst_video::VideoBufferFlags::INTERLACED);
        let interlaced = flagged || format.is_interlaced();
        if interlaced && policy == Interlaced::Error {
            drop(upstream);
            self.refuse(caps::INTERLACED);
            return Err(FlowError::NotNegotiated);
        }
        let discont = upstream.lost_track(&buffer);
        let key_unit_asked = std::mem::take(&mut upstream.shot_announced);
        let (stream_time, running_time) = upstream.times(&buffer);
        let counted = upstream.count();
        let alone = upstream.shows_key_units_only();
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
            stream_time: stream_time.map_or(counted, ClockTime::nseconds),
            running_time,
            starts_shot: key_unit_asked || discont || alone,
            key_unit_asked,
            arrived: self.obj().clock().map(|clock| clock.time()),
            bypass: interlaced && policy == Interlaced::Bypass,
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
        let refuses = self.settings.lock().interlaced == Interlaced::Error;
        let format = match Format::new(caps) {
            Ok(format) if format.is_interlaced() && refuses => {
                self.refuse(caps::INTERLACED);
                return false;
            }
            Ok(format) => Arc::new(format),
            Err(text) => {
                self.refuse(&text);
                return false;
            }
        };
        let before = self.upstream.lock().format.replace(format.clone());
        self.learn_timing(&format);
        // The same caps once more end no batch.
        before.is_some_and(|before| before == format) || self.push_item(Input::Caps(format), true)
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
        self.halt();
        pushed
    }

    /// Nobody waits in the element any longer, and the source pad's thread has ended its round.
    fn halt(&self) {
        if let Some(stream) = self.stream() {
            stream.flush_start();
        }
        self.flush_pool(true);
        let _ = self.srcpad.pause_task(); // there is none before activation
    }

    fn flush_stop(&self, event: gst::Event) -> bool {
        self.halt(); // again, for a FLUSH_STOP without a FLUSH_START
        let pushed = self.srcpad.push_event(event);
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
                let compare = self.settings.lock().compare;
                let peer = compare::inside(compare, self.srcpad.peer_query_caps(None));
                let result = caps::through(&peer, caps.filter());
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
}

fn is_key_unit(event: &gst::EventRef) -> bool {
    gst_video::DownstreamForceKeyUnitEvent::parse(event).is_ok()
}

fn is_still(event: &gst::EventRef) -> bool {
    gst_video::StillFrameEvent::parse(event).is_ok_and(|still| still.in_still)
}

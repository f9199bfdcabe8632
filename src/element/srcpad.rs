//! The source pad: what its own thread does, and what downstream asks for.

use gst::{ClockTime, FlowError, prelude::*, subclass::prelude::*};

use super::{
    CAT, caps, compare,
    imp::FlowVidFilter,
    items::Output,
    latency::{self, Latency},
};

/// How far downstream has got.
#[derive(Debug, Default)]
pub struct Position {
    segment: gst::FormattedSegment<ClockTime>,
    pts: Option<ClockTime>,
}
impl FlowVidFilter {
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
                let compare = self.settings.lock().compare;
                let peer = compare::outside(compare, self.sinkpad.peer_query_caps(None));
                let result = caps::through(&peer, caps.filter());
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

    pub(super) fn start_task(&self) {
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
            FlowError::Eos => stream.downstream_eos(),
            // FLUSHING, too: where downstream flushes by itself, upstream must not wait for room for ever.
            _ => {
                stream.fail(error);
                if is_fatal(error) && self.upstream.lock().ended {
                    self.post_flow_error(error);
                }
            }
        }
    }

    pub(super) fn post_flow_error(&self, error: FlowError) {
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

impl Position {
    fn stream_time(&self) -> Option<ClockTime> {
        // A frame that begins before the segment is there from the segment's start on.
        self.segment.to_stream_time(self.pts.max(self.pts.and(self.segment.start())))
    }
}

/// Errors that upstream must hear of even if it sends no more frames.
pub fn is_fatal(error: FlowError) -> bool {
    !matches!(error, FlowError::Eos | FlowError::Flushing)
}

//! What the element tells the application on the bus.

use std::time::Duration;

use gst::{ClockTime, ProgressType, prelude::*};

use super::{FlowVidFilter, items::InputFrame, latency::Delay};

/// The code of all PROGRESS messages.
const PROGRESS_CODE: &str = "flowvid-load";

/// A step in the loading of the model.
pub fn progress(element: &FlowVidFilter, kind: ProgressType, text: &str) {
    post(element, gst::message::Progress::builder(kind, PROGRESS_CODE, text).src(element).build());
}

/// The pipeline's latency is to be asked for anew.
pub fn latency(element: &FlowVidFilter) {
    post(element, gst::message::Latency::builder().src(element).build());
}

/// A frame of a live stream was dropped; `counts`: frames that have left, and that were dropped.
pub fn dropped(element: &FlowVidFilter, frame: &InputFrame, counts: (u64, u64), delay: &Delay) {
    let (timestamp, duration) = (frame.buffer.pts(), frame.buffer.duration());
    let batch = delay.frame.map(|frame| frame.of(delay.batch_frames)).unwrap_or_default();
    let proportion = delay.processing.nseconds() as f64 / batch.nseconds().max(1) as f64;
    let late = match (element.current_running_time(), frame.running_time) {
        (Some(now), Some(time)) => now.nseconds() as i64 - time.nseconds() as i64,
        _ => 0,
    };
    let message = gst::message::Qos::builder(true)
        .running_time(frame.running_time)
        .stream_time(ClockTime::from_nseconds(frame.stream_time))
        .timestamp(timestamp)
        .duration(duration)
        .values(late, proportion, 1_000_000)
        .stats(gst::format::Buffers::from_u64(counts.0), gst::format::Buffers::from_u64(counts.1))
        .src(element)
        .build();
    post(element, message);
}

/// A batch was edited.
pub fn batch(element: &FlowVidFilter, report: &BatchReport) {
    post(element, gst::message::Element::builder(report.structure()).src(element).build());
}

fn post(element: &FlowVidFilter, message: gst::Message) {
    let _ = element.post_message(message); // without a bus nobody listens
}

/// One edited batch, as the application hears of it.
#[derive(Debug)]
pub struct BatchReport<'a> {
    /// Counted from 0.
    pub index: u64,
    /// Timestamps of the first and the last frame.
    pub span: (Option<ClockTime>, Option<ClockTime>),
    /// Frames and, among them, keyframes.
    pub frames: (usize, usize),
    /// How long the video is.
    pub duration: ClockTime,
    /// How long it took.
    pub wall: Duration,
    /// The engine's stages.
    pub timings: &'a [(&'static str, Duration)],
}

impl BatchReport<'_> {
    /// The structure `flowvid-batch`: times in nanoseconds, stage timings in milliseconds;
    /// `realtime-factor` is seconds of video per second of work.
    fn structure(&self) -> gst::Structure {
        let mut timings = gst::Structure::builder("timings");
        for (stage, time) in self.timings {
            timings = timings.field(*stage, time.as_secs_f64() * 1e3);
        }
        let realtime_factor = self.duration.nseconds() as f64 / self.wall.as_nanos().max(1) as f64;
        gst::Structure::builder("flowvid-batch")
            .field("batch", self.index)
            .field("first-pts", self.span.0)
            .field("last-pts", self.span.1)
            .field("frames", self.frames.0 as u32)
            .field("keyframes", self.frames.1 as u32)
            .field("wall", self.wall.as_secs_f64() * 1e3)
            .field("timings", timings.build())
            .field("realtime-factor", realtime_factor)
            .build()
    }
}

//! What the tests share: an element in a harness, frames that can be told apart, the bus.

use std::sync::Once;

use gst::{ClockTime, prelude::*};
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo};

pub use gstflowvid::element::FlowVidFilter;

/// GStreamer with the plugin in it; a GLib warning ends the test program.
pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        glib::log_set_always_fatal(
            glib::LogLevels::LEVEL_WARNING | glib::LogLevels::LEVEL_CRITICAL | glib::LogLevels::LEVEL_ERROR,
        );
        gstflowvid::plugin_register_static().unwrap();
    });
}

/// An element with the identity engine and batches of `(batch_size - 1) * interval + 1` frames.
pub fn filter(batch_size: u32, interval: u32) -> FlowVidFilter {
    init();
    let element = gst::ElementFactory::make("flowvidfilter").build().unwrap();
    element.set_property_from_str("engine", "identity");
    element.set_property("batch-size", batch_size);
    element.set_property("keyframe-interval", interval);
    element.downcast().unwrap()
}

/// A harness that is not live around `element`, without caps yet.
pub fn harness(element: &FlowVidFilter) -> Harness {
    let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_live(false);
    harness
}

/// A playing harness whose input has `info`.
pub fn playing(element: &FlowVidFilter, info: &VideoInfo) -> Harness {
    let mut harness = harness(element);
    harness.set_src_caps(info.to_caps().unwrap());
    harness.play();
    harness
}

pub fn info(format: VideoFormat, width: u32, height: u32, rate: (i32, i32)) -> VideoInfo {
    init();
    VideoInfo::builder(format, width, height).fps(gst::Fraction::new(rate.0, rate.1)).build().unwrap()
}

/// The small frames that most tests use.
pub fn small() -> VideoInfo {
    info(VideoFormat::I420, 16, 16, (25, 1))
}

/// A frame whose bytes tell its index.
pub fn frame(info: &VideoInfo, index: usize) -> gst::Buffer {
    let bytes: Vec<u8> = (0..info.size()).map(|at| (at * 7 + index * 31 + at / 251) as u8).collect();
    gst::Buffer::from_mut_slice(bytes)
}

/// The same, `index` frames of 40 ms after the start.
pub fn timed(info: &VideoInfo, index: usize) -> gst::Buffer {
    let mut buffer = frame(info, index);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(ClockTime::from_mseconds(40) * index as u64);
    writable.set_duration(ClockTime::from_mseconds(40));
    buffer
}

pub fn bytes(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// All buffers up to EOS.
pub fn pull_all(harness: &mut Harness) -> Vec<gst::Buffer> {
    std::iter::from_fn(|| harness.pull_until_eos().unwrap()).collect()
}

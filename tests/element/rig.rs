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

/// Pushes the small frames of these indices.
pub fn feed(harness: &mut Harness, indices: std::ops::Range<usize>) {
    for index in indices {
        harness.push(timed(&small(), index)).unwrap();
    }
}

/// The segment of a stream that begins at 0.
pub fn segment() -> gst::Event {
    gst::event::Segment::new(&gst::FormattedSegment::<ClockTime>::new())
}

/// What comes before the first frame of another stream of small frames.
pub fn begin_again(harness: &mut Harness) {
    harness.push_event(gst::event::StreamStart::new("again"));
    harness.push_event(gst::event::Caps::new(&small().to_caps().unwrap()));
    harness.push_event(segment());
}

/// A number of the element's `stats`.
pub fn count(element: &impl IsA<gst::Element>, name: &str) -> u64 {
    element.property::<gst::Structure>("stats").get(name).unwrap()
}

/// What a sink is told: live, least and greatest latency.
pub fn told_latency(element: &FlowVidFilter) -> (bool, ClockTime, Option<ClockTime>) {
    let mut query = gst::query::Latency::new();
    assert!(element.static_pad("src").unwrap().query(&mut query), "the query must not fail");
    query.result()
}

/// All buffers up to EOS.
pub fn pull_all(harness: &mut Harness) -> Vec<gst::Buffer> {
    std::iter::from_fn(|| harness.pull_until_eos().unwrap()).collect()
}

/// What came out of the harness, one after the other: events by name, buffers by their PTS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    Buffer(u64),
    Event(String),
}

/// Records what passes the element's source pad.
pub fn record(element: &FlowVidFilter) -> std::sync::mpsc::Receiver<Out> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    let pad = element.static_pad("src").unwrap();
    pad.add_probe(mask, move |_, info| {
        let out = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => Out::Buffer(buffer.pts().unwrap().mseconds()),
            Some(gst::PadProbeData::Event(event)) => Out::Event(event_name(event)),
            _ => return gst::PadProbeReturn::Ok,
        };
        let _ = sender.send(out); // the test may have ended
        gst::PadProbeReturn::Ok
    });
    receiver
}

fn event_name(event: &gst::EventRef) -> String {
    match event.structure() {
        Some(structure) if event.type_() == gst::EventType::CustomDownstream => structure.name().to_string(),
        _ => event.type_().name().to_string(),
    }
}

/// What the receiver holds up to and with the first `last`; a test that never sees it fails after a while.
pub fn until(receiver: &std::sync::mpsc::Receiver<Out>, last: &Out) -> Vec<Out> {
    let mut seen = Vec::new();
    while seen.last() != Some(last) {
        match receiver.recv_timeout(PATIENCE) {
            Ok(out) => seen.push(out),
            Err(_) => panic!("{last:?} never came; seen: {seen:?}"),
        }
    }
    seen
}

/// Far longer than anything takes.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

pub fn event(name: &str) -> Out {
    Out::Event(name.into())
}

/// The buffers of `indices` frames of 40 ms.
pub fn buffers(indices: std::ops::Range<u64>) -> Vec<Out> {
    indices.map(|index| Out::Buffer(index * 40)).collect()
}

/// An identity engine whose batches wait for a message of the sender.
pub fn gated(element: &FlowVidFilter) -> crossbeam_channel::Sender<()> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    element.set_identity_script(gstflowvid::engine::IdentityScript {
        gate: Some(receiver),
        ..Default::default()
    });
    sender
}

/// The same, and a receiver that hears of each batch that begins.
pub fn gated_and_heard(
    element: &FlowVidFilter,
) -> (crossbeam_channel::Sender<()>, crossbeam_channel::Receiver<()>) {
    let (gate, opens) = crossbeam_channel::unbounded();
    let (begins, begun) = crossbeam_channel::unbounded();
    element.set_identity_script(gstflowvid::engine::IdentityScript {
        gate: Some(opens),
        begins: Some(begins),
        ..Default::default()
    });
    (gate, begun)
}

/// An identity engine that loads until the sender sends or is gone.
pub fn loading(element: &FlowVidFilter) -> crossbeam_channel::Sender<()> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    element.set_identity_script(gstflowvid::engine::IdentityScript {
        load_gate: Some(receiver),
        ..Default::default()
    });
    sender
}

/// A bus of the element's own.
pub fn bus(element: &FlowVidFilter) -> gst::Bus {
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    bus
}

/// The text of the first error or warning on `bus`.
pub fn first(bus: &gst::Bus, kind: gst::MessageType) -> String {
    let message = bus.timed_pop_filtered(ClockTime::from_seconds(20), &[kind]);
    match message.as_ref().expect("no such message").view() {
        gst::MessageView::Error(error) => error.error().to_string(),
        gst::MessageView::Warning(warning) => warning.error().to_string(),
        other => panic!("{other:?}"),
    }
}

/// A paused pipeline past an element with batches of two frames, all of whose queues are full: the
/// sink holds the first frame and takes no other.
pub fn full(sink: &str) -> gst::Pipeline {
    init();
    let description = format!(
        "videotestsrc ! video/x-raw,width=16,height=16,framerate=25/1 ! \
         flowvidfilter name=filter engine=identity batch-size=2 keyframe-interval=1 ! {sink}"
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    let filter = pipeline.by_name("filter").unwrap();
    // One with the sink, a batch on the way out, two on their way in, and one that finds no room.
    wait_until("the queues are full", || count(&filter, "in") == 1 + 2 + 2 * 2 + 1);
    pipeline
}

/// For what nobody tells of.
pub fn wait_until(what: &str, reached: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// How far loading has got.
pub fn progress_of(message: &gst::Message) -> gst::ProgressType {
    match message.view() {
        gst::MessageView::Progress(progress) => progress.get().0,
        other => panic!("{other:?}"),
    }
}

/// Runs a pipeline to its end; how many buffers reached its sink `sink`, or the error.
pub fn run(description: &str) -> Result<u64, String> {
    init();
    let pipeline = gst::parse::launch(description).map_err(|error| error.to_string())?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let counted = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    if let Some(sink) = pipeline.by_name("sink") {
        let counted = counted.clone();
        sink.static_pad("sink").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            gst::PadProbeReturn::Ok
        });
    }
    let outcome = play_to_end(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    outcome.map(|()| counted.load(std::sync::atomic::Ordering::SeqCst))
}

/// Plays to the end; the error, if there is one.
pub fn play_to_end(pipeline: &gst::Pipeline) -> Result<(), String> {
    let bus = pipeline.bus().unwrap();
    let _ = pipeline.set_state(gst::State::Playing); // a failure is told on the bus
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    match bus.timed_pop_filtered(ClockTime::from_seconds(60), &ends) {
        Some(message) => match message.view() {
            gst::MessageView::Error(error) => Err(error.error().to_string()),
            _ => Ok(()),
        },
        None => Err("neither end nor error within a minute".into()),
    }
}

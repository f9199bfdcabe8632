//! Queries: what waits for the frames that the element holds, and what is answered at once.

use gst::{ClockTime, prelude::*};
use gst_video::VideoFormat;

use crate::rig::*;

#[test]
fn drain_waits_until_all_frames_have_left() {
    let element = filter(3, 2);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..3);
    let pad = harness.srcpad().unwrap();
    pad.peer_query(&mut gst::query::Drain::new());
    assert_eq!(harness.buffers_received(), 3);
}

#[test]
fn allocation_is_answered_at_once_and_takes_any_stride() {
    let element = filter(3, 2);
    let _gate = gated(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..6);
    let mut query = gst::query::Allocation::new(Some(&small().to_caps().unwrap()), true);
    assert!(harness.srcpad().unwrap().peer_query(&mut query));
    assert!(query.find_allocation_meta::<gst_video::VideoMeta>().is_some());
    assert!(query.find_allocation_meta::<gst_video::VideoCropMeta>().is_none());
    assert_eq!(harness.buffers_received(), 0);
}

#[test]
fn position_is_the_last_frame_that_left() {
    let element = filter(3, 2);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..5);
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness);
    let pad = element.static_pad("src").unwrap();
    assert_eq!(pad.query_position::<ClockTime>(), Some(ClockTime::from_mseconds(160)));
}

fn millis(value: u64) -> ClockTime {
    ClockTime::from_mseconds(value)
}

/// Asks upstream's way whether all has left; the answer comes when it is given.
fn drain(harness: &gst_check::Harness) -> std::sync::mpsc::Receiver<bool> {
    let (sender, answer) = std::sync::mpsc::channel();
    let pad = harness.srcpad().unwrap();
    std::thread::spawn(move || sender.send(pad.peer_query(&mut gst::query::Drain::new())));
    answer
}

/// Half a batch, which only the query closes; `ends` ends its wait. The answer, and the frames that had left by then.
fn draining(ends: impl FnOnce(&mut gst_check::Harness, crossbeam_channel::Sender<()>)) -> (bool, u32) {
    let element = filter(3, 2);
    let (gate, begun) = gated_and_heard(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..3);
    let answer = drain(&harness);
    begun.recv_timeout(PATIENCE).expect("the query closes the batch");
    assert!(answer.try_recv().is_err(), "answered while the engine works");
    ends(&mut harness, gate);
    let answer = answer.recv_timeout(PATIENCE).expect("the query waits for ever");
    (answer, harness.buffers_received())
}

#[test]
fn drain_waits_for_the_engine() {
    let (_, left) = draining(|_, gate| drop(gate));
    assert_eq!(left, 3);
}

#[test]
fn drain_ends_with_a_flush_and_with_the_element() {
    let flushed = draining(|harness, _gate| {
        harness.push_event(gst::event::FlushStart::new());
    });
    let stopped = draining(|harness, _gate| {
        harness.element().unwrap().set_state(gst::State::Ready).unwrap();
    });
    assert_eq!((flushed, stopped), ((false, 0), (false, 0)));
}

#[test]
fn position_is_in_stream_time_whatever_the_segment() {
    for (rate, order) in [(1.0, [3, 4, 5]), (-1.0, [5, 4, 3])] {
        let element = filter(3, 2);
        let mut harness = playing(&element, &small());
        let mut segment = gst::FormattedSegment::<ClockTime>::new();
        segment.set_rate(rate);
        segment.set_start(millis(120));
        segment.set_stop(millis(240));
        segment.set_time(millis(10_000));
        harness.push_event(gst::event::Segment::new(&segment));
        for index in order {
            harness.push(timed(&small(), index)).unwrap();
        }
        harness.push_event(gst::event::Eos::new());
        pull_all(&mut harness);
        let last = millis(10_000 + 40 * (order[2] as u64 - 3));
        let pad = element.static_pad("src").unwrap();
        assert_eq!(pad.query_position::<ClockTime>(), Some(last), "rate {rate}");
    }
}

/// It is there from the segment's start on.
#[test]
fn position_of_a_frame_that_begins_before_the_segment() {
    let element = filter(2, 1);
    let mut harness = playing(&element, &small());
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_start(millis(30));
    segment.set_time(millis(10_000));
    harness.push_event(gst::event::Segment::new(&segment));
    feed(&mut harness, 0..1);
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness);
    let pad = element.static_pad("src").unwrap();
    assert_eq!(pad.query_position::<ClockTime>(), Some(millis(10_000)));
}

/// What was held before a flush says nothing of where the stream is after it.
#[test]
fn position_is_unknown_after_a_flush() {
    let element = filter(2, 1);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..2);
    drop((harness.pull().unwrap(), harness.pull().unwrap()));
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    assert_eq!(element.static_pad("src").unwrap().query_position::<ClockTime>(), None);
}

#[test]
fn caps_are_downstream_s_sizes_in_every_format() {
    let element = filter(3, 2);
    let mut harness = harness(&element);
    harness.set_sink_caps_str("video/x-raw,format=NV12,width=[16,64],framerate=25/1");
    harness.play();
    let caps = harness.srcpad().unwrap().peer_query_caps(None);
    let first = caps.structure(0).unwrap();
    assert_eq!(first.get::<String>("format").unwrap(), "NV12", "what downstream takes comes first: {caps}");
    let accepts = |width, rate, format| {
        let caps = info(format, width, 16, rate).to_caps().unwrap();
        (caps.can_intersect(&harness.srcpad().unwrap().peer_query_caps(None)), caps)
    };
    for (width, rate, format, taken) in [
        (64, (25, 1), VideoFormat::Nv12, true),
        (64, (25, 1), VideoFormat::P01010le, true),
        (64, (25, 1), VideoFormat::Rgb, true),
        (65, (25, 1), VideoFormat::Nv12, false),
        (64, (50, 1), VideoFormat::Nv12, false),
    ] {
        let (offered, caps) = accepts(width, rate, format);
        let accepted = harness.srcpad().unwrap().peer_query_accept_caps(&caps);
        assert_eq!((offered, accepted), (taken, taken), "{caps}");
    }
    let filter = gst::Caps::builder("video/x-raw").field("width", 32).build();
    let filtered = harness.srcpad().unwrap().peer_query_caps(Some(&filter));
    assert!(!filtered.is_empty() && filtered.is_subset(&filter), "{filtered}");
}

#[test]
fn caps_are_upstream_s_sizes_in_every_format_too() {
    let harness = playing(&filter(3, 2), &small());
    let offered = harness.sinkpad().unwrap().peer_query_caps(None);
    for (width, rate, format, given) in [
        (16, (25, 1), VideoFormat::I420, true),
        (16, (25, 1), VideoFormat::Nv12, true),
        (32, (25, 1), VideoFormat::I420, false),
        (16, (24, 1), VideoFormat::I420, false),
    ] {
        let caps = info(format, width, 16, rate).to_caps().unwrap();
        assert_eq!(offered.can_intersect(&caps), given, "{caps} of {offered}");
    }
    assert_eq!(offered.structure(0).unwrap().get::<String>("format").unwrap(), "I420", "its own comes first");
}

#[test]
fn caps_that_no_raw_video_has_are_refused() {
    let harness = playing(&filter(3, 2), &small());
    for caps in [
        "video/x-h264,width=16,height=16",
        "video/x-raw(memory:DMABuf),format=I420,width=16,height=16",
        "audio/x-raw",
        "video/x-raw,format=NV12_64Z32,width=16,height=16",
    ] {
        let caps: gst::Caps = caps.parse().unwrap();
        assert!(!harness.srcpad().unwrap().peer_query_accept_caps(&caps), "{caps}");
    }
}

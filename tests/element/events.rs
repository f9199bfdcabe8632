//! Serialized events and queries keep their place among the frames that the element holds.

use gst::{ClockTime, prelude::*};

use crate::rig::*;

fn custom(name: &str) -> gst::Event {
    gst::event::CustomDownstream::new(gst::Structure::new_empty(name))
}

fn gap(start: u64, millis: u64) -> gst::Event {
    gst::event::Gap::builder(ClockTime::from_mseconds(start))
        .duration(ClockTime::from_mseconds(millis))
        .build()
}

fn tag() -> gst::Event {
    let mut tags = gst::TagList::new();
    tags.get_mut().unwrap().add::<gst::tags::Title>(&"a title", gst::TagMergeMode::Append);
    gst::event::Tag::new(tags)
}

fn segment(position: u64) -> gst::Event {
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_start(ClockTime::from_mseconds(position));
    segment.set_time(ClockTime::from_mseconds(position));
    gst::event::Segment::new(&segment)
}

#[test]
fn events_stay_between_their_frames() {
    for (name, make) in [
        ("tag", tag as fn() -> gst::Event),
        ("flowvid-test", || custom("flowvid-test")),
        ("gap", || gap(120, 5)),
        ("gap", || gap(120, 400)),
        ("segment", || segment(120)),
        ("GstForceKeyUnit", || gst_video::DownstreamForceKeyUnitEvent::builder().build()),
        ("stream-start", || gst::event::StreamStart::new("another")),
        ("segment-done", || gst::event::SegmentDone::new(ClockTime::from_mseconds(120))),
    ] {
        let element = filter(3, 2);
        let mut harness = playing(&element, &small());
        let out = record(&element);
        feed(&mut harness, 0..3);
        assert!(harness.push_event(make()), "{name}");
        feed(&mut harness, 3..7);
        harness.push_event(gst::event::Eos::new());
        let seen = until(&out, &event("eos"));
        let expected = [buffers(0..3), vec![event(name)], buffers(3..7), vec![event("eos")]].concat();
        let start = seen.iter().position(|out| *out == Out::Buffer(0)).unwrap();
        assert_eq!(seen[start..], expected, "{name}");
    }
}

#[test]
fn the_stream_begins_in_order() {
    let element = filter(3, 2);
    let mut harness = harness(&element);
    let out = record(&element);
    harness.set_src_caps(small().to_caps().unwrap());
    harness.play();
    harness.push(timed(&small(), 0)).unwrap();
    harness.push_event(gst::event::Eos::new());
    let expected = ["stream-start", "caps", "segment"].map(event);
    assert_eq!(until(&out, &event("eos"))[..4], [&expected[..], &[Out::Buffer(0)]].concat()[..]);
}

#[test]
fn an_empty_stream_ends() {
    for with_caps in [true, false] {
        let element = filter(3, 2);
        let mut harness = harness(&element);
        let out = record(&element);
        harness.set_src_caps(small().to_caps().unwrap());
        if with_caps {
            harness.play();
        } else {
            element.set_state(gst::State::Playing).unwrap();
        }
        harness.push_event(gst::event::Eos::new());
        until(&out, &event("eos"));
    }
}

/// How many frames each batch held.
fn batches(element: &FlowVidFilter, feed: impl FnOnce(&mut gst_check::Harness)) -> Vec<u32> {
    let bus = bus(element);
    let mut harness = playing(element, &small());
    feed(&mut harness);
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness);
    bus.iter_filtered(&[gst::MessageType::Element])
        .map(|message| message.structure().unwrap().get::<u32>("frames").unwrap())
        .collect()
}

#[test]
fn what_ends_a_batch_and_what_does_not() {
    init();
    let all = |harness: &mut gst_check::Harness, between: Option<gst::Event>| {
        feed(harness, 0..3);
        if let Some(event) = between {
            harness.push_event(event);
        }
        feed(harness, 3..5);
    };
    for (name, between, expected) in [
        ("nothing", None, vec![5]),
        ("tag", Some(tag()), vec![5]),
        ("custom event", Some(custom("flowvid-test")), vec![5]),
        ("gap under a frame", Some(gap(120, 5)), vec![5]),
        ("gap", Some(gap(120, 400)), vec![3, 2]),
        ("segment", Some(segment(120)), vec![3, 2]),
        ("stream", Some(gst::event::StreamStart::new("another")), vec![3, 2]),
        ("key unit", Some(gst_video::DownstreamForceKeyUnitEvent::builder().build()), vec![3, 2]),
        ("still", Some(gst_video::StillFrameEvent::builder(true).build()), vec![3, 2]),
    ] {
        assert_eq!(batches(&filter(3, 2), |harness| all(harness, between)), expected, "{name}");
    }
}

#[test]
fn a_discontinuity_begins_a_shot_and_asks_for_a_key_unit() {
    let element = filter(3, 2);
    let mut harness = playing(&element, &small());
    let out = record(&element);
    for index in 0..4 {
        let mut buffer = timed(&small(), index);
        if index % 2 == 0 {
            buffer.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
        }
        harness.push(buffer).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    let seen = until(&out, &event("eos"));
    let start = seen.iter().position(|out| *out == Out::Buffer(0)).unwrap();
    let expected =
        [buffers(0..2), vec![event("GstForceKeyUnit")], buffers(2..4), vec![event("eos")]].concat();
    assert_eq!(seen[start..], expected);
}

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

#[test]
fn only_segments_in_time_are_taken() {
    let element = filter(3, 2);
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    let segment = gst::FormattedSegment::<gst::format::Bytes>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    assert!(first(&bus, gst::MessageType::Error).contains("segments in time"));
}

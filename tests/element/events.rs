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

fn toc() -> gst::Event {
    let mut toc = gst::Toc::new(gst::TocScope::Global);
    let mut chapter = gst::TocEntry::new(gst::TocEntryType::Chapter, "one");
    chapter.get_mut().unwrap().set_start_stop_times(0, 120_000_000);
    toc.get_mut().unwrap().append_entry(chapter);
    gst::event::Toc::new(&toc, false)
}

fn sticky() -> gst::Event {
    gst::event::CustomDownstreamSticky::new(gst::Structure::new_empty("flowvid-sticky"))
}

fn protection() -> gst::Event {
    let system = "9a04f079-9840-4286-ab92-e65be0885f95";
    gst::event::Protection::builder(system, &gst::Buffer::new()).build()
}

fn streams() -> gst::Event {
    gst::event::StreamCollection::new(&gst::StreamCollection::builder(None).build())
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
        ("toc", toc),
        ("custom-downstream-sticky", sticky),
        ("protection", protection),
        ("stream-collection", streams),
        ("stream-group-done", || gst::event::StreamGroupDone::new(gst::GroupId::next())),
        ("sink-message", || gst::event::SinkMessage::new("told", &gst::message::Eos::new())),
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
    init();
    let caps = || gst::event::Caps::new(&small().to_caps().unwrap());
    for before in [vec![], vec![caps()], vec![caps(), segment(0)], vec![caps(), segment(0), gap(0, 400)]] {
        let element = filter(3, 2);
        let mut harness = harness(&element);
        let out = record(&element);
        element.set_state(gst::State::Playing).unwrap();
        let expected = before.iter().map(|before| event(before.type_().name()));
        // The harness begins the stream.
        let expected: Vec<_> =
            [event("stream-start")].into_iter().chain(expected).chain([event("eos")]).collect();
        before.into_iter().for_each(|event| assert!(harness.push_event(event)));
        harness.push_event(gst::event::Eos::new());
        assert_eq!(until(&out, &event("eos")), expected);
    }
}

#[test]
fn the_end_waits_for_the_engine_and_the_short_last_batch() {
    let element = filter(3, 2);
    let (gate, begun) = gated_and_heard(&element);
    let mut harness = playing(&element, &small());
    let out = record(&element);
    feed(&mut harness, 0..5);
    begun.recv_timeout(PATIENCE).unwrap();
    feed(&mut harness, 5..8);
    assert!(harness.push_event(gst::event::Eos::new()));
    drop(gate);
    let seen = until(&out, &event("eos"));
    assert!(seen.ends_with(&[buffers(0..8), vec![event("eos")]].concat()), "{seen:?}");
}

#[test]
fn out_of_band_events_do_not_wait() {
    let element = filter(3, 2);
    let _gate = gated(&element);
    let mut harness = playing(&element, &small());
    let out = record(&element);
    feed(&mut harness, 0..7);
    let message = gst::Structure::new_empty("at-once");
    for made in [
        gst::event::CustomDownstreamOob::new(message),
        gst::event::InstantRateChange::new(2.0, gst::SegmentFlags::TRICKMODE),
    ] {
        let name = made.type_().name().to_string();
        assert!(harness.push_event(made), "{name}");
        assert!(!until(&out, &event(&name)).contains(&Out::Buffer(0)), "{name}");
    }
}

#[test]
fn what_downstream_asks_for_reaches_upstream() {
    init();
    let custom = || gst::event::CustomUpstream::new(gst::Structure::new_empty("flowvid-test"));
    for make in [
        || {
            gst::event::Seek::new(
                1.0,
                gst::SeekFlags::empty(),
                gst::SeekType::Set,
                ClockTime::ZERO,
                gst::SeekType::None,
                ClockTime::NONE,
            )
        },
        || gst::event::Qos::new(gst::QOSType::Underflow, 1.5, 20, ClockTime::SECOND),
        || gst::event::Latency::new(ClockTime::SECOND),
        || gst::event::Navigation::new(gst::Structure::new_empty("application/x-gst-navigation")),
        || gst::event::Step::new(gst::format::Buffers::from_u64(1), 1.0, true, false),
        || gst_video::UpstreamForceKeyUnitEvent::builder().build(),
        gst::event::Reconfigure::new,
        custom,
    ] as [fn() -> gst::Event; 8]
    {
        let mut harness = playing(&filter(3, 2), &small());
        let (asked, mut heard) = (make(), 0);
        while let Some(event) = harness.try_pull_upstream_event() {
            assert_eq!(event.type_(), gst::EventType::Reconfigure); // of the links
        }
        assert!(harness.push_upstream_event(asked.clone()), "{asked:?}");
        while let Some(event) = harness.try_pull_upstream_event() {
            assert_eq!(event.type_(), asked.type_());
            assert_eq!(event.seqnum(), asked.seqnum());
            heard += 1;
        }
        assert_eq!(heard, 1, "{asked:?}");
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
        ("same caps", Some(gst::event::Caps::new(&small().to_caps().unwrap())), vec![5]),
        ("gap under a frame", Some(gap(120, 5)), vec![5]),
        ("gap", Some(gap(120, 400)), vec![3, 2]),
        ("segment", Some(segment(120)), vec![3, 2]),
        ("segment done", Some(gst::event::SegmentDone::new(ClockTime::from_mseconds(120))), vec![3, 2]),
        ("table of contents", Some(toc()), vec![5]),
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

/// Decoders turn round one group of pictures after the other, and mark the first frame of each.
#[test]
fn backwards_a_marked_frame_is_a_shot_only_where_frames_are_missing() {
    let marked = [11, 8, 6];
    let lengths = |rate: f64, order: &[usize]| {
        batches(&filter(3, 2), |harness| {
            let mut segment = gst::FormattedSegment::<ClockTime>::new();
            segment.set_rate(rate);
            segment.set_stop(ClockTime::SECOND);
            harness.push_event(gst::event::Segment::new(&segment));
            for &index in order {
                let mut buffer = timed(&small(), index);
                if marked.contains(&index) {
                    buffer.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
                }
                harness.push(buffer).unwrap();
            }
        })
    };
    assert_eq!(lengths(-1.0, &[12, 11, 10, 8, 7, 6, 5]), [3, 4]);
    assert_eq!(lengths(1.0, &[5, 6, 7, 8, 9]), [1, 2, 2]);
}

/// A player that shows key units only leaps over what lies between.
#[test]
fn key_units_alone_are_batches_of_one() {
    let element = filter(3, 2);
    let mut key_units = gst::FormattedSegment::<ClockTime>::new();
    key_units.set_flags(gst::SegmentFlags::TRICKMODE | gst::SegmentFlags::TRICKMODE_KEY_UNITS);
    key_units.set_rate(8.0);
    let lengths = batches(&element, |harness| {
        feed(harness, 0..2);
        harness.push_event(gst::event::Segment::new(&key_units));
        feed(harness, 2..5);
        harness.push_event(segment(200));
        feed(harness, 5..8);
    });
    assert_eq!(lengths, [2, 1, 1, 1, 3]);
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

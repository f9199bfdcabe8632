//! Properties that follow a curve over stream time (GstController), and properties set from many threads.

use gst::{ClockTime, prelude::*};
use gst_controller::{DirectControlBinding, InterpolationControlSource, InterpolationMode, prelude::*};
use gst_video::VideoFormat;
use gstflowvid::engine::IdentityScript;

use crate::rig::*;

/// An element that gives negatives, so that an edited frame shows.
fn negative(batch_size: u32) -> FlowVidFilter {
    let element = filter(batch_size, 2);
    element.set_identity_script(IdentityScript {
        returns_pictures: true,
        negative: true,
        ..Default::default()
    });
    element
}

/// Has `property` take each value from its stream time on.
fn control(element: &FlowVidFilter, property: &str, values: &[(u64, f64)]) {
    let source = InterpolationControlSource::new();
    source.set_mode(InterpolationMode::None);
    for &(millis, value) in values {
        assert!(source.set(ClockTime::from_mseconds(millis), value));
    }
    element.add_control_binding(&DirectControlBinding::new(element, property, &source)).unwrap();
}

/// What comes out for frames of `indices`, whose first has the stream time 0 but the timestamp 7 s.
fn shown(element: &FlowVidFilter, rate: f64, indices: &[usize]) -> Vec<gst::Buffer> {
    let lead = ClockTime::from_seconds(7);
    let info = grey();
    let mut harness = playing(element, &info);
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_rate(rate);
    segment.set_start(lead);
    segment.set_stop(lead + ClockTime::SECOND);
    segment.set_time(ClockTime::ZERO);
    harness.push_event(gst::event::Segment::new(&segment));
    for &index in indices {
        let mut buffer = timed(&info, index);
        let pts = buffer.pts().unwrap() + lead;
        buffer.get_mut().unwrap().set_pts(pts);
        harness.push(buffer).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness)
}

fn grey() -> gst_video::VideoInfo {
    info(VideoFormat::Gray8, 96, 4, (25, 1))
}

#[test]
fn a_switch_that_a_controller_turns() {
    for (rate, indices) in [(1.0, (0..13).collect::<Vec<_>>()), (-1.0, (0..13).rev().collect())] {
        let element = negative(3);
        control(&element, "enabled", &[(0, 1.0), (200, 0.0), (320, 1.0)]);
        let out = shown(&element, rate, &indices);
        assert_eq!(out.len(), 13);
        for (buffer, &index) in out.iter().zip(&indices) {
            let unchanged = bytes(buffer) == bytes(&timed(&grey(), index));
            assert_eq!(unchanged, (5..8).contains(&index), "rate {rate}, frame {index}");
        }
        assert_eq!(count(&element, "bypassed"), 3);
    }
}

#[test]
fn a_wipe_that_a_controller_moves() {
    let still = |position: f64, index: usize| {
        let element = negative(3);
        element.set_property_from_str("compare", "wipe");
        element.set_property("compare-position", position);
        bytes(&shown(&element, 1.0, &[index])[0])
    };
    let curve = [(0, 0.0), (40, 0.25), (120, 0.5), (160, 0.875), (200, 1.0)];
    let element = negative(3);
    element.set_property_from_str("compare", "wipe");
    control(&element, "compare-position", &curve);
    let out = shown(&element, 1.0, &[0, 1, 2, 3, 4, 5]);
    for (index, position) in [0.0, 0.25, 0.25, 0.5, 0.875, 1.0].into_iter().enumerate() {
        assert_eq!(bytes(&out[index]), still(position, index), "frame {index}");
    }
}

/// Where a frame has no place in the stream, no curve is followed.
#[test]
fn a_frame_without_a_timestamp_leaves_controlled_properties_alone() {
    let element = negative(3);
    control(&element, "enabled", &[(0, 0.0)]);
    let mut harness = playing(&element, &grey());
    harness.push(frame(&grey(), 1)).unwrap();
    harness.push_event(gst::event::Eos::new());
    assert_eq!((pull_all(&mut harness).len(), count(&element, "bypassed")), (1, 0));
}

/// Half of the first frame lies before the segment.
#[test]
fn a_frame_that_begins_before_the_segment_is_controlled_from_its_start_on() {
    let element = negative(3);
    control(&element, "enabled", &[(0, 1.0), (20, 0.0), (40, 1.0)]);
    let mut harness = playing(&element, &grey());
    let mut later = gst::FormattedSegment::<ClockTime>::new();
    later.set_start(ClockTime::from_mseconds(20));
    later.set_time(ClockTime::from_mseconds(20));
    harness.push_event(gst::event::Segment::new(&later));
    for index in 0..2 {
        harness.push(timed(&grey(), index)).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    assert_eq!((pull_all(&mut harness).len(), count(&element, "bypassed")), (2, 1));
}

#[test]
fn many_threads_set_what_they_like() {
    let element = filter(2, 2);
    let settable = ["prompt", "negative-prompt", "strength", "guidance-scale", "seed", "steps", "enabled"];
    let threads = settable.map(|name| {
        let element = element.clone();
        std::thread::spawn(move || {
            for round in 0..300u32 {
                element.set_property_from_str(name, if round % 2 == 0 { "1" } else { "0" });
                element.property_value(name);
            }
        })
    });
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..200);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    harness.push_event(gst::event::Eos::new());
    let received: Vec<_> = pull_all(&mut harness).iter().map(|buffer| bytes(buffer)).collect();
    assert_eq!(received.len(), 200);
    assert!((0..200).all(|index| received[index] == bytes(&timed(&small(), index))));
    for (name, last) in [("prompt", "0"), ("negative-prompt", "0")] {
        assert_eq!(element.property::<Option<String>>(name).as_deref(), Some(last), "{name}");
    }
    assert_eq!(element.property::<f64>("strength"), 0.0);
    assert_eq!(element.property::<u64>("seed"), 0);
    assert!(!element.property::<bool>("enabled"));
}

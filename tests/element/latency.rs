//! The latency that a live pipeline is told, to the nanosecond.

use gst::{ClockTime, prelude::*};
use gst_video::VideoFormat;
use gstflowvid::engine::IdentityScript;

use crate::rig::*;

/// Frames of a full batch, with `filter(3, 2)`.
const BATCH: u64 = 5;

fn latency(live: bool, rate: Option<(i32, i32)>) -> (bool, ClockTime, Option<ClockTime>) {
    let element = filter(3, 2);
    let mut harness = harness(&element);
    harness.set_live(live);
    harness.set_upstream_latency(ClockTime::from_mseconds(if live { 10 } else { 0 }));
    if let Some(rate) = rate {
        harness.set_src_caps(info(VideoFormat::I420, 16, 16, rate).to_caps().unwrap());
        harness.play();
    }
    told_latency(&element)
}

#[test]
fn a_full_batch_is_held_exactly() {
    for (rate, batch) in [
        ((25, 1), 200_000_000),
        ((30000, 1001), 166_833_334), // 166833333.33, rounded up
        ((240, 1), 20_833_334),
        ((0, 1), 200_000_000), // 25 per second until measured
    ] {
        let (live, min, max) = latency(true, Some(rate));
        assert!(live);
        assert_eq!(min.nseconds(), 10_000_000 + batch, "{rate:?}");
        assert!(max.is_none_or(|max| max >= min), "{rate:?}");
    }
    assert_eq!(BATCH * 40_000_000, 200_000_000);
}

#[test]
fn the_engines_own_batch_is_told_once_it_is_open() {
    let element = filter(0, 2);
    let (open, gate) = crossbeam_channel::bounded(0);
    element.set_identity_script(IdentityScript {
        load_gate: Some(gate),
        batch_size: Some(3),
        ..Default::default()
    });
    let bus = bus(&element);
    let mut harness = harness(&element);
    harness.set_live(true);
    harness.set_src_caps(small().to_caps().unwrap());
    harness.play();
    let sixteen = ClockTime::from_mseconds(31 * 40);
    assert_eq!(told_latency(&element).1, sixteen, "what is likely, before the model is asked");
    while bus.pop_filtered(&[gst::MessageType::Latency]).is_some() {}
    drop(open);
    let told = bus.timed_pop_filtered(ClockTime::from_seconds(20), &[gst::MessageType::Latency]);
    assert!(told.is_some(), "the pipeline was not told");
    assert_eq!(told_latency(&element).1, BATCH * ClockTime::from_mseconds(40));
    feed(&mut harness, 0..5);
    assert_eq!(harness.pull().unwrap().pts(), Some(ClockTime::ZERO), "five frames are a batch");
}

#[test]
fn not_live_adds_nothing() {
    let (live, min, _) = latency(false, Some((25, 1)));
    assert_eq!((live, min), (false, ClockTime::ZERO));
}

#[test]
fn the_query_works_before_caps() {
    // Upstream's own, for nothing is known yet.
    let (live, min, _) = latency(true, None);
    assert_eq!((live, min), (true, ClockTime::from_mseconds(10)));
}

#[test]
fn switching_off_keeps_the_latency() {
    let element = filter(3, 2);
    let mut harness = harness(&element);
    harness.set_live(true);
    harness.set_src_caps(small().to_caps().unwrap());
    harness.play();
    let before = told_latency(&element);
    element.set_property("enabled", false);
    harness.push(timed(&small(), 0)).unwrap();
    harness.pull().unwrap();
    assert_eq!(told_latency(&element), before);
}

#[test]
fn a_new_rate_is_told_to_the_pipeline() {
    let element = filter(3, 2);
    let bus = bus(&element);
    let _harness = playing(&element, &small());
    let message = bus.timed_pop_filtered(ClockTime::from_seconds(20), &[gst::MessageType::Latency]);
    assert!(message.is_some());
}

#[test]
fn a_variable_rate_is_measured() {
    let element = filter(3, 2);
    let mut harness = harness(&element);
    harness.set_live(true);
    harness.set_src_caps(info(VideoFormat::I420, 16, 16, (0, 1)).to_caps().unwrap());
    harness.play();
    for index in 0..2 {
        let mut buffer = frame(&small(), index);
        buffer.get_mut().unwrap().set_pts(ClockTime::from_mseconds(100 * index as u64));
        harness.push(buffer).unwrap();
    }
    assert_eq!(told_latency(&element).1, ClockTime::from_mseconds(500));
}

#[test]
fn a_fixed_processing_time_is_told() {
    let element = filter(3, 2);
    element.set_property("processing-latency", 123_456_789u64);
    let mut harness = harness(&element);
    harness.set_live(true);
    harness.set_src_caps(info(VideoFormat::I420, 16, 16, (30000, 1001)).to_caps().unwrap());
    harness.play();
    assert_eq!(told_latency(&element).1.nseconds(), 166_833_334 + 123_456_789);
}

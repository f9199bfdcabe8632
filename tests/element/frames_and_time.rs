//! N frames in, N out, in order, each with its own timestamps, offsets, flags and metas.

use gst::{BufferFlags, ClockTime, prelude::*};
use gst_video::VideoFormat;

use crate::rig::*;

/// All that a frame carries besides its picture.
#[derive(Debug, PartialEq)]
struct Carrier {
    pts: Option<ClockTime>,
    dts: Option<ClockTime>,
    duration: Option<ClockTime>,
    offsets: (u64, u64),
    flags: BufferFlags,
}

fn carrier(buffer: &gst::BufferRef) -> Carrier {
    Carrier {
        pts: buffer.pts(),
        dts: buffer.dts(),
        duration: buffer.duration(),
        offsets: (buffer.offset(), buffer.offset_end()),
        flags: buffer.flags() - BufferFlags::TAG_MEMORY,
    }
}

/// Pushes `buffers`, as a file and as a live source, and expects the same ones back.
fn assert_same(name: &str, element: fn() -> FlowVidFilter, rate: (i32, i32), buffers: Vec<gst::Buffer>) {
    let expected: Vec<_> = buffers.iter().map(|buffer| (carrier(buffer), bytes(buffer))).collect();
    for live in [false, true] {
        let received = through(&element(), live, rate, &buffers);
        let received: Vec<_> = received.iter().map(|buffer| (carrier(buffer), bytes(buffer))).collect();
        assert_eq!(received.len(), expected.len(), "{name}, live: {live}: frames");
        for (index, (received, expected)) in received.iter().zip(&expected).enumerate() {
            assert_eq!(received, expected, "{name}, live: {live}: frame {index}");
        }
    }
}

fn through(
    element: &FlowVidFilter,
    live: bool,
    rate: (i32, i32),
    buffers: &[gst::Buffer],
) -> Vec<gst::Buffer> {
    let mut harness = harness(element);
    harness.set_live(live);
    if live {
        harness.use_testclock();
        harness.set_upstream_latency(ClockTime::from_mseconds(40));
    }
    harness.set_src_caps(info(VideoFormat::I420, 16, 16, rate).to_caps().unwrap());
    harness.play();
    assert_eq!(told_latency(element).0, live);
    for buffer in buffers {
        harness.push(buffer.copy()).unwrap();
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    pull_all(&mut harness)
}

/// The frame `index` of a stream with the constant `rate`, rounded as a demuxer does.
fn at_rate(rate: (i32, i32), index: usize) -> gst::Buffer {
    let time =
        |index: usize| ClockTime::SECOND.mul_div_round(index as u64 * rate.1 as u64, rate.0 as u64).unwrap();
    let mut buffer = frame(&small(), index);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(time(index));
    writable.set_duration(time(index + 1) - time(index));
    buffer
}

#[test]
fn every_length_comes_back_whole() {
    let batch = 5;
    for length in [0, 1, 2, batch - 1, batch, batch + 1, 10 * batch + 3] {
        let buffers = (0..length).map(|index| at_rate((30000, 1001), index)).collect();
        assert_same(&format!("{length} frames"), || filter(3, 2), (30000, 1001), buffers);
    }
}

#[test]
fn every_rate_keeps_its_timestamps() {
    for rate in [(30000, 1001), (25, 1), (24000, 1001), (120, 1), (1, 2)] {
        let buffers = (0..13).map(|index| at_rate(rate, index)).collect();
        assert_same(&format!("{rate:?}"), || filter(2, 4), rate, buffers);
    }
}

#[test]
fn variable_rate_first_timestamps_and_missing_ones() {
    let uneven = [0, 33, 34, 500, 501, 502, 2000, 2040];
    let from = |start: ClockTime| {
        uneven.iter().enumerate().map(move |(index, &millis)| {
            let mut buffer = frame(&small(), index);
            buffer.get_mut().unwrap().set_pts(start + ClockTime::from_mseconds(millis));
            buffer
        })
    };
    let (half, span) = (ClockTime::from_nseconds(1 << 63), ClockTime::from_mseconds(2040));
    for start in [
        ClockTime::ZERO,
        ClockTime::from_seconds(3),
        ClockTime::from_seconds(3_600_000),
        half - ClockTime::from_mseconds(500), // signed numbers of nanoseconds end among these frames
        half,
        ClockTime::MAX - span, // the last frame is at the greatest time there is
    ] {
        assert_same(&format!("from {start}"), || filter(2, 3), (0, 1), from(start).collect());
    }
    let bare = (0..7).map(|index| frame(&small(), index)).collect();
    assert_same("no timestamps", || filter(2, 3), (25, 1), bare);
}

#[test]
fn offsets_and_flags_come_along() {
    let flags = [
        BufferFlags::DISCONT,
        BufferFlags::empty(),
        BufferFlags::CORRUPTED,
        BufferFlags::DROPPABLE | BufferFlags::MARKER,
        BufferFlags::GAP,
        BufferFlags::RESYNC,
        BufferFlags::LIVE,
        BufferFlags::DELTA_UNIT,
    ];
    let buffers = flags.iter().enumerate().map(|(index, &flags)| {
        let mut buffer = timed(&small(), index);
        let writable = buffer.get_mut().unwrap();
        writable.set_flags(flags);
        writable.set_dts(ClockTime::from_mseconds(40 * index as u64 + 5));
        writable.set_offset(100 + index as u64);
        writable.set_offset_end(101 + index as u64);
        buffer
    });
    assert_same("flags", || filter(2, 3), (25, 1), buffers.collect());
}

#[test]
fn lists_of_buffers_are_taken_apart() {
    let mut harness = playing(&filter(3, 2), &small());
    let list: gst::BufferList = (0..7).map(|index| timed(&small(), index)).collect();
    harness.srcpad().unwrap().push_list(list).unwrap();
    harness.push_event(gst::event::Eos::new());
    let received: Vec<_> = pull_all(&mut harness).iter().map(|buffer| bytes(buffer)).collect();
    assert_eq!(received, (0..7).map(|index| bytes(&timed(&small(), index))).collect::<Vec<_>>());
}

#[test]
fn upstream_gets_its_buffers_back_at_once() {
    let mut harness = playing(&filter(4, 4), &small());
    let mut buffer = timed(&small(), 0);
    harness.push(buffer.clone()).unwrap();
    assert!(buffer.get_mut().is_some(), "the element holds upstream's buffer");
}

#[test]
fn playing_backwards_and_faster_keeps_the_order_of_arrival() {
    for (rate, order) in [(-1.0, [7, 6, 5, 4, 3, 2, 1, 0]), (2.0, [0, 1, 2, 3, 4, 5, 6, 7])] {
        let mut harness = playing(&filter(2, 2), &small());
        let mut segment = gst::FormattedSegment::<ClockTime>::new();
        segment.set_rate(rate);
        segment.set_stop(ClockTime::from_mseconds(320));
        harness.push_event(gst::event::Segment::new(&segment));
        for index in order {
            harness.push(timed(&small(), index)).unwrap();
        }
        harness.push_event(gst::event::Eos::new());
        let received: Vec<_> =
            pull_all(&mut harness).iter().map(|buffer| (buffer.pts(), bytes(buffer))).collect();
        let expected = order.map(|index| (timed(&small(), index).pts(), bytes(&timed(&small(), index))));
        assert_eq!(received, expected, "rate {rate}");
    }
}

//! Frames outside the segment: those that sinks and encoders would drop are dropped when they come, all others
//! pass as they are.

use gst::{BufferFlags, ClockTime, prelude::*};
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo};

use crate::rig::*;

fn millis(value: u64) -> ClockTime {
    ClockTime::from_mseconds(value)
}

/// A segment of these milliseconds.
fn segment(rate: f64, start: u64, stop: Option<u64>) -> gst::Event {
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_rate(rate);
    segment.set_start(millis(start));
    segment.set_stop(stop.or((rate < 0.0).then_some(1000)).map(millis)); // backwards it begins there
    segment.set_time(millis(start));
    gst::event::Segment::new(&segment)
}

/// What tells a frame from all others: times, flags, bytes.
type Told = ([Option<ClockTime>; 3], BufferFlags, Vec<u8>);

fn told(buffer: &gst::Buffer) -> Told {
    ([buffer.pts(), buffer.dts(), buffer.duration()], buffer.flags(), bytes(buffer))
}

fn ended(harness: &mut Harness) -> Vec<Told> {
    harness.push_event(gst::event::Eos::new());
    pull_all(harness).iter().map(told).collect()
}

fn without_duration(info: &VideoInfo, index: usize) -> gst::Buffer {
    let mut buffer = timed(info, index);
    buffer.get_mut().unwrap().set_duration(None);
    buffer
}

/// The frames of 40 ms among twelve that pass.
#[test]
fn what_the_segment_shows_a_part_of_passes_as_it_is() {
    let variable = info(VideoFormat::I420, 16, 16, (0, 1));
    type Make = fn(&VideoInfo, usize) -> gst::Buffer;
    let known: Make = timed;
    let unknown: Make = without_duration;
    for (info, make, start, stop, pass) in [
        (small(), known, 0, None, 0..12),
        (small(), known, 120, Some(320), 3..8), // on the edges
        (small(), known, 121, Some(321), 3..9),
        (small(), known, 119, Some(319), 2..8),
        (small(), known, 479, None, 11..12),
        (small(), known, 480, None, 12..12),
        (small(), unknown, 100, Some(300), 2..8), // a frame is as long as the caps say
        (variable.clone(), known, 100, Some(300), 2..8),
        (variable, unknown, 100, Some(300), 0..8), // until when each is shown nobody knows
    ] {
        for (rate, order) in [(1.0, (0..12).collect::<Vec<_>>()), (-1.0, (0..12).rev().collect())] {
            let element = filter(2, 2);
            let mut harness = playing(&element, &info);
            harness.push_event(segment(rate, start, stop));
            for &index in &order {
                harness.push(make(&info, index)).unwrap();
            }
            let passing = order.iter().filter(|&index| pass.contains(index));
            let expected: Vec<_> = passing.map(|&index| told(&make(&info, index))).collect();
            assert!(ended(&mut harness) == expected, "{start} to {stop:?}, rate {rate}");
            assert_eq!(count(&element, "in"), pass.len() as u64);
        }
    }
}

#[test]
fn a_frame_without_a_timestamp_is_in_every_segment() {
    let mut harness = playing(&filter(2, 2), &small());
    harness.push_event(segment(1.0, 7000, Some(8000)));
    for index in 0..5 {
        harness.push(frame(&small(), index)).unwrap();
    }
    assert_eq!(ended(&mut harness).len(), 5);
}

/// The first frame downstream that follows a loss says so, whichever frame upstream marked.
#[test]
fn the_mark_of_a_loss_passes_to_the_next_frame_inside() {
    for mark in [BufferFlags::DISCONT, BufferFlags::RESYNC] {
        let mut harness = playing(&filter(2, 2), &small());
        harness.push_event(segment(1.0, 80, None));
        for index in 0..4 {
            let mut buffer = timed(&small(), index);
            buffer.get_mut().unwrap().set_flags(if index == 0 { mark } else { BufferFlags::empty() });
            harness.push(buffer).unwrap();
        }
        let flags: Vec<_> = ended(&mut harness).into_iter().map(|(_, flags, _)| flags).collect();
        assert_eq!(flags, [BufferFlags::DISCONT, BufferFlags::empty()], "{mark:?}");
    }
}

#[test]
fn a_flush_forgets_the_mark() {
    let mut harness = playing(&filter(2, 2), &small());
    harness.push_event(segment(1.0, 80, None));
    let mut buffer = timed(&small(), 0);
    buffer.get_mut().unwrap().set_flags(BufferFlags::DISCONT);
    harness.push(buffer).unwrap();
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    harness.push_event(segment(1.0, 0, None));
    harness.push(timed(&small(), 0)).unwrap();
    assert_eq!(ended(&mut harness)[0].1, BufferFlags::empty());
}

/// A batch holds none of them, and a key unit that upstream asked for begins with the first frame inside.
#[test]
fn the_engine_never_meets_them() {
    let element = filter(3, 2);
    element.set_property("add-meta", true);
    let mut harness = playing(&element, &small());
    harness.push_event(segment(1.0, 160, Some(400)));
    feed(&mut harness, 0..2);
    harness.push_event(gst_video::DownstreamForceKeyUnitEvent::builder().build());
    feed(&mut harness, 2..14);
    harness.push_event(gst::event::Eos::new());
    let batches: Vec<u64> = pull_all(&mut harness)
        .iter()
        .map(|buffer| {
            let meta = gst::meta::CustomMeta::from_buffer(buffer, "flowvid").unwrap();
            meta.structure().get("batch").unwrap()
        })
        .collect();
    assert_eq!(batches, [0, 0, 0, 0, 0, 1]);
}

/// What a sink shows is the same with the element as without it, and it need drop nothing itself.
#[test]
fn a_sink_gets_what_it_would_have_kept() {
    init();
    let shown = |elements: &str, drops: bool| {
        let description = format!(
            "appsrc name=source format=time ! {elements} fakesink name=sink signal-handoffs=true sync=false \
             drop-out-of-segment={drops}"
        );
        let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("source").and_downcast::<gst_app::AppSrc>().unwrap();
        let sink = pipeline.by_name("sink").unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        sink.connect("handoff", false, move |values| {
            sender.send(told(&values[1].get().unwrap())).unwrap();
            None
        });
        source.set_caps(Some(&small().to_caps().unwrap()));
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut within = gst::FormattedSegment::<ClockTime>::new();
        within.set_start(millis(100));
        within.set_stop(millis(300));
        let sample = |index| gst::Sample::builder().buffer(&timed(&small(), index)).segment(&within).build();
        source.set_property("handle-segment-change", true);
        for index in 0..12 {
            source.push_sample(&sample(index)).unwrap();
        }
        source.end_of_stream().unwrap();
        play_to_end(&pipeline).unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        receiver.try_iter().collect::<Vec<_>>()
    };
    let mut expected = shown("", true);
    assert_eq!(expected.len(), 6);
    expected[0].1 |= BufferFlags::DISCONT; // the sink dropped it with the stream's first frame
    let element = "flowvidfilter engine=identity batch-size=2 keyframe-interval=2 !";
    assert!(shown(element, true) == expected);
    assert!(shown(element, false) == expected);
}

//! A new format in mid-batch: the frames before it leave first, in their own format.

use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo, prelude::*};

use crate::rig::*;

fn change(harness: &mut gst_check::Harness, info: &VideoInfo) -> bool {
    harness.push_event(gst::event::Caps::new(&info.to_caps().unwrap()))
}

#[test]
fn size_format_and_rate_change_between_their_frames() {
    let before = small();
    for after in [
        info(VideoFormat::I420, 32, 16, (25, 1)),
        info(VideoFormat::Nv12, 16, 16, (25, 1)),
        info(VideoFormat::I420, 16, 16, (50, 1)),
        VideoInfo::builder(VideoFormat::I420, 16, 16)
            .fps(gst::Fraction::new(25, 1))
            .colorimetry(&"bt709".parse().unwrap())
            .build()
            .unwrap(),
    ] {
        let element = filter(3, 2);
        let mut harness = playing(&element, &before);
        let out = record(&element);
        (0..3).for_each(|index| assert!(harness.push(timed(&before, index)).is_ok()));
        assert!(change(&mut harness, &after));
        (3..7).for_each(|index| assert!(harness.push(timed(&after, index)).is_ok()));
        harness.push_event(gst::event::Eos::new());
        let received = pull_all(&mut harness);
        for (index, buffer) in received.iter().enumerate() {
            let info = if index < 3 { &before } else { &after };
            assert_eq!(bytes(buffer), bytes(&timed(info, index)), "frame {index} of {after:?}");
        }
        let seen = until(&out, &event("eos"));
        let expected = [buffers(0..3), vec![event("caps")], buffers(3..7), vec![event("eos")]].concat();
        let start = seen.iter().position(|out| *out == Out::Buffer(0)).unwrap();
        assert_eq!(seen[start..], expected, "{after:?}");
        let caps = element.static_pad("src").unwrap().current_caps().unwrap();
        assert_eq!(VideoInfo::from_caps(&caps).unwrap(), after);
    }
}

#[test]
fn a_format_that_downstream_refuses_never_gets_in() {
    let mut harness = harness(&filter(3, 2));
    harness.set_sink_caps_str("video/x-raw,width=16");
    harness.set_src_caps(small().to_caps().unwrap());
    harness.play();
    harness.push(timed(&small(), 0)).unwrap();
    let wide = info(VideoFormat::I420, 32, 16, (25, 1));
    change(&mut harness, &wide);
    assert_eq!(harness.push(timed(&wide, 1)), Err(gst::FlowError::NotNegotiated));
}

#[test]
fn downstream_that_changes_its_mind_is_asked_again() {
    let element = filter(2, 1);
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..2);
    harness.pull().unwrap();
    harness.set_sink_caps_str("video/x-raw,format=NV12");
    feed(&mut harness, 2..4);
    harness.push_event(gst::event::Gap::builder(gst::ClockTime::from_mseconds(160)).build());
    (0..3).for_each(|_| drop(harness.pull().unwrap()));
    let caps = element.static_pad("src").unwrap().current_caps().unwrap();
    assert_eq!(VideoInfo::from_caps(&caps).unwrap().format(), VideoFormat::Nv12);
    harness.set_sink_caps_str("video/x-raw,width=32");
    let refused = (4..1000).find_map(|index| harness.push(timed(&small(), index)).err());
    assert_eq!(refused, Some(gst::FlowError::NotNegotiated));
    assert!(first(&bus, gst::MessageType::Error).contains("downstream takes no format"));
}

#[test]
fn interlaced_video_is_refused_with_the_cure() {
    let caps = "video/x-raw,format=I420,width=16,height=16,framerate=25/1,interlace-mode=interleaved";
    let element = filter(3, 2);
    let bus = bus(&element);
    let mut harness = harness(&element);
    harness.set_src_caps_str(caps);
    harness.play();
    assert!(first(&bus, gst::MessageType::Error).contains("`deinterlace`"));
}

#[test]
fn one_interlaced_frame_of_mixed_video_is_refused_too() {
    let caps = "video/x-raw,format=I420,width=16,height=16,framerate=25/1,interlace-mode=mixed";
    let element = filter(3, 2);
    let bus = bus(&element);
    let mut harness = harness(&element);
    harness.set_src_caps_str(caps);
    harness.play();
    harness.push(timed(&small(), 0)).unwrap();
    let mut buffer = timed(&small(), 1);
    buffer.get_mut().unwrap().set_video_flags(gst_video::VideoBufferFlags::INTERLACED);
    assert_eq!(harness.push(buffer), Err(gst::FlowError::NotNegotiated));
    assert!(first(&bus, gst::MessageType::Error).contains("`deinterlace`"));
}

/// Each frame that reaches the sink: its caps, running time and bytes.
fn reaches(elements: &str) -> Vec<(String, Option<gst::ClockTime>, Vec<u8>)> {
    let part = |caps: &str| {
        format!(
            "videotestsrc num-buffers=13 pattern=ball ! video/x-raw,{caps} ! queue max-size-buffers=0 ! all. "
        )
    };
    let description = format!(
        "concat name=all ! {elements} fakesink name=sink sync=false {}{}{}",
        part("format=I420,width=64,height=48,framerate=25/1"),
        part("format=NV12,width=64,height=48,framerate=30000/1001"),
        part("format=I420,width=32,height=24,framerate=10/1")
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let (sender, frames) = std::sync::mpsc::channel();
    let pad = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
            let segment = pad.sticky_event::<gst::event::Segment>(0).unwrap();
            let segment = segment.segment().downcast_ref::<gst::ClockTime>().unwrap().clone();
            let caps = pad.current_caps().unwrap().to_string();
            let _ = sender.send((caps, segment.to_running_time(buffer.pts()), bytes(buffer)));
        }
        gst::PadProbeReturn::Ok
    });
    play_to_end(&pipeline).unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    frames.try_iter().collect()
}

/// Three streams of other sizes, formats and rates, one after the other.
#[test]
fn streams_in_a_row_are_what_they_are_without_the_element() {
    init();
    let expected = reaches("");
    assert_eq!(expected.len(), 39);
    let shown = reaches("flowvidfilter engine=identity batch-size=3 keyframe-interval=3 !");
    assert_eq!(shown.len(), 39);
    for (index, (shown, expected)) in shown.iter().zip(&expected).enumerate() {
        assert_eq!((&shown.0, shown.1), (&expected.0, expected.1), "frame {index}");
        assert!(shown.2 == expected.2, "frame {index} shows something else");
    }
}

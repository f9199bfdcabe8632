//! What a frame brings with it leaves on the same frame; what the element says of a frame, on request.

use gst::{ClockTime, meta::CustomMeta, prelude::*};
use gst_video::{VideoFormat, VideoInfo};
use gstflowvid::engine::IdentityScript;

use crate::rig::*;

const FRAMES: usize = 7;

/// A frame with every kind of meta, each of which tells the frame's index.
fn laden(info: &VideoInfo, index: usize) -> gst::Buffer {
    let mut buffer = timed(info, index);
    let buffer_ref = buffer.get_mut().unwrap();
    let (small, byte) = (index as u32, index as u8);
    let timecode = gst_video::VideoTimeCode::new(
        gst::Fraction::new(25, 1),
        None,
        gst_video::VideoTimeCodeFlags::empty(),
        10,
        0,
        0,
        small,
        0,
    );
    gst_video::VideoTimeCodeMeta::add(buffer_ref, &timecode.try_into().unwrap());
    let (raw608, cdp708) = (gst_video::VideoCaptionType::Cea608Raw, gst_video::VideoCaptionType::Cea708Cdp);
    gst_video::VideoCaptionMeta::add(buffer_ref, raw608, &[0x80, byte]);
    gst_video::VideoCaptionMeta::add(buffer_ref, cdp708, &[0x96, 0x69, byte]);
    let (spec, wide) = (gst_video::VideoAFDSpec::AtscA53, gst_video::VideoAFDValue::_169Letter169Full);
    gst_video::VideoAFDMeta::add(buffer_ref, byte % 2, spec, wide);
    gst_video::VideoBarMeta::add(buffer_ref, 0, true, small, 2 * small);
    for corner in 0..2 {
        let mut region = gst_video::VideoRegionOfInterestMeta::add(buffer_ref, "face", (corner, small, 4, 4));
        region.set_id(index as i32 * 10 + corner as i32);
        region.add_param(gst::Structure::builder("detection").field("label", small).build());
    }
    let clock = gst::Caps::builder("timestamp/x-ntp").build();
    let time = ClockTime::from_seconds(1000 + index as u64);
    gst::ReferenceTimestampMeta::add(buffer_ref, &clock, time, ClockTime::NONE);
    gst_video::video_meta::VideoSeiUserDataUnregisteredMeta::add(buffer_ref, &[7; 16], &[byte; 5]);
    gst_video::VideoCropMeta::add(buffer_ref, (1, 1, 8, 8));
    buffer
}

fn all<T: MetaAPI + std::fmt::Debug>(buffer: &gst::BufferRef) -> Vec<String> {
    buffer.iter_meta::<T>().map(|meta| format!("{:?}", *meta)).collect()
}

/// All metas that are to be kept, as text.
fn kept(buffer: &gst::BufferRef) -> Vec<String> {
    let kinds = [
        all::<gst_video::VideoTimeCodeMeta>,
        all::<gst_video::VideoCaptionMeta>,
        all::<gst_video::VideoAFDMeta>,
        all::<gst_video::VideoBarMeta>,
        all::<gst_video::VideoRegionOfInterestMeta>,
        all::<gst::ReferenceTimestampMeta>,
        all::<gst_video::video_meta::VideoSeiUserDataUnregisteredMeta>,
    ];
    kinds.iter().flat_map(|kind| kind(buffer)).collect()
}

/// The frames that `element` makes of laden ones.
fn through(element: &FlowVidFilter, info: &VideoInfo, sink: &str) -> Vec<gst::Buffer> {
    let mut harness = harness(element);
    harness.set_sink_caps_str(sink);
    harness.set_src_caps(info.to_caps().unwrap());
    harness.play();
    for index in 0..FRAMES {
        harness.push(laden(info, index)).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness)
}

#[test]
fn metas_stay_on_their_own_frame() {
    let editing = || {
        let element = filter(3, 2);
        let script = IdentityScript { returns_pictures: true, ..Default::default() };
        element.set_identity_script(script);
        element
    };
    let switched_off = filter(3, 2);
    switched_off.set_property("enabled", false);
    let (eight, ten) = (small(), info(VideoFormat::P01010le, 16, 16, (25, 1)));
    for (name, element, info, sink) in [
        ("unchanged", filter(3, 2), &eight, "video/x-raw"),
        ("switched off", switched_off, &eight, "video/x-raw"),
        ("edited", editing(), &eight, "video/x-raw"),
        ("unchanged, another format", filter(3, 2), &ten, "video/x-raw,format=I420_10LE"),
        ("edited, another format", editing(), &ten, "video/x-raw,format=I420_10LE"),
    ] {
        let out = through(&element, info, sink);
        assert_eq!(out.len(), FRAMES, "{name}");
        for (index, buffer) in out.iter().enumerate() {
            let expected = kept(&laden(info, index));
            assert_eq!(expected.len(), 9);
            assert_eq!(kept(buffer), expected, "{name}, frame {index}");
            assert!(
                buffer.meta::<gst_video::VideoCropMeta>().is_none(),
                "{name}: the frame was copied whole"
            );
        }
    }
}

#[derive(Debug, PartialEq)]
struct Note(u64, u64, bool, Option<u64>);

fn notes(buffers: &[gst::Buffer]) -> Vec<Option<Note>> {
    let note = |buffer: &gst::Buffer| {
        let meta = CustomMeta::from_buffer(buffer, "flowvid").ok()?;
        let of = meta.structure();
        let seed = of.get::<Option<ClockTime>>("seed-time").unwrap().map(ClockTime::mseconds);
        let count = |name: &str| of.get::<u64>(name).unwrap();
        Some(Note(count("batch"), count("shot"), of.get::<bool>("keyframe").unwrap(), seed))
    };
    buffers.iter().map(note).collect()
}

#[test]
fn a_frame_tells_its_batch_shot_and_seed_on_request() {
    let element = filter(3, 2);
    element.set_property("add-meta", true);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..3);
    harness.push_event(gst_video::DownstreamForceKeyUnitEvent::builder().build());
    feed(&mut harness, 3..8);
    harness.push_event(gst::event::Eos::new());
    let expected = [
        (0, 0, true, None),
        (0, 0, false, None),
        (0, 0, true, None),
        (1, 1, true, None),
        (1, 1, false, None),
        (1, 1, true, None),
        (1, 1, false, None),
        (2, 1, false, Some(240)),
    ];
    let expected = expected.map(|(batch, shot, keyframe, seed)| Some(Note(batch, shot, keyframe, seed)));
    assert_eq!(notes(&pull_all(&mut harness)), expected);
}

#[test]
fn frames_tell_nothing_unasked_and_nothing_of_an_edit_that_was_not() {
    for (add, enabled) in [(false, true), (true, false)] {
        let element = filter(3, 2);
        element.set_property("add-meta", add);
        element.set_property("enabled", enabled);
        let mut harness = playing(&element, &small());
        feed(&mut harness, 0..4);
        harness.push_event(gst::event::Eos::new());
        let out = pull_all(&mut harness);
        assert_eq!((out.len(), notes(&out).iter().flatten().count()), (4, 0), "{add} {enabled}");
    }
}

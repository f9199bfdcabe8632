//! Interlaced, high dynamic range, pixel aspect: what the caps say of a picture goes on as it came.

use gst::{MessageType, prelude::*};
use gst_video::{VideoBufferFlags, VideoFormat, VideoInfo, prelude::*};
use gstflowvid::engine::IdentityScript;

use crate::rig::*;

/// An element whose engine gives negatives back, so that edited frames can be told from others.
fn editing(interlaced: &str) -> FlowVidFilter {
    let element = filter(3, 2);
    element.set_identity_script(IdentityScript {
        returns_pictures: true,
        negative: true,
        ..Default::default()
    });
    element.set_property_from_str("interlaced", interlaced);
    element
}

fn playing_as(element: &FlowVidFilter, fields: &str) -> gst_check::Harness {
    let mut harness = harness(element);
    harness.set_src_caps_str(&format!("video/x-raw,width=16,height=16,framerate=25/1,{fields}"));
    harness.play();
    harness
}

fn top_field_first(index: usize) -> gst::Buffer {
    let mut buffer = timed(&small(), index);
    buffer.get_mut().unwrap().set_video_flags(VideoBufferFlags::INTERLACED | VideoBufferFlags::TFF);
    buffer
}

#[test]
fn interlaced_frames_pass_unedited_where_they_may() {
    for (mode, interlaced) in [("interleaved", vec![0, 1, 2, 3, 4, 5]), ("mixed", vec![1, 2, 5])] {
        let element = editing("bypass");
        let mut harness = playing_as(&element, &format!("format=I420,interlace-mode={mode}"));
        for index in 0..6 {
            let flagged = mode == "mixed" && interlaced.contains(&index);
            let buffer = if flagged { top_field_first(index) } else { timed(&small(), index) };
            harness.push(buffer).unwrap();
        }
        harness.push_event(gst::event::Eos::new());
        let out = pull_all(&mut harness);
        assert_eq!(out.len(), 6, "{mode}");
        for (index, buffer) in out.iter().enumerate() {
            let unedited = bytes(buffer) == bytes(&timed(&small(), index));
            assert_eq!(unedited, interlaced.contains(&index), "{mode}: frame {index}");
            assert_eq!(buffer.pts(), timed(&small(), index).pts(), "{mode}: frame {index}");
        }
        assert_eq!(count(&element, "bypassed"), interlaced.len() as u64, "{mode}");
    }
}

#[test]
fn woven_frames_are_edited_and_stay_interlaced() {
    let element = editing("weave");
    let mut harness = playing_as(&element, "format=I420,interlace-mode=interleaved");
    (0..4).for_each(|index| assert!(harness.push(top_field_first(index)).is_ok()));
    harness.push_event(gst::event::Eos::new());
    for (index, buffer) in pull_all(&mut harness).iter().enumerate() {
        assert_ne!(bytes(buffer), bytes(&timed(&small(), index)), "frame {index}");
        let flags = buffer.video_flags();
        assert!(
            flags.contains(VideoBufferFlags::INTERLACED | VideoBufferFlags::TFF),
            "frame {index}: {flags:?}"
        );
    }
    let caps = element.static_pad("src").unwrap().current_caps().unwrap();
    assert_eq!(caps.structure(0).unwrap().get::<&str>("interlace-mode"), Ok("interleaved"));
}

#[test]
fn high_dynamic_range_is_warned_of_once_and_keeps_its_signalling() {
    let hdr = "format=P010_10LE,pixel-aspect-ratio=4/3,chroma-site=(string)dv,\
        mastering-display-info=(string)35400:14600:8500:39850:6550:2300:15635:16450:10000000:50,content-light-level=(string)1000:400";
    for (colorimetry, warnings) in [("bt2100-pq", 1), ("bt2100-hlg", 1), ("bt2020-10", 0)] {
        let element = editing("error");
        let bus = bus(&element);
        let mut harness = playing_as(&element, &format!("{hdr},colorimetry={colorimetry}"));
        let caps = element.static_pad("sink").unwrap().current_caps().unwrap();
        let info = VideoInfo::from_caps(&caps).unwrap();
        (0..12).for_each(|index| assert!(harness.push(timed(&info, index)).is_ok()));
        harness.push_event(gst::event::Eos::new());
        assert_eq!(pull_all(&mut harness).len(), 12);
        assert_eq!(bus.iter_filtered(&[MessageType::Warning]).count(), warnings, "{colorimetry}");
        assert_eq!(element.static_pad("src").unwrap().current_caps().unwrap(), caps, "{colorimetry}");
    }
}

/// Colours, sites and pixel aspect of an edited stream, in every format.
#[test]
fn what_the_caps_say_goes_on_with_edited_frames() {
    for format in
        [VideoFormat::I420, VideoFormat::Yuy2, VideoFormat::Y42b, VideoFormat::P01010le, VideoFormat::V210]
    {
        for (colorimetry, site) in [("bt601", "jpeg"), ("bt709", "mpeg2"), ("1:6:11:7", "dv")] {
            let element = editing("error");
            let fields = format!(
                "format={format},colorimetry={colorimetry},chroma-site={site},pixel-aspect-ratio=16/11,multiview-mode=mono"
            );
            let mut harness = playing_as(&element, &fields);
            let caps = element.static_pad("sink").unwrap().current_caps().unwrap();
            let info = VideoInfo::from_caps(&caps).unwrap();
            (0..3).for_each(|index| assert!(harness.push(timed(&info, index)).is_ok()));
            harness.push_event(gst::event::Eos::new());
            assert_eq!(pull_all(&mut harness).len(), 3);
            assert_eq!(element.static_pad("src").unwrap().current_caps().unwrap(), caps, "{fields}");
        }
    }
}

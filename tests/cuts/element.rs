//! The element with the real engine: a cut that only the pictures show begins a shot.

use gst::{ClockTime, prelude::*};
use gst_check::Harness;
use gst_video::DownstreamForceKeyUnitEvent;
use tch::{Kind, Tensor};

use crate::{footage, scenes::SIZE};

const CUT: usize = 6;

/// Six frames of one shot and six of another.
fn frames() -> Vec<gst::Buffer> {
    let clip = footage::frames("bikes.mp4");
    let whole = (70..76).chain(76..82).map(|index| {
        let frame = clip.narrow(0, index, 1).to_kind(Kind::Float);
        gstflowvid::conditions::filters::resize(&frame, SIZE)
    });
    whole.enumerate().map(|(index, frame)| buffer(&frame, index)).collect()
}

/// RGB, `index` frames of 40 ms after the start.
fn buffer(frame: &Tensor, index: usize) -> gst::Buffer {
    let pixels = frame.squeeze_dim(0).permute([1, 2, 0]).clamp(0.0, 255.0).to_kind(Kind::Uint8).contiguous();
    let mut bytes = vec![0u8; pixels.numel()];
    pixels.copy_data(&mut bytes, pixels.numel());
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    buffer.get_mut().unwrap().set_pts(ClockTime::from_mseconds(40) * index as u64);
    buffer
}

/// What comes out, and before which frames (in ms) a key unit was asked for.
fn edited(detection: &str, frames: &[gst::Buffer]) -> (Vec<gst::Buffer>, Vec<u64>) {
    let element = gst::ElementFactory::make("flowvidfilter")
        .property("prompt", "pencil sketch")
        .property("processing-size", 224u32)
        .property("batch-size", 8u32)
        .property("keyframe-interval", 2u32)
        .property_from_str("propagation", "warp")
        .property_from_str("interpolation", "none")
        .property_from_str("cut-detection", detection)
        .property("device", "cpu")
        .property("add-meta", true)
        .build()
        .unwrap();
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_live(false);
    let (height, width) = SIZE;
    harness.set_src_caps_str(&format!("video/x-raw,format=RGB,width={width},height={height},framerate=25/1"));
    harness.play();
    for frame in frames {
        harness.push(frame.copy_deep().unwrap()).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    let out = std::iter::from_fn(|| harness.pull_until_eos().unwrap()).collect();
    let events = std::iter::from_fn(|| harness.try_pull_event());
    let asked = events.filter_map(|event| DownstreamForceKeyUnitEvent::parse(&event).ok()?.timestamp);
    let asked = asked.map(ClockTime::mseconds).collect();
    element.set_state(gst::State::Null).unwrap();
    (out, asked)
}

/// Shot, and whether the frame is a keyframe.
fn notes(buffers: &[gst::Buffer]) -> Vec<(u64, bool)> {
    let note = |buffer: &gst::Buffer| {
        let meta = gst::meta::CustomMeta::from_buffer(buffer, "flowvid").unwrap();
        (meta.structure().get("shot").unwrap(), meta.structure().get("keyframe").unwrap())
    };
    buffers.iter().map(note).collect()
}

fn bytes(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

#[test]
fn a_cut_in_the_pictures_begins_a_shot_with_its_own_edit() {
    gst::init().unwrap();
    gstflowvid::plugin_register_static().unwrap();
    let frames = frames();
    let (out, asked) = edited("auto", &frames);
    assert_eq!(asked, [40 * CUT as u64]);
    let (yes, no) = (true, false);
    let shot = |shot| [yes, no, yes, no, yes, yes].map(|keyframe| (shot, keyframe));
    assert_eq!(notes(&out), [shot(0), shot(1)].concat(), "each shot begins and ends on a keyframe");

    let (alone, asked) = edited("auto", &frames[CUT..]);
    assert!(asked.is_empty(), "a stream's first shot needs no event");
    for (index, (together, alone)) in out[CUT..].iter().zip(&alone).enumerate() {
        assert_eq!(bytes(together), bytes(alone), "frame {index} owes nothing to the shot before");
    }

    for detection in ["events", "off"] {
        let (out, asked) = edited(detection, &frames);
        assert!(asked.is_empty() && notes(&out).iter().all(|(shot, _)| *shot == 0), "{detection}");
    }
}

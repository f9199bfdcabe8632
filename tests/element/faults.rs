//! Faults from outside the engine: a message tells of each, nobody hangs, and READY ends it.

use gst::{ClockTime, FlowError, MessageType, prelude::*};
use gst_video::VideoFormat;
use gstflowvid::engine::IdentityScript;

use crate::rig::*;

fn segment(start: u64) -> gst::Event {
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_start(ClockTime::from_seconds(start));
    gst::event::Segment::new(&segment)
}

#[test]
fn a_panic_of_the_worker_is_told_before_upstream_hears_of_it() {
    let element = filter(2, 1);
    element.set_identity_script(IdentityScript { panics_at_reset: true, ..Default::default() });
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    let out = record(&element);
    feed(&mut harness, 0..2);
    until(&out, &Out::Buffer(40));
    harness.push_event(segment(1));
    let refused = (2..1000).find_map(|index| harness.push(timed(&small(), index)).err());
    assert_eq!(refused, Some(FlowError::Error));
    let message = bus.pop_filtered(&[MessageType::Error]).expect("upstream heard of it first");
    let gst::MessageView::Error(error) = message.view() else { unreachable!() };
    assert!(error.error().matches(gst::LibraryError::Failed), "{error:?}");
    assert!(error.error().to_string().contains("please report it"), "{error:?}");
    assert!(!harness.push_event(gst::event::Eos::new()), "EOS after an error");
    drop(harness);
    passes_frames(&element);
}

/// From READY on the element works as if nothing had been.
fn passes_frames(element: &FlowVidFilter) {
    element.set_identity_script(IdentityScript::default());
    let mut harness = playing(element, &small());
    feed(&mut harness, 0..3);
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(pull_all(&mut harness).len(), 3);
}

#[test]
fn a_pad_unlinked_while_playing_ends_the_pipeline_with_an_error() {
    init();
    let description = "videotestsrc ! flowvidfilter name=filter engine=identity batch-size=2 keyframe-interval=1 ! \
                       fakesink name=sink";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let (filter, sink) = (pipeline.by_name("filter").unwrap(), pipeline.by_name("sink").unwrap());
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    bus.timed_pop_filtered(ClockTime::from_seconds(20), &[MessageType::AsyncDone]).expect("frames arrive");
    filter.unlink(&sink);
    let message = bus.timed_pop_filtered(ClockTime::from_seconds(20), &[MessageType::Error]);
    let text = format!("{:?}", message.expect("nobody tells of the missing link"));
    assert!(text.contains("not-linked"), "{text}");
    pipeline.set_state(gst::State::Ready).unwrap();
    filter.link(&sink).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    bus.timed_pop_filtered(ClockTime::from_seconds(20), &[MessageType::AsyncDone])
        .expect("frames arrive again");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn frames_pass_again_when_the_pad_is_linked_again() {
    let element = filter(2, 1);
    let mut harness = playing(&element, &small());
    let pad = element.static_pad("src").unwrap();
    let peer = pad.peer().unwrap();
    pad.unlink(&peer).unwrap();
    let refused = (0..1000).find_map(|index| harness.push(timed(&small(), index)).err());
    assert_eq!(refused, Some(FlowError::NotLinked));
    let out = record(&element);
    pad.link(&peer).unwrap();
    feed(&mut harness, 1000..1002);
    assert!(harness.push_event(gst::event::Eos::new()));
    let seen = until(&out, &event("eos"));
    assert!(seen.ends_with(&[buffers(1000..1002), vec![event("eos")]].concat()), "{seen:?}");
}

#[test]
fn a_prompt_of_a_megabyte_is_kept_and_harms_nobody() {
    let element = filter(2, 1);
    let prompt = "a très long prompt, ".repeat(50_000);
    element.set_property("prompt", &prompt);
    element.set_property("negative-prompt", &prompt);
    passes_frames(&element);
    assert_eq!(element.property::<String>("prompt"), prompt);
}

#[test]
fn frames_of_any_size_pass() {
    for (width, height, formats) in [
        (
            1,
            1,
            &[
                VideoFormat::I420,
                VideoFormat::Nv12,
                VideoFormat::I42010le,
                VideoFormat::Rgba,
                VideoFormat::Gray8,
            ][..],
        ),
        (7680, 4320, &[VideoFormat::I420][..]),
        (1, 4320, &[VideoFormat::Nv12][..]),
        (7680, 1, &[VideoFormat::I420][..]),
    ] {
        for format in formats {
            let info = info(*format, width, height, (25, 1));
            let element = filter(2, 1);
            element.set_identity_script(IdentityScript { returns_pictures: true, ..Default::default() });
            let mut harness = playing(&element, &info);
            for index in 0..2 {
                harness.push(timed(&info, index)).unwrap();
            }
            harness.push_event(gst::event::Eos::new());
            let sizes: Vec<_> = pull_all(&mut harness).iter().map(|buffer| buffer.size()).collect();
            assert_eq!(sizes, [info.size(); 2], "{format} {width}x{height}");
        }
    }
}

#[test]
fn a_buffer_that_is_no_frame_is_told() {
    let element = filter(2, 1);
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    assert_eq!(harness.push(gst::Buffer::from_mut_slice(vec![0u8; 7])), Err(FlowError::Error));
    assert!(first(&bus, MessageType::Error).contains("no frame of the caps"));
    drop(harness);
    passes_frames(&element);
}

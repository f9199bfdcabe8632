//! Straight after a source or decoder, straight before an encoder, without videoconvert.

use gst::prelude::*;

use crate::rig::*;

/// The format that leaves for `input` when downstream takes `allowed`.
fn output(input: &str, allowed: &str) -> String {
    output_into(input, &format!("capsfilter caps=\"{allowed}\""))
}

/// The format that leaves for `input` into the element `downstream`.
fn output_into(input: &str, downstream: &str) -> String {
    init();
    let description = format!(
        "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48,framerate=25/1,format={input} ! \
         flowvidfilter name=filter engine=identity ! {downstream} ! fakesink name=sink"
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let pad = pipeline.by_name("filter").unwrap().static_pad("src").unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(gst::ClockTime::from_seconds(20)).0.unwrap();
    let format = pad.current_caps().unwrap().structure(0).unwrap().get::<String>("format").unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    format
}

#[test]
fn the_same_format_where_it_is_taken_else_the_nearest() {
    for (input, allowed, expected) in [
        ("NV12", "video/x-raw", "NV12"),
        ("UYVY", "video/x-raw,format={I420,UYVY}", "UYVY"),
        ("P010_10LE", "video/x-raw,format={I420,I420_10LE}", "I420_10LE"),
        ("RGB", "video/x-raw,format={I420,Y444}", "Y444"),
        ("GRAY8", "video/x-raw,format={I420}", "I420"),
    ] {
        assert_eq!(output(input, allowed), expected, "{input} into {allowed}");
    }
}

#[test]
fn into_an_encoder_that_lacks_the_format() {
    for format in ["P010_10LE", "UYVY", "I420", "RGB", "BGRx", "GRAY8", "I420_10LE", "NV12", "YUY2"] {
        let description = format!(
            "videotestsrc num-buffers=6 ! video/x-raw,width=64,height=48,format={format} ! \
             flowvidfilter engine=identity batch-size=2 keyframe-interval=2 ! \
             x264enc speed-preset=ultrafast ! fakesink name=sink"
        );
        assert_eq!(run(&description), Ok(6), "{format}");
    }
}

#[test]
fn an_encoder_gets_depth_and_subsampling_of_the_input() {
    for (input, expected) in [
        ("P010_10LE", "I420_10LE"),
        ("v210", "I422_10LE"),
        ("UYVY", "Y42B"),
        ("NV12", "NV12"),
        ("AYUV", "Y444"),
    ] {
        assert_eq!(output_into(input, "x264enc speed-preset=ultrafast"), expected, "{input}");
    }
}

#[test]
fn straight_after_decodebin() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mkv");
    let file = file.display();
    let make = format!(
        "videotestsrc num-buffers=37 ! video/x-raw,width=96,height=64 ! x264enc speed-preset=ultrafast ! \
         matroskamux ! filesink location={file}"
    );
    run(&make).unwrap();
    let play = format!(
        "filesrc location={file} ! decodebin ! flowvidfilter engine=identity batch-size=2 ! \
         x264enc speed-preset=ultrafast ! fakesink name=sink"
    );
    assert_eq!(run(&play), Ok(37));
}

#[test]
fn a_format_that_nobody_can_make_is_told() {
    let description = "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48 ! \
                       flowvidfilter engine=identity ! video/x-raw,width=32 ! fakesink";
    assert!(run(description).is_err());
}

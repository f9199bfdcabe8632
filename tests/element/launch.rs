//! Command lines as users write them.

use gst::prelude::*;

use crate::rig::*;

#[test]
fn command_lines() {
    for (description, frames) in [
        (
            "videotestsrc num-buffers=70 ! flowvidfilter engine=identity ! x264enc speed-preset=ultrafast ! fakesink name=sink",
            70,
        ),
        (
            "videotestsrc num-buffers=10 ! flowvidfilter enabled=false prompt=\"a watercolour\" ! fakesink name=sink",
            10,
        ),
        ("videotestsrc num-buffers=10 ! flowvidfilter ! fakesink name=sink", 10),
        (
            "videotestsrc num-buffers=20 ! flowvidfilter engine=identity prompt=\"in the style of a comic\" \
             negative-prompt=blurry edited-frame=/a/picture.png batch-size=4 keyframe-interval=2 steps=10 \
             guidance-scale=7.5 strength=0.8 seed=18446744073709551615 condition=canny processing-size=320 \
             propagation=warp interpolation=source-flow color-calibration=false device=cuda:1 dtype=bf16 \
             model=nano preset=preview ! fakesink name=sink",
            20,
        ),
    ] {
        assert_eq!(run(description), Ok(frames), "{description}");
    }
}

/// `debugqroverlay` writes each frame's time and number into the picture, `zbar` reads them again.
#[test]
fn every_picture_keeps_its_own_time_and_place() {
    init();
    if ["debugqroverlay", "zbar"].iter().any(|name| gst::ElementFactory::find(name).is_none()) {
        panic!("debugqroverlay or zbar is missing: install gstreamer1.0-plugins-bad");
    }
    [false, true].into_iter().for_each(codes_are_those_of_their_frames);
}

fn codes_are_those_of_their_frames(live: bool) {
    let description = format!(
        "videotestsrc is-live={live} num-buffers=23 pattern=white ! video/x-raw,width=320,height=240,framerate=30000/1001 ! \
         debugqroverlay pixel-size=4 ! flowvidfilter engine=identity batch-size=3 keyframe-interval=3 ! \
         zbar ! fakesink sync={live}"
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut seen = 0;
    for message in bus.iter_timed(gst::ClockTime::from_seconds(60)) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            gst::MessageView::Element(element) if element.has_name("barcode") => {
                let structure = element.structure().unwrap();
                let symbol = structure.get::<String>("symbol").unwrap();
                let time = structure.get::<gst::ClockTime>("timestamp").unwrap().nseconds();
                assert!(symbol.contains(&format!("\"TIMESTAMP\":{time}")), "{symbol} at {time}");
                seen += 1;
                assert!(symbol.contains(&format!("\"BUFFERCOUNT\":{seen},")), "{symbol} is frame {seen}");
            }
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(seen, 23, "live: {live}");
}

/// The sum over all pictures, as decoders' conformance tests make it.
fn checksum(caps: &str, elements: &str) -> String {
    let description = format!(
        "videotestsrc num-buffers=23 pattern=smpte75 horizontal-speed=3 ! {caps} ! {elements} videocodectestsink"
    );
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sum = bus.iter_timed(gst::ClockTime::from_seconds(60)).find_map(|message| match message.view() {
        gst::MessageView::Element(told) if told.has_name("conformance/checksum") => {
            Some(told.structure().unwrap().get::<String>("checksum").unwrap())
        }
        gst::MessageView::Error(error) => panic!("{error:?}"),
        _ => None,
    });
    pipeline.set_state(gst::State::Null).unwrap();
    sum.expect("the sink told no checksum")
}

#[test]
fn checksums_are_those_without_the_element() {
    init();
    for format in ["I420", "NV12", "Y42B", "Y444", "I420_10LE", "I422_10LE", "Y444_10LE", "I420_12LE"] {
        let caps = format!("video/x-raw,format={format},width=321,height=241,framerate=30000/1001");
        let without = checksum(&caps, "");
        let with = checksum(&caps, "flowvidfilter engine=identity batch-size=3 keyframe-interval=3 !");
        assert_eq!(with, without, "{format}");
    }
}

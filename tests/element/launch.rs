//! Command lines as users write them.

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
             model=nano ! fakesink name=sink",
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
    use gst::prelude::*;
    let description = "videotestsrc num-buffers=23 pattern=white ! video/x-raw,width=320,height=240,framerate=30000/1001 ! \
                       debugqroverlay pixel-size=4 ! flowvidfilter engine=identity batch-size=3 keyframe-interval=3 ! \
                       zbar ! fakesink";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
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
    assert_eq!(seen, 23);
}

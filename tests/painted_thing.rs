//! A thing that the user painted keeps its colour as it comes out, turns and stretches, and comes into the light.

use gst::prelude::*;

/// Frames of the clip; the last one is looked at.
const FRAMES: usize = 49;
/// The painted rabbit's body in that frame: columns and rows of 448x252 pixels.
const BODY: [std::ops::Range<usize>; 2] = [130..170, 120..170];
/// Painted, its red is some 140 of 255 above its blue; unpainted it is grey. Measured: 55, and 15 where nothing is followed
/// but what is seen for sure.
const WARM: f64 = 35.0;

#[test]
fn the_painted_rabbit_is_no_grey_one_where_it_has_risen() {
    gst::init().unwrap();
    gstflowvid::plugin_register_static().unwrap();
    let pipeline = format!(
        "filesrc location=.deps/clips/bigbuckbunny.mp4 ! decodebin ! identity eos-after={} ! videoconvert ! videoscale ! \
         video/x-raw,format=RGB,width=448,height=252 ! \
         flowvidfilter edited-frame=docs/hand-edited.jpg propagation=warp ! appsink name=out sync=false",
        FRAMES + 1
    );
    let pipeline: gst::Pipeline = gst::parse::launch(&pipeline).unwrap().downcast().unwrap();
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let samples = std::iter::from_fn(|| sink.pull_sample().ok());
    let last = samples.take(FRAMES).last().expect("the clip has frames");
    pipeline.set_state(gst::State::Null).unwrap();
    let warmth = warmth(last.buffer().unwrap().map_readable().unwrap().as_slice());
    assert!(warmth > WARM, "red is above blue by {warmth:.1}");
}

/// How far red is above blue on the body.
fn warmth(rgb: &[u8]) -> f64 {
    let [columns, rows] = BODY;
    let pixels = rows.flat_map(|row| columns.clone().map(move |column| 3 * (448 * row + column)));
    let differences: Vec<_> = pixels.map(|at| f64::from(rgb[at]) - f64::from(rgb[at + 2])).collect();
    differences.iter().sum::<f64>() / differences.len() as f64
}

//! Frames of the clips that set-up fetches, as tensors.

use std::path::Path;

use gst::prelude::*;
use tch::{Kind, Tensor};

/// All frames of a clip, `[n, 3, H, W]`, u8; H and W are the clip's own, but at most 640 wide.
pub fn frames(name: &str) -> Tensor {
    gst::init().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/clips").join(name);
    assert!(file.exists(), "{} is missing: run `make setup`", file.display());
    let launch = format!(
        "filesrc location={} ! decodebin ! videoconvert ! videoscale method=lanczos ! \
         video/x-raw,format=RGB,width=[1,640],pixel-aspect-ratio=1/1 ! appsink name=sink sync=false",
        file.display()
    );
    let pipeline = gst::parse::launch(&launch).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let frames: Vec<Tensor> =
        std::iter::from_fn(|| sink.pull_sample().ok()).map(|sample| tensor(&sample)).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    Tensor::stack(&frames, 0)
}

/// `[3, H, W]`, u8.
fn tensor(sample: &gst::Sample) -> Tensor {
    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let buffer = sample.buffer().unwrap();
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
    let (height, width) = (i64::from(info.height()), i64::from(info.width()));
    let stride = i64::from(gst_video::VideoFrameExt::plane_stride(&frame)[0]);
    let rows = Tensor::from_data_size(frame.plane_data(0).unwrap(), &[height, stride], Kind::Uint8);
    rows.narrow(1, 0, width * 3).reshape([height, width, 3]).permute([2, 0, 1]).contiguous()
}

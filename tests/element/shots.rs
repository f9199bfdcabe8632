//! What begins a shot, and what encoders and muxers make of it.

use gst::prelude::*;
use gst_check::Harness;
use gst_video::{DownstreamForceKeyUnitEvent, VideoFormat};

use crate::rig::*;

/// The shot that each frame's meta tells.
fn shots(buffers: &[gst::Buffer]) -> Vec<u64> {
    let shot = |buffer: &gst::Buffer| {
        let meta = gst::meta::CustomMeta::from_buffer(buffer, "flowvid").unwrap();
        meta.structure().get::<u64>("shot").unwrap()
    };
    buffers.iter().map(shot).collect()
}

/// Seven frames with a force-key-unit event before the fourth: the batches' lengths, the shots, and what
/// passed from the first frame on.
fn with_an_event(detection: &str) -> (Vec<u32>, Vec<u64>, Vec<Out>) {
    let element = filter(3, 3);
    element.set_property_from_str("cut-detection", detection);
    element.set_property("add-meta", true);
    let (bus, out) = (bus(&element), record(&element));
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..3);
    harness.push_event(DownstreamForceKeyUnitEvent::builder().count(5).build());
    feed(&mut harness, 3..7);
    harness.push_event(gst::event::Eos::new());
    let shots = shots(&pull_all(&mut harness));
    let seen = until(&out, &event("eos"));
    let start = seen.iter().position(|out| *out == Out::Buffer(0)).unwrap();
    let batches = bus.iter_filtered(&[gst::MessageType::Element]);
    let frames = batches.map(|message| message.structure().unwrap().get::<u32>("frames").unwrap());
    (frames.collect(), shots, seen[start..].to_vec())
}

#[test]
fn upstream_s_key_unit_is_a_cut_unless_cuts_are_off() {
    let passed = [buffers(0..3), vec![event("GstForceKeyUnit")], buffers(3..7), vec![event("eos")]].concat();
    for (detection, batches, shots) in [
        ("auto", vec![3, 4], [0, 0, 0, 1, 1, 1, 1]),
        ("events", vec![3, 4], [0, 0, 0, 1, 1, 1, 1]),
        ("off", vec![7], [0; 7]),
    ] {
        let seen = with_an_event(detection);
        assert_eq!(seen, (batches, shots.into(), passed.clone()), "{detection}");
    }
}

/// A picture of blocks; `kind` decides which.
fn blocks(info: &gst_video::VideoInfo, kind: usize, index: usize) -> gst::Buffer {
    let mut buffer = timed(info, index);
    let mut map = buffer.get_mut().unwrap().map_writable().unwrap();
    for (at, byte) in map.iter_mut().enumerate() {
        let (x, y) = (at % info.width() as usize / 16, at / info.width() as usize / 16);
        *byte =
            if kind == 0 { (40 + 20 * (x % 3) + 9 * y) as u8 } else { (230 - 25 * (y % 4) - 7 * x) as u8 };
    }
    drop(map);
    buffer
}

#[test]
fn gstreamer_s_scenechange_makes_shots() {
    init();
    let mut harness = Harness::new_parse(
        "scenechange ! flowvidfilter engine=identity add-meta=true batch-size=4 keyframe-interval=4",
    );
    harness.set_live(false);
    let info = info(VideoFormat::I420, 128, 96, (25, 1));
    harness.set_src_caps(info.to_caps().unwrap());
    harness.play();
    for index in 0..24 {
        harness.push(blocks(&info, index / 8 % 2, index)).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    let out = pull_all(&mut harness);
    assert_eq!(shots(&out), (0..24).map(|index| index / 8).collect::<Vec<u64>>());
    let mut events = std::iter::from_fn(|| harness.try_pull_event());
    let cuts = events.by_ref().filter(|event| DownstreamForceKeyUnitEvent::parse(event).is_ok()).count();
    assert_eq!(cuts, 2, "scenechange's own events, not doubled");
}

/// Frames in each of the files that splitmuxsink wrote, in order.
fn frames_in(folder: &std::path::Path) -> Vec<u64> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let frames = |file: &std::path::PathBuf| {
        run(&format!("filesrc location={} ! qtdemux ! fakesink name=sink", file.display())).unwrap()
    };
    files.iter().map(frames).collect()
}

/// `on_frame` sees each frame before the element does, and may send an event.
fn split(on_frame: impl Fn(&gst::Pad, u64, &mut gst::BufferRef) + Send + Sync + 'static) -> Vec<u64> {
    init();
    let folder = tempfile::tempdir().unwrap();
    let launch = format!(
        "videotestsrc num-buffers=30 ! video/x-raw,width=64,height=64 ! identity name=before ! flowvidfilter \
         engine=identity batch-size=3 ! x264enc speed-preset=ultrafast key-int-max=1000 option-string=scenecut=0 ! \
         h264parse ! splitmuxsink max-size-time=1 location={}/%02d.mp4",
        folder.path().display()
    );
    let pipeline = gst::parse::launch(&launch).unwrap().downcast::<gst::Pipeline>().unwrap();
    let pad = pipeline.by_name("before").unwrap().static_pad("src").unwrap();
    let frames = std::sync::atomic::AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data {
            let index = frames.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            on_frame(pad, index, buffer.make_mut());
        }
        gst::PadProbeReturn::Ok
    });
    play_to_end(&pipeline).unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    frames_in(folder.path())
}

#[test]
fn encoder_and_muxer_cut_where_the_element_begins_a_shot() {
    let lengths = split(|_, index, buffer| {
        if index == 11 || index == 20 {
            buffer.set_flags(gst::BufferFlags::DISCONT);
        }
    });
    assert_eq!(lengths, [11, 9, 10]);
}

#[test]
fn encoder_and_muxer_cut_where_upstream_asked() {
    let lengths = split(|pad, index, _| {
        if index == 17 {
            pad.push_event(DownstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
    });
    assert_eq!(lengths, [17, 13]);
}

//! What nothing changed leaves with the very bytes that came in: identity, off, and nothing asked for.

use gst::prelude::*;
use gst_video::{VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo};

use crate::rig::*;

/// The formats that the template lists.
fn formats() -> Vec<VideoFormat> {
    init();
    let template = gst::ElementFactory::find("flowvidfilter").unwrap().static_pad_templates();
    let caps = template.iter().next().unwrap().caps();
    let list = caps.structure(0).unwrap().get::<gst::List>("format").unwrap();
    list.iter().map(|format| format.get::<&str>().unwrap().parse().unwrap()).collect()
}

fn assert_untouched(name: &str, element: &FlowVidFilter, info: &VideoInfo) {
    let mut harness = playing(element, info);
    for index in 0..4 {
        harness.push(timed(info, index)).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    let out = pull_all(&mut harness);
    assert_eq!(out.len(), 4, "{name}");
    for (index, buffer) in out.iter().enumerate() {
        assert!(bytes(buffer) == bytes(&timed(info, index)), "{name}: frame {index} differs");
    }
    assert_eq!(harness.srcpad().unwrap().peer().unwrap().name(), "sink", "{name}");
}

#[test]
fn every_format_and_odd_sizes() {
    for format in formats() {
        for (width, height) in [(320, 240), (321, 241), (1, 1)] {
            let info = info(format, width, height, (25, 1));
            assert_untouched(&format!("{format:?} {width}x{height}"), &filter(2, 3), &info);
        }
    }
}

#[test]
fn switched_off_or_nothing_to_do() {
    for (name, engine, enabled) in [
        ("enabled=false", "identity", false),
        ("enabled=false", "flowvid", false),
        ("no prompt", "flowvid", true),
    ] {
        let element = filter(2, 3);
        element.set_property_from_str("engine", engine);
        element.set_property("enabled", enabled);
        assert_untouched(name, &element, &small());
        assert_eq!(count(&element, "bypassed"), 4, "{name}");
    }
}

#[test]
fn padded_rows_are_read_by_their_stride() {
    let info = info(VideoFormat::I420, 33, 17, (25, 1));
    let (strides, offsets) = ([64, 48, 80], [128usize, 2048, 3072]);
    let mut padded =
        gst::Buffer::from_mut_slice((0..8192).map(|at| (at * 11 % 253) as u8).collect::<Vec<u8>>());
    gst_video::VideoMeta::add_full(
        padded.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        VideoFormat::I420,
        33,
        17,
        &offsets,
        &strides,
    )
    .unwrap();
    let mut harness = playing(&filter(2, 3), &info);
    harness.push(padded.clone()).unwrap();
    harness.push_event(gst::event::Eos::new());
    let out = pull_all(&mut harness);
    assert_eq!(rows(&out[0], &info), rows(&padded, &info));
}

/// The visible bytes, row by row.
fn rows(buffer: &gst::BufferRef, info: &VideoInfo) -> Vec<Vec<u8>> {
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
    (0..3u32)
        .flat_map(|plane| {
            let width = info.comp_width(plane as u8) as usize;
            let stride = frame.plane_stride()[plane as usize] as usize;
            let rows =
                frame.plane_data(plane).unwrap().chunks(stride).take(info.comp_height(plane as u8) as usize);
            rows.map(|row| row[..width].to_vec()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn metas_come_along_and_crops_do_not() {
    let info = small();
    let mut buffer = timed(&info, 0);
    let writable = buffer.get_mut().unwrap();
    let time_code = gst_video::VideoTimeCode::new(
        gst::Fraction::new(25, 1),
        None,
        gst_video::VideoTimeCodeFlags::empty(),
        1,
        2,
        3,
        4,
        0,
    );
    gst_video::VideoTimeCodeMeta::add(writable, &time_code.try_into().unwrap());
    gst_video::VideoCaptionMeta::add(writable, gst_video::VideoCaptionType::Cea608Raw, &[1, 2]);
    gst_video::VideoRegionOfInterestMeta::add(writable, "face", (1, 2, 3, 4));
    gst_video::VideoCropMeta::add(writable, (0, 0, 8, 8));
    let mut harness = playing(&filter(2, 3), &info);
    harness.push(buffer).unwrap();
    harness.push_event(gst::event::Eos::new());
    let out = pull_all(&mut harness).remove(0);
    let code = out.meta::<gst_video::VideoTimeCodeMeta>().expect("time code").tc();
    assert_eq!((code.hours(), code.minutes(), code.seconds(), code.frames()), (1, 2, 3, 4));
    assert_eq!(out.meta::<gst_video::VideoCaptionMeta>().expect("caption").data(), [1, 2]);
    assert_eq!(out.meta::<gst_video::VideoRegionOfInterestMeta>().expect("region").rect(), (1, 2, 3, 4));
    assert!(out.meta::<gst_video::VideoCropMeta>().is_none());
}

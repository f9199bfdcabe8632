//! `compare`: original and edited in one picture.

use gst::prelude::*;
use gst_video::{VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo};
use gstflowvid::engine::IdentityScript;

use crate::rig::*;

/// So wide that in every format a row, and half of it, ends with a whole byte and without padding.
const WIDTH: u32 = 96;
const HEIGHT: u32 = 4;

/// An element that gives negatives.
fn negative(compare: &str) -> FlowVidFilter {
    let element = filter(2, 2);
    element.set_identity_script(IdentityScript {
        returns_pictures: true,
        negative: true,
        ..Default::default()
    });
    element.set_property_from_str("compare", compare);
    element
}

/// What comes out for the first frames.
fn shown(element: &FlowVidFilter, info: &VideoInfo, frames: usize) -> Vec<gst::Buffer> {
    let mut harness = playing(element, info);
    for index in 0..frames {
        harness.push(clean(info, index)).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness)
}

fn one(element: &FlowVidFilter, info: &VideoInfo) -> gst::Buffer {
    shown(element, info, 1).remove(0)
}

fn wipe(position: f64, info: &VideoInfo) -> gst::Buffer {
    let element = negative("wipe");
    element.set_property("compare-position", position);
    one(&element, info)
}

/// All rows of all planes.
fn rows(buffer: &gst::BufferRef, info: &VideoInfo) -> Vec<Vec<u8>> {
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
    (0..info.n_planes())
        .flat_map(|plane| {
            let stride = frame.plane_stride()[plane as usize] as usize;
            frame.plane_data(plane).unwrap().chunks(stride).map(<[u8]>::to_vec).collect::<Vec<_>>()
        })
        .collect()
}

fn formats() -> Vec<VideoFormat> {
    init();
    let factory = gst::ElementFactory::find("flowvidfilter").unwrap();
    let caps = factory.static_pad_templates().front().unwrap().caps();
    let formats = caps.structure(0).unwrap().get::<gst::List>("format").unwrap();
    formats.iter().map(|name| VideoFormat::from_string(name.get::<&str>().unwrap())).collect()
}

/// A frame whose bits are all of samples: what a format does not use is as the element writes it.
fn clean(info: &VideoInfo, index: usize) -> gst::Buffer {
    use VideoFormat::*;
    let (kept, added): (&[u8], &[u8]) = match info.format() {
        V210 => (&[0xff, 0xff, 0xff, 0x3f], &[0]),
        P01010le => (&[0xc0, 0xff], &[0]),
        I42010le | I42210le | Y44410le | Gbr10le => (&[0xff, 0x03], &[0]),
        I42012le => (&[0xff, 0x0f], &[0]),
        Rgbx | Bgrx => (&[0xff], &[0, 0, 0, 0xff]),
        Xrgb | Xbgr => (&[0xff], &[0xff, 0, 0, 0]),
        _ => (&[0xff], &[0]),
    };
    let mut buffer = timed(info, index);
    let mut bytes = buffer.get_mut().unwrap().map_writable().unwrap();
    for ((byte, kept), added) in bytes.iter_mut().zip(kept.iter().cycle()).zip(added.iter().cycle()) {
        *byte = *byte & kept | added;
    }
    drop(bytes);
    buffer
}

#[test]
fn side_by_side_shows_both_byte_for_byte() {
    let formats = formats();
    assert!(formats.len() > 30, "{formats:?}");
    for format in formats {
        let (single, wide) = (info(format, WIDTH, HEIGHT, (25, 1)), info(format, 2 * WIDTH, HEIGHT, (25, 1)));
        let edited = rows(&one(&negative("off"), &single), &single);
        let original = rows(&clean(&single, 0), &single);
        assert_ne!(edited, original, "{format:?}");
        let both = rows(&one(&negative("side-by-side"), &single), &wide);
        assert_eq!(both.len(), original.len(), "{format:?}");
        for (row, (left, right)) in both.iter().zip(original.iter().zip(&edited)) {
            assert_eq!(*row, [left.as_slice(), right].concat(), "{format:?}");
        }
    }
}

#[test]
fn a_wipe_shows_the_original_left_of_the_line_and_the_edit_right_of_it() {
    for format in formats() {
        let single = info(format, WIDTH, HEIGHT, (25, 1));
        let edited = rows(&one(&negative("off"), &single), &single);
        let original = rows(&clean(&single, 0), &single);
        for (position, column) in [(0.0, 0), (0.24, 24), (0.5, 48), (1.0, 96)] {
            let both = rows(&wipe(position, &single), &single);
            for (row, (left, right)) in both.iter().zip(original.iter().zip(&edited)) {
                // The line takes two columns; v210 packs six to a group of bytes.
                let after = if [0, 96].contains(&column) { column } else { column + 6 };
                let (line, after) = (left.len() * column / 96, left.len() * after / 96);
                assert_eq!(row[..line], left[..line], "{format:?} at {position}");
                assert_eq!(row[after..], right[after..], "{format:?} at {position}");
            }
        }
    }
}

#[test]
fn the_line_of_a_wipe_is_white() {
    let single = info(VideoFormat::I420, WIDTH, HEIGHT, (25, 1));
    let both = rows(&wipe(0.5, &single), &single);
    let (luma, chroma) = both.split_at(HEIGHT as usize);
    luma.iter().for_each(|row| assert_eq!(row[48..50], [235, 235]));
    chroma.iter().for_each(|row| assert_eq!(row[24], 128));
}

/// The last column of an odd width shares its chroma sample with none.
#[test]
fn odd_widths_are_made_even() {
    let (single, wide) = (info(VideoFormat::I420, 7, 3, (25, 1)), info(VideoFormat::I420, 16, 3, (25, 1)));
    let edited = rows(&one(&negative("off"), &single), &single);
    let original = rows(&clean(&single, 0), &single);
    let both = rows(&one(&negative("side-by-side"), &single), &wide);
    for (index, (row, (left, right))) in both.iter().zip(original.iter().zip(&edited)).enumerate() {
        let half = |row: &[u8]| match index {
            0..4 => [&row[..7], &row[6..7]].concat(), // luma: three rows, and one of padding
            _ => row[..4].to_vec(),
        };
        if index != 3 {
            assert_eq!(row[..2 * half(left).len()], [half(left), half(right)].concat(), "row {index}");
        }
    }
    assert_eq!(rows(&wipe(1.0, &single), &single), original);
}

#[test]
fn a_frame_that_was_not_edited_is_shown_as_it_is() {
    let single = info(VideoFormat::Nv12, WIDTH, HEIGHT, (25, 1));
    for (compare, copies) in [("wipe", 1), ("side-by-side", 2)] {
        let element = negative(compare);
        element.set_property("enabled", false);
        let shown = rows(&one(&element, &single), &info(VideoFormat::Nv12, copies * WIDTH, HEIGHT, (25, 1)));
        for (row, original) in shown.iter().zip(&rows(&clean(&single, 0), &single)) {
            assert_eq!(*row, original.repeat(copies as usize), "{compare}");
        }
    }
}

/// Frames wait for their batch, and keep the line of when they came.
#[test]
fn the_line_of_a_wipe_moves_frame_by_frame() {
    let single = info(VideoFormat::Gray8, WIDTH, HEIGHT, (25, 1));
    let element = negative("wipe");
    let mut harness = playing(&element, &single);
    for index in 0..3 {
        element.set_property("compare-position", 0.25 * index as f64);
        harness.push(clean(&single, index)).unwrap();
    }
    let edited = shown(&negative("off"), &single, 3);
    for (index, edited) in edited.iter().enumerate() {
        let both = bytes(&harness.pull().unwrap());
        let (line, original) = (24 * index, bytes(&clean(&single, index)));
        assert_eq!(both[..line], original[..line], "frame {index}");
        assert_eq!(both[line + 2..WIDTH as usize], bytes(edited)[line + 2..WIDTH as usize], "frame {index}");
    }
}

#[test]
fn each_frame_keeps_its_time_and_its_metas() {
    let single = small();
    let element = negative("side-by-side");
    let mut harness = playing(&element, &single);
    for index in 0..5 {
        let mut buffer = timed(&single, index);
        let writable = buffer.get_mut().unwrap();
        writable.set_offset(index as u64);
        gst::ReferenceTimestampMeta::add(
            writable,
            &gst::Caps::new_empty_simple("timestamp/x-unix"),
            gst::ClockTime::from_seconds(index as u64),
            gst::ClockTime::NONE,
        );
        harness.push(buffer).unwrap();
    }
    harness.push_event(gst::event::Eos::new());
    let out = pull_all(&mut harness);
    assert_eq!(out.len(), 5);
    for (index, buffer) in out.iter().enumerate() {
        let expected = timed(&single, index);
        assert_eq!((buffer.pts(), buffer.duration()), (expected.pts(), expected.duration()));
        assert_eq!(buffer.offset(), index as u64);
        let reference = buffer.meta::<gst::ReferenceTimestampMeta>().expect("the meta that came in");
        assert_eq!(reference.timestamp().seconds(), index as u64);
    }
}

#[test]
fn widths_are_negotiated_through_it() {
    let sink = "fakesink name=sink";
    for (line, frames) in [
        (
            "video/x-raw,width=64 ! flowvidfilter engine=identity compare=side-by-side ! video/x-raw,width=128",
            Ok(3),
        ),
        ("flowvidfilter engine=identity compare=side-by-side ! video/x-raw,width=200,height=50", Ok(3)),
        ("flowvidfilter engine=identity compare=side-by-side ! x264enc speed-preset=ultrafast", Ok(3)),
        ("flowvidfilter engine=identity compare=wipe ! video/x-raw,width=128", Ok(3)),
    ] {
        assert_eq!(run(&format!("videotestsrc num-buffers=3 ! {line} ! {sink}")), frames, "{line}");
    }
    let impossible = "videotestsrc num-buffers=3 ! flowvidfilter engine=identity compare=side-by-side ! video/x-raw,width=30";
    assert!(run(&format!("{impossible} ! {sink}")).is_err(), "no width becomes 30");
}

#[test]
fn another_size_in_mid_stream_is_shown_at_its_own_width() {
    let element = negative("side-by-side");
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..2);
    let larger = info(VideoFormat::I420, 32, 16, (25, 1));
    harness.push_event(gst::event::Caps::new(&larger.to_caps().unwrap()));
    harness.push(timed(&larger, 2)).unwrap();
    harness.push_event(gst::event::Eos::new());
    let sizes: Vec<_> = pull_all(&mut harness).iter().map(|buffer| buffer.size()).collect();
    assert_eq!(sizes, [small().size() * 2, small().size() * 2, larger.size() * 2]);
    let caps = element.static_pad("src").unwrap().current_caps().unwrap();
    assert_eq!(caps.structure(0).unwrap().get::<i32>("width"), Ok(64));
}

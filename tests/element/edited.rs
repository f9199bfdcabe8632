//! An edited picture leaves in the frame's format, on the frame's own carrier.

use gst::prelude::*;
use gst_video::{VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo};
use gstflowvid::engine::IdentityScript;

use crate::rig::*;

/// An element whose engine gives every frame back as a picture that shows the same.
fn editing() -> FlowVidFilter {
    let element = filter(2, 3);
    element.set_identity_script(IdentityScript { returns_pictures: true, ..Default::default() });
    element
}

/// A frame of greys that differ from pixel to pixel; grey is what RGB gives back exactly.
fn grey(info: &VideoInfo, index: usize) -> gst::Buffer {
    let mut buffer = timed(info, index);
    let neutral = if info.is_gray() { 0 } else { 128 };
    let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer.get_mut().unwrap(), info).unwrap();
    for plane in 0..info.n_planes() {
        let bytes = frame.plane_data_mut(plane).unwrap();
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = if plane == 0 { 16 + ((at + index * 3) % 220) as u8 } else { neutral };
        }
    }
    drop(frame);
    buffer
}

/// The visible bytes of a frame, plane by plane and row by row.
fn rows(buffer: &gst::BufferRef, info: &VideoInfo) -> Vec<Vec<u8>> {
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
    let format = info.format_info();
    (0..info.n_planes())
        .flat_map(|plane| {
            let component = format.plane().iter().position(|&of| of == plane).unwrap() as u8;
            let width = (info.comp_width(component) as i32 * info.comp_pstride(component)) as usize;
            let stride = frame.plane_stride()[plane as usize] as usize;
            let height = info.comp_height(component) as usize;
            let rows = frame.plane_data(plane).unwrap().chunks(stride).take(height);
            rows.map(|row| row[..width].to_vec()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn pictures_become_frames_again() {
    use VideoFormat::*;
    for format in [I420, Yv12, Nv12, Nv21, Y42b, Y444, Gray8] {
        for (width, height) in [(64, 32), (33, 17), (1, 1), (4, 1), (3, 2), (2, 3), (1, 4), (3, 5), (3, 6)] {
            let info = info(format, width, height, (25, 1));
            let mut harness = playing(&editing(), &info);
            for index in 0..5 {
                let mut buffer = grey(&info, index);
                buffer.get_mut().unwrap().set_flags(gst::BufferFlags::MARKER);
                buffer.get_mut().unwrap().set_offset(index as u64 + 7);
                harness.push(buffer).unwrap();
            }
            harness.push_event(gst::event::Eos::new());
            let out = pull_all(&mut harness);
            assert_eq!(out.len(), 5);
            for (index, buffer) in out.iter().enumerate() {
                let name = format!("{format:?} {width}x{height} frame {index}");
                assert_eq!(rows(buffer, &info), rows(&grey(&info, index), &info), "{name}");
                assert_eq!(buffer.pts(), timed(&info, index).pts(), "{name}");
                assert_eq!(buffer.offset(), index as u64 + 7, "{name}");
                assert!(buffer.flags().contains(gst::BufferFlags::MARKER), "{name}");
            }
        }
    }
}

#[test]
fn ten_bits_go_out_as_ten_bits_of_another_layout() {
    let element = editing();
    let info = info(VideoFormat::P01010le, 32, 16, (25, 1));
    let mut harness = harness(&element);
    harness.set_sink_caps_str("video/x-raw,format={I420,I420_10LE}");
    harness.set_src_caps(info.to_caps().unwrap());
    harness.play();
    let mut buffer = timed(&info, 0);
    let luma = |at: usize| 64 + (at * 5 % 877) as u16;
    {
        let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer.get_mut().unwrap(), &info).unwrap();
        let write = |bytes: &mut [u8], code: &dyn Fn(usize) -> u16| {
            let samples = bytes.chunks_exact_mut(2).enumerate();
            samples.for_each(|(at, sample)| sample.copy_from_slice(&(code(at) << 6).to_le_bytes()));
        };
        write(frame.plane_data_mut(0).unwrap(), &luma);
        write(frame.plane_data_mut(1).unwrap(), &|_| 512);
    }
    harness.push(buffer).unwrap();
    harness.push_event(gst::event::Eos::new());
    let out = pull_all(&mut harness).remove(0);
    let caps = element.static_pad("src").unwrap().current_caps().unwrap();
    let info = VideoInfo::from_caps(&caps).unwrap();
    assert_eq!(info.format(), VideoFormat::I42010le);
    let frame = VideoFrameRef::from_buffer_ref_readable(&out, &info).unwrap();
    let codes = |plane: u32| -> Vec<u16> {
        let samples = frame.plane_data(plane).unwrap().chunks_exact(2);
        samples.map(|sample| u16::from_le_bytes([sample[0], sample[1]])).collect()
    };
    assert_eq!(codes(0), (0..32 * 16).map(luma).collect::<Vec<_>>());
    assert!(codes(1).iter().chain(&codes(2)).all(|&code| code == 512));
}

#[test]
fn the_engine_s_warnings_reach_the_bus() {
    let element = filter(2, 3);
    let warnings = vec!["the prompt was not understood".into()];
    element.set_identity_script(IdentityScript { warnings, ..Default::default() });
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..1);
    harness.push_event(gst::event::Eos::new());
    assert_eq!(first(&bus, gst::MessageType::Warning), "the prompt was not understood");
    assert_eq!(pull_all(&mut harness).len(), 1);
}

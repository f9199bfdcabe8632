//! The way through pictures and back, by itself: every format, three matrices, both ranges.

use gst_video::VideoFormat;

use super::{side::Side, *};
use crate::{
    element::caps::FORMATS,
    engine::{Picture, Samples},
};

mod photographs;

/// 601, 709 and 2020, limited and full.
const YUV_COLORS: [&str; 6] = ["bt601", "bt709", "bt2020", "1:4:16:4", "1:3:5:1", "1:6:11:7"];
/// sRGB, and RGB in studio range.
const RGB_COLORS: [&str; 2] = ["sRGB", "2:1:5:1"];

fn info(format: VideoFormat, colors: &str) -> VideoInfo {
    VideoInfo::builder(format, 321, 241).colorimetry(&colors.parse().unwrap()).build().unwrap()
}

/// All formats with all colorimetries that they can have.
fn infos() -> Vec<VideoInfo> {
    gst::init().unwrap();
    let of = |format: VideoFormat| {
        let is_rgb = gst_video::VideoFormatInfo::from_format(format).is_rgb();
        let colors: &[&str] = if is_rgb { &RGB_COLORS } else { &YUV_COLORS };
        colors.iter().map(move |colors| info(format, colors))
    };
    FORMATS.into_iter().flat_map(of).collect()
}

/// A picture whose pixel at (x, y) is `rgb`, each 0..1, in the depth that `info` asks for.
fn painted(info: &VideoInfo, rgb: impl Fn(f32, f32) -> [f32; 3]) -> Picture {
    let (width, height) = (info.width() as usize, info.height() as usize);
    let at =
        |index: usize| rgb((index % width) as f32 / width as f32, (index / width) as f32 / height as f32);
    let values = (0..width * height).flat_map(at);
    let samples = if info.comp_depth(0) > 8 {
        Samples::U16(values.map(|value| (value * 65535.0 + 0.5) as u16).collect())
    } else {
        Samples::U8(values.map(|value| (value * 255.0 + 0.5) as u8).collect())
    };
    Picture { width, height, samples }
}

/// Every grey value of the format, one after the other.
fn grey(info: &VideoInfo) -> Picture {
    let steps = f32::from(if info.comp_depth(0) > 8 { u16::MAX } else { 255 });
    painted(info, |x, y| [((x * 321.0 + y * 241.0 * 191.0) % (steps + 1.0)) / steps; 3])
}

/// Smooth and saturated, inside the gamut.
fn colorful(info: &VideoInfo) -> Picture {
    painted(info, |x, y| {
        let wave = |phase: f32| 0.5 + 0.4 * (std::f32::consts::TAU * (x + 0.7 * y) + phase).sin();
        [wave(0.0), wave(2.1), wave(4.2)]
    })
}

/// The native frame that shows `picture` and has nothing of another frame.
fn native(picture: &Picture, info: &VideoInfo) -> gst::Buffer {
    let blank = vec![0; info.size()];
    gst::Buffer::from_mut_slice(Converter::new(info, info).unwrap().render(&blank, Some(picture), 0.0))
}

/// All code values, component by component, at the component's own size.
fn codes(frame: &gst::BufferRef, info: &VideoInfo) -> Vec<Vec<i32>> {
    let map = frame.map_readable().unwrap();
    let of = |component: &samples::Component| {
        let mut row = vec![0.0; component.width];
        let rows = (0..component.height).flat_map(|y| {
            component.read(&map, y, &mut row);
            row.iter().map(|&code| code as i32).collect::<Vec<_>>()
        });
        rows.collect()
    };
    Side::new(info).components.iter().map(of).collect()
}

/// Worst difference and PSNR, over all components, of a frame and what becomes of it.
fn loss(before: &gst::BufferRef, after: &gst::BufferRef, info: &VideoInfo) -> (i32, f64) {
    let differences: Vec<i32> = codes(before, info)
        .iter()
        .zip(codes(after, info))
        .flat_map(|(before, after)| {
            before.iter().zip(after).map(|(before, after)| after - before).collect::<Vec<_>>()
        })
        .collect();
    let worst = differences.iter().map(|difference| difference.abs()).max().unwrap();
    let squares: f64 = differences.iter().map(|&difference| f64::from(difference).powi(2)).sum();
    let peak = f64::from((1u32 << info.comp_depth(0)) - 1);
    (worst, 10.0 * (peak * peak / (squares / differences.len() as f64).max(1e-9)).log10())
}

/// The frame made anew of its picture alone, as where everything was edited.
fn there_and_back(frame: &gst::BufferRef, info: &VideoInfo) -> gst::Buffer {
    native(&Converter::new(info, info).unwrap().picture(frame).unwrap(), info)
}

/// Every code value of every sample, beyond black, white and the gamut too.
fn any_codes(info: &VideoInfo) -> gst::Buffer {
    let mut frame = vec![0; info.size()];
    for (index, component) in Side::new(info).components.iter().enumerate() {
        for y in 0..component.height {
            let at = |x: usize| ((x * 37 + y * (101 + index) + x * y) % (component.most as usize + 1)) as f32;
            component.write(&mut frame, y, &(0..component.width).map(at).collect::<Vec<_>>());
        }
    }
    gst::Buffer::from_mut_slice(frame)
}

#[test]
fn what_the_edit_left_alone_keeps_every_code_value() {
    for info in infos() {
        let frame = any_codes(&info);
        let mut converter = Converter::new(&info, &info).unwrap();
        let picture = converter.picture(&frame).unwrap();
        let out = converter.edited(&picture, &frame).unwrap();
        assert!(out.map_readable().unwrap()[..] == frame.map_readable().unwrap()[..], "{info:?}");
    }
}

#[test]
fn grey_comes_back_exactly() {
    for info in infos() {
        let frame = native(&grey(&info), &info);
        assert_eq!(loss(&frame, &there_and_back(&frame, &info), &info).0, 0, "{info:?}");
    }
}

#[test]
fn grey_has_no_tint() {
    for info in infos() {
        let frame = native(&grey(&info), &info);
        let picture = Converter::new(&info, &info).unwrap().picture(&frame).unwrap();
        match picture.samples {
            Samples::U8(rgb) => assert_eq!(rgb.chunks(3).map(spread).max(), Some(0), "{info:?}"),
            // The steps of ten bits are 64 apart.
            Samples::U16(rgb) => assert!(rgb.chunks(3).map(spread).max() <= Some(4), "{info:?}"),
        }
    }
}

fn spread<S: Copy + Ord + std::ops::Sub<Output = S>>(pixel: &[S]) -> S {
    *pixel.iter().max().unwrap() - *pixel.iter().min().unwrap()
}

/// Measured when this was written (worst code value, PSNR): without subsampled chroma nothing is lost;
/// 4:2:0 1, 73.3 dB; 4:2:2 1, 75.2 dB; the same in ten bits 4, 77.1 dB and 3, 78.7 dB; twelve bits 15, 76.6 dB.
#[test]
fn colors_come_back() {
    for info in infos() {
        let frame = native(&colorful(&info), &info);
        let (worst, psnr) = loss(&frame, &there_and_back(&frame, &info), &info);
        let format = info.format_info();
        let subsampled = format.w_sub().iter().any(|&shift| shift > 0);
        let (most, least) = match info.comp_depth(0) {
            _ if !subsampled => (0, 100.0),
            8 => (1, 73.0),
            10 => (4, 77.0),
            _ => (15, 76.5),
        };
        assert!(worst <= most && psnr >= least, "{info:?}: worst {worst}, {psnr:.1} dB");
    }
}

#[test]
fn ten_bits_stay_ten_bits() {
    gst::init().unwrap();
    for format in [VideoFormat::I42010le, VideoFormat::P01010le, VideoFormat::V210] {
        let info = info(format, "bt709");
        let frame = native(&grey(&info), &info);
        let luma = &codes(&there_and_back(&frame, &info), &info)[0];
        let low_bits: std::collections::BTreeSet<i32> = luma.iter().map(|code| code & 3).collect();
        assert_eq!(low_bits.len(), 4, "{format:?}");
    }
}

#[test]
fn an_edit_leaves_alpha_alone() {
    gst::init().unwrap();
    for format in FORMATS {
        let info = VideoInfo::builder(format, 33, 21).build().unwrap();
        if !info.has_alpha() {
            continue;
        }
        let bytes: Vec<u8> = (0..info.size()).map(|at| (at * 13 % 251) as u8).collect();
        let frame = gst::Buffer::from_mut_slice(bytes);
        let edited = Converter::new(&info, &info).unwrap().edited(&colorful(&info), &frame).unwrap();
        let alpha = |buffer: &gst::BufferRef| {
            let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
            let bytes = (info.comp_depth(3) / 8) as usize;
            let samples = frame.comp_data(3).unwrap().chunks(4 * bytes).map(|pixel| pixel[..bytes].to_vec());
            samples.collect::<Vec<_>>()
        };
        assert_eq!(alpha(&edited), alpha(&frame), "{format:?}");
        assert_ne!(edited.map_readable().unwrap()[..], frame.map_readable().unwrap()[..], "{format:?}");
    }
}

#[test]
fn another_layout_keeps_every_code_value() {
    gst::init().unwrap();
    for (from, to) in [
        (VideoFormat::P01010le, VideoFormat::I42010le),
        (VideoFormat::Nv12, VideoFormat::I420),
        (VideoFormat::Uyvy, VideoFormat::Y42b),
        (VideoFormat::Rgb, VideoFormat::Bgra),
    ] {
        let colors = if from == VideoFormat::Rgb { "sRGB" } else { "bt709" };
        let (from, to) = (info(from, colors), info(to, colors));
        let frame = native(&colorful(&from), &from);
        let there = Converter::new(&from, &to).unwrap().unchanged(frame.clone()).unwrap();
        let back = Converter::new(&to, &from).unwrap().unchanged(there).unwrap();
        assert_eq!(loss(&frame, &back, &from).0, 0, "{} to {}", from.format(), to.format());
    }
}

#[test]
fn a_picture_of_another_size_is_refused() {
    gst::init().unwrap();
    let (small, large) =
        (info(VideoFormat::I420, "bt601"), VideoInfo::builder(VideoFormat::I420, 640, 480).build().unwrap());
    let error = Converter::new(&small, &small).unwrap().edited(&grey(&large), &blank(&small)).unwrap_err();
    assert!(error.to_string().contains("640x480"), "{error}");
}

//! The way there and back on photographs, beside GStreamer's own converter on the very same frames.
//!
//! Each photograph is brought to half its size or less, so that its samples have more than eight bits; GStreamer's
//! converter makes each format's frame of it. Both ways then go to RGB (of 8 bits, of 16 for deep formats) and back, and
//! all samples of all components are counted, chroma as often as the format has it. As a table, with more pictures:
//!
//! ```sh
//! FLOWVID_PHOTOGRAPHS=FOLDER cargo test --lib photographs -- --nocapture
//! ```

use std::path::{Path, PathBuf};

use gst_video::{VideoConverter, VideoConverterConfig, VideoFrame};

use super::*;

/// Wider pictures are brought below this.
const WIDEST: u32 = 640;

struct Photograph {
    width: u32,
    height: u32,
    /// RGB of 16 bits.
    samples: Vec<u16>,
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photographs")
}

fn photographs(folder: &Path) -> Vec<Photograph> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let is_picture = |file: &PathBuf| {
        file.extension().is_some_and(|name| ["jpg", "png", "webp"].map(Some).contains(&name.to_str()))
    };
    let photographs: Vec<_> = files.filter(is_picture).map(|file| photograph(&file)).collect();
    assert!(!photographs.is_empty(), "no picture in {}", folder.display());
    photographs
}

fn photograph(file: &Path) -> Photograph {
    let whole = image::open(file).unwrap().to_rgb16();
    let shrink = whole.width().div_ceil(WIDEST).max(2);
    let size = |side: u32| side / shrink / 2 * 2;
    let (width, height) = (size(whole.width()), size(whole.height()));
    let small = image::imageops::resize(&whole, width, height, image::imageops::FilterType::Triangle);
    Photograph { width, height, samples: small.into_raw() }
}

/// `frame` by GStreamer's converter, at its most exact.
fn converted(frame: &gst::Buffer, from: &VideoInfo, to: &VideoInfo) -> gst::Buffer {
    let mut config = VideoConverterConfig::new();
    config.set_dither_method(gst_video::VideoDitherMethod::None);
    config.set_matrix_mode(gst_video::VideoMatrixMode::Full);
    config.set_chroma_mode(gst_video::VideoChromaMode::Full);
    let converter = VideoConverter::new(from, to, Some(config)).unwrap();
    let source = VideoFrame::from_buffer_readable(frame.clone(), from).unwrap();
    let target = gst::Buffer::from_mut_slice(vec![0u8; to.size()]);
    let mut target = VideoFrame::from_buffer_writable(target, to).unwrap();
    converter.frame(&source, &mut target);
    target.into_buffer()
}

fn rgb(format: VideoFormat, like: &VideoInfo) -> VideoInfo {
    let colors = "sRGB".parse().unwrap();
    VideoInfo::builder(format, like.width(), like.height()).colorimetry(&colors).build().unwrap()
}

/// The photograph as a frame of `info`.
fn frame_of(photograph: &Photograph, info: &VideoInfo) -> gst::Buffer {
    let wide = rgb(VideoFormat::Argb64, info);
    let pixels = photograph.samples.chunks(3).flat_map(|rgb| [u16::MAX, rgb[0], rgb[1], rgb[2]]);
    let bytes: Vec<u8> = pixels.flat_map(u16::to_ne_bytes).collect();
    converted(&gst::Buffer::from_mut_slice(bytes), &wide, info)
}

/// Greatest difference and least PSNR of a format, over all colorimetries and photographs.
#[derive(Clone, Copy)]
struct Worst {
    code: i32,
    psnr: f64,
}

impl Worst {
    const NONE: Self = Self { code: 0, psnr: f64::INFINITY };

    fn add(&mut self, (code, psnr): (i32, f64)) {
        (self.code, self.psnr) = (self.code.max(code), self.psnr.min(psnr));
    }
}

/// What our way and GStreamer's lose in `format`.
fn worst(format: VideoFormat, photographs: &[Photograph]) -> (Worst, Worst) {
    let (mut ours, mut theirs) = (Worst::NONE, Worst::NONE);
    let is_rgb = gst_video::VideoFormatInfo::from_format(format).is_rgb();
    // GStreamer 1.22's converter knows no studio range of RGB, so it cannot make such a frame.
    for colors in if is_rgb { &["sRGB"][..] } else { &YUV_COLORS } {
        for photograph in photographs {
            let info = VideoInfo::builder(format, photograph.width, photograph.height)
                .colorimetry(&colors.parse().unwrap())
                .build()
                .unwrap();
            let frame = frame_of(photograph, &info);
            ours.add(loss(&frame, &there_and_back(&frame, &info), &info));
            let deep = info.comp_depth(0) > 8;
            let middle = rgb(if deep { VideoFormat::Argb64 } else { VideoFormat::Rgb }, &info);
            let back = converted(&converted(&frame, &info, &middle), &middle, &info);
            theirs.add(loss(&frame, &back, &info));
        }
    }
    (ours, theirs)
}

/// Worst code value and PSNR that a format may lose where everything was edited. Eight bits of RGB between cost one code
/// value; what more is lost is the sharpness of subsampled chroma, which is spread over the pixels and gathered.
fn bound(format: VideoFormat) -> Worst {
    let format = gst_video::VideoFormatInfo::from_format(format);
    let subsampled = format.w_sub().iter().any(|&shift| shift > 0);
    let (code, psnr) = match format.depth()[0] {
        _ if format.is_rgb() || format.is_gray() => (0, 130.0),
        8 if !subsampled => (1, 71.0),
        _ if !subsampled => (2, 90.0),
        8 => (8, 52.5),
        10 => (34, 53.0),
        _ => (134, 53.0),
    };
    Worst { code, psnr }
}

#[test]
fn photographs_come_back() {
    gst::init().unwrap();
    let committed = photographs(&committed());
    for format in FORMATS {
        let ((ours, theirs), bound) = (worst(format, &committed), bound(format));
        let found = format!("{format:?}: worst {}, {:.1} dB", ours.code, ours.psnr);
        assert!(ours.code <= bound.code && ours.psnr >= bound.psnr, "{found}");
        assert!(ours.psnr >= theirs.psnr, "{found}, GStreamer's converter {:.1} dB", theirs.psnr);
    }
    if let Some(folder) = std::env::var_os("FLOWVID_PHOTOGRAPHS") {
        print_table(&photographs(Path::new(&folder)));
    }
}

fn print_table(photographs: &[Photograph]) {
    println!("{} pictures", photographs.len());
    println!(
        "| format | worst code value | PSNR | GStreamer's worst | GStreamer's PSNR |\n|---|---|---|---|---|"
    );
    for format in FORMATS {
        let (ours, theirs) = worst(format, photographs);
        let name = format.to_str();
        println!("| {name} | {} | {:.1} | {} | {:.1} |", ours.code, ours.psnr, theirs.code, theirs.psnr);
    }
}

//! Between GStreamer's frames and the engine's pictures.
//!
//! A frame lives in one buffer of ours from [`take`] on: the native planes, and the carrier of all that
//! is not picture (timestamps, flags, metas). A frame that nothing changed leaves as this very buffer.
//! Eight-bit formats become pictures of eight bits, deeper ones of sixteen, so no bit is lost on the way.

use glib::BoolError;
use gst::BufferCopyFlags;
use gst_video::prelude::*;
use gst_video::{VideoConverter, VideoConverterConfig, VideoFormat, VideoFrameRef, VideoInfo};

use crate::engine::{Picture, Samples};

/// Copies a frame of upstream's into a buffer of ours; upstream's own, which may come from a small pool,
/// is not held.
///
/// # Errors
/// If `buffer` is no frame of the format `info`.
pub fn take(buffer: &gst::BufferRef, info: &VideoInfo) -> Result<gst::Buffer, BoolError> {
    let source = VideoFrameRef::from_buffer_ref_readable(buffer, info)?;
    let mut copy = if same_layout(&source, info) {
        let map = buffer.map_readable()?;
        gst::Buffer::from_mut_slice(map[..info.size()].to_vec())
    } else {
        let mut copy = blank(info);
        let mut target = VideoFrameRef::from_buffer_ref_writable(writable(&mut copy)?, info)?;
        source.copy(&mut target)?;
        drop(target);
        copy
    };
    carry(buffer, writable(&mut copy)?)?;
    Ok(copy)
}

/// Whether the planes lie as in a buffer of our own, padding included.
fn same_layout(frame: &VideoFrameRef<&gst::BufferRef>, info: &VideoInfo) -> bool {
    let buffer = frame.buffer();
    frame.plane_stride() == info.stride()
        && frame.plane_offset() == info.offset()
        && buffer.n_memory() == 1
        && buffer.size() >= info.size()
}

/// A zeroed buffer: the padding at the end of rows must not show what lay in memory before.
fn blank(info: &VideoInfo) -> gst::Buffer {
    gst::Buffer::from_mut_slice(vec![0u8; info.size()])
}

fn writable(buffer: &mut gst::Buffer) -> Result<&mut gst::BufferRef, BoolError> {
    buffer.get_mut().ok_or_else(|| glib::bool_error!("the frame's buffer is shared"))
}

/// Copies what is not picture: timestamps, offsets, flags, and the metas that do not describe memory.
fn carry(from: &gst::BufferRef, to: &mut gst::BufferRef) -> Result<(), BoolError> {
    from.copy_into(to, BufferCopyFlags::FLAGS | BufferCopyFlags::TIMESTAMPS | BufferCopyFlags::META, ..)?;
    // A parent meta would hold upstream's buffer; crop and layout metas describe upstream's planes.
    let foreign = [
        gst::meta::ParentBufferMeta::meta_api(),
        gst_video::VideoCropMeta::meta_api(),
        gst_video::VideoMeta::meta_api(),
    ];
    to.foreach_meta_mut(|meta| {
        let action = if foreign.contains(&meta.api()) {
            gst::buffer::BufferMetaForeachAction::Remove
        } else {
            gst::buffer::BufferMetaForeachAction::Keep
        };
        std::ops::ControlFlow::Continue(action)
    });
    Ok(())
}

/// The RGB layout that stands between a native format and a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Rgb,
    /// Where the alpha plane must come along.
    Argb,
    /// Where there are more than eight bits; 16-bit samples in the machine's own byte order.
    Argb64,
}

impl Between {
    fn of(info: &VideoInfo) -> Self {
        match info.format_info() {
            format if format.depth().iter().any(|&depth| depth > 8) => Self::Argb64,
            format if format.has_alpha() => Self::Argb,
            _ => Self::Rgb,
        }
    }

    fn format(self) -> VideoFormat {
        match self {
            Self::Rgb => VideoFormat::Rgb,
            Self::Argb => VideoFormat::Argb,
            Self::Argb64 => VideoFormat::Argb64,
        }
    }

    /// Samples of one pixel, and where red is among them.
    fn pixel(self) -> (usize, usize) {
        match self {
            Self::Rgb => (3, 0),
            Self::Argb | Self::Argb64 => (4, 1),
        }
    }
}

/// Converts the frames of one stream, from the input's format and to the output's.
pub struct Converter {
    input: VideoInfo,
    output: VideoInfo,
    layout: Between,
    between: VideoInfo,
    scratch: gst::Buffer,
    to_rgb: VideoConverter,
    from_rgb: VideoConverter,
    /// None where the formats are the same.
    direct: Option<VideoConverter>,
}

impl Converter {
    /// For a stream that comes as `input` and goes as `output`; size and frame rate are the same.
    ///
    /// # Errors
    /// If GStreamer's converter lacks one of the formats.
    pub fn new(input: &VideoInfo, output: &VideoInfo) -> Result<Self, BoolError> {
        let layout = Between::of(input);
        let between = VideoInfo::builder(layout.format(), input.width(), input.height())
            .fps(input.fps())
            .par(input.par())
            .interlace_mode(input.interlace_mode())
            .build()?;
        let convert = |from: &VideoInfo, to: &VideoInfo| VideoConverter::new(from, to, Some(config()));
        let direct = if input == output { None } else { Some(convert(input, output)?) };
        Ok(Self {
            scratch: blank(&between),
            to_rgb: convert(input, &between)?,
            from_rgb: convert(&between, output)?,
            direct,
            input: input.clone(),
            output: output.clone(),
            layout,
            between,
        })
    }

    /// What the frame shows.
    ///
    /// # Errors
    /// If `frame` is not in the input's format.
    pub fn picture(&mut self, frame: &gst::BufferRef) -> Result<Picture, BoolError> {
        self.fill_scratch(frame)?;
        let scratch = VideoFrameRef::from_buffer_ref_readable(&self.scratch, &self.between)?;
        let (width, height) = (self.input.width() as usize, self.input.height() as usize);
        let stride = scratch.plane_stride()[0] as usize;
        let rows = scratch.plane_data(0)?.chunks(stride).take(height);
        let samples = match self.layout {
            Between::Argb64 => Samples::U16(read_wide(rows, width)),
            layout => Samples::U8(read_bytes(rows, width, layout)),
        };
        Ok(Picture { width, height, samples })
    }

    /// The frame that leaves in place of `frame`: `picture` in the output's format, with the alpha plane
    /// and the carrier of `frame`.
    ///
    /// # Errors
    /// If `picture` has another size.
    pub fn edited(&mut self, picture: &Picture, frame: &gst::BufferRef) -> Result<gst::Buffer, BoolError> {
        let (width, height) = (self.input.width() as usize, self.input.height() as usize);
        if (picture.width, picture.height) != (width, height) {
            let (w, h) = (picture.width, picture.height);
            return Err(glib::bool_error!("the engine gave {w}x{h} for a frame of {width}x{height}"));
        }
        if self.input.has_alpha() {
            self.fill_scratch(frame)?;
        }
        self.write_scratch(picture)?;
        let mut out = blank(&self.output);
        convert(&self.from_rgb, (&self.scratch, &self.between), (writable(&mut out)?, &self.output))?;
        carry(frame, writable(&mut out)?)?;
        Ok(out)
    }

    /// The frame that nothing changed: itself, or in the output's format where that is another.
    ///
    /// # Errors
    /// If `frame` is not in the input's format.
    pub fn unchanged(&self, frame: gst::Buffer) -> Result<gst::Buffer, BoolError> {
        let Some(direct) = &self.direct else { return Ok(frame) };
        let mut out = blank(&self.output);
        convert(direct, (&frame, &self.input), (writable(&mut out)?, &self.output))?;
        carry(&frame, writable(&mut out)?)?;
        Ok(out)
    }

    fn fill_scratch(&mut self, frame: &gst::BufferRef) -> Result<(), BoolError> {
        convert(&self.to_rgb, (frame, &self.input), (writable(&mut self.scratch)?, &self.between))
    }

    /// Writes red, green and blue and leaves alpha as it is.
    fn write_scratch(&mut self, picture: &Picture) -> Result<(), BoolError> {
        let mut scratch =
            VideoFrameRef::from_buffer_ref_writable(writable(&mut self.scratch)?, &self.between)?;
        let stride = scratch.plane_stride()[0] as usize;
        let rows = scratch.plane_data_mut(0)?.chunks_mut(stride).take(picture.height);
        let length = picture.width * 3;
        match (&picture.samples, self.layout) {
            (Samples::U8(samples), Between::Argb64) => {
                write_wide(rows, samples.chunks(length), |sample| u16::from(sample) * 257);
            }
            (Samples::U16(samples), Between::Argb64) => write_wide(rows, samples.chunks(length), |s| s),
            (Samples::U8(samples), layout) => write_bytes(rows, samples.chunks(length), layout, |s| s),
            (Samples::U16(samples), layout) => {
                write_bytes(rows, samples.chunks(length), layout, |sample| (sample >> 8) as u8);
            }
        }
        Ok(())
    }
}

/// Exact where it can be: no dither, all chroma samples used; transfer and primaries stay the stream's.
fn config() -> VideoConverterConfig {
    let mut config = VideoConverterConfig::new();
    config.set_dither_method(gst_video::VideoDitherMethod::None);
    config.set_chroma_mode(gst_video::VideoChromaMode::Full);
    config.set_chroma_resampler_method(gst_video::VideoResamplerMethod::Linear);
    config.set_matrix_mode(gst_video::VideoMatrixMode::Full);
    config.set_gamma_mode(gst_video::VideoGammaMode::None);
    config.set_primaries_mode(gst_video::VideoPrimariesMode::None);
    config
}

fn convert(
    converter: &VideoConverter,
    (from, from_info): (&gst::BufferRef, &VideoInfo),
    (to, to_info): (&mut gst::BufferRef, &VideoInfo),
) -> Result<(), BoolError> {
    let from = VideoFrameRef::from_buffer_ref_readable(from, from_info)?;
    let mut to = VideoFrameRef::from_buffer_ref_writable(to, to_info)?;
    converter.frame_ref(&from, &mut to);
    Ok(())
}

fn read_bytes<'a>(rows: impl Iterator<Item = &'a [u8]>, width: usize, layout: Between) -> Vec<u8> {
    let (pixel, red) = layout.pixel();
    rows.flat_map(|row| {
        row[..width * pixel].chunks_exact(pixel).flat_map(|p| [p[red], p[red + 1], p[red + 2]])
    })
    .collect()
}

fn read_wide<'a>(rows: impl Iterator<Item = &'a [u8]>, width: usize) -> Vec<u16> {
    let sample = |pixel: &[u8], index: usize| u16::from_ne_bytes([pixel[2 * index], pixel[2 * index + 1]]);
    rows.flat_map(|row| {
        row[..width * 8].chunks_exact(8).flat_map(|p| [sample(p, 1), sample(p, 2), sample(p, 3)])
    })
    .collect()
}

fn write_bytes<'a, 'b, S: Copy + 'b>(
    rows: impl Iterator<Item = &'a mut [u8]>,
    samples: impl Iterator<Item = &'b [S]>,
    layout: Between,
    narrow: impl Fn(S) -> u8,
) {
    let (pixel, red) = layout.pixel();
    for (row, samples) in rows.zip(samples) {
        for (to, from) in row.chunks_exact_mut(pixel).zip(samples.chunks_exact(3)) {
            to[red..red + 3].copy_from_slice(&[narrow(from[0]), narrow(from[1]), narrow(from[2])]);
        }
    }
}

fn write_wide<'a, 'b, S: Copy + 'b>(
    rows: impl Iterator<Item = &'a mut [u8]>,
    samples: impl Iterator<Item = &'b [S]>,
    widen: impl Fn(S) -> u16,
) {
    for (row, samples) in rows.zip(samples) {
        for (to, from) in row.chunks_exact_mut(8).zip(samples.chunks_exact(3)) {
            for (index, &sample) in from.iter().enumerate() {
                to[2 + 2 * index..4 + 2 * index].copy_from_slice(&widen(sample).to_ne_bytes());
            }
        }
    }
}

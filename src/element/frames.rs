//! Between GStreamer's frames and the engine's pictures.
//!
//! A frame lives in one buffer of ours from [`take`] on: the native planes, and the carrier of all that
//! is not picture (timestamps, flags, metas). A frame that nothing changed leaves as this very buffer.
//! Eight-bit formats become pictures of eight bits, deeper ones of sixteen, so no bit is lost on the way.

use glib::BoolError;
use gst::BufferCopyFlags;
use gst_video::prelude::*;
use gst_video::{VideoConverter, VideoConverterConfig, VideoFormat, VideoFrameRef, VideoInfo};

use self::color::Levels;
use crate::engine::{Picture, Samples};

mod color;

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
        if halves_a_pair(info) {
            copy_pairs(&source, &mut target)?;
        }
        drop(target);
        copy
    };
    carry(buffer, writable(&mut copy)?)?;
    Ok(copy)
}

/// Packed 4:2:2 keeps two pixels in four bytes; of an odd width, half of a row's last four is no pixel.
fn halves_a_pair(info: &VideoInfo) -> bool {
    matches!(info.format(), VideoFormat::Yuy2 | VideoFormat::Uyvy) && info.width() % 2 == 1
}

/// GStreamer 1.22's copy takes two bytes a pixel, so it leaves out the chroma of the last half pair.
fn copy_pairs(
    from: &VideoFrameRef<&gst::BufferRef>,
    to: &mut VideoFrameRef<&mut gst::BufferRef>,
) -> Result<(), BoolError> {
    let row = 2 * from.width().next_multiple_of(2) as usize;
    let (stride, stride_to) = (from.plane_stride()[0] as usize, to.plane_stride()[0] as usize);
    let rows = from.plane_data(0)?.chunks(stride);
    for (from, to) in rows.zip(to.plane_data_mut(0)?.chunks_mut(stride_to)) {
        // Whoever ends the last row of a frame after its last pixel has no such chroma to give.
        let row = row.min(from.len());
        to[..row].copy_from_slice(&from[..row]);
    }
    Ok(())
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

/// One side of the conversion: a native format, and the same picture with four samples a pixel (alpha
/// first, then RGB or YUV as the format has it), which GStreamer's converter reaches without a matrix.
struct Side {
    native: VideoInfo,
    packed: VideoInfo,
    levels: Levels,
    depth: u32,
    /// Packed samples have sixteen bits.
    wide: bool,
}

impl Side {
    fn new(native: &VideoInfo) -> Result<Self, BoolError> {
        let depth = native.comp_depth(0);
        // GStreamer 1.22 writes past the end of an AYUV frame when it unpacks UYVY of an odd width.
        let wide = depth > 8 || (native.format() == VideoFormat::Uyvy && native.width() % 2 == 1);
        let format = match (native.format_info().is_rgb(), wide) {
            (true, false) => VideoFormat::Argb,
            (true, true) => VideoFormat::Argb64,
            (false, false) => VideoFormat::Ayuv,
            (false, true) => VideoFormat::Ayuv64,
        };
        let packed = VideoInfo::builder(format, native.width(), native.height())
            .fps(native.fps())
            .par(native.par())
            .interlace_mode(native.interlace_mode())
            .colorimetry(&native.colorimetry())
            .build()?;
        Ok(Self { native: native.clone(), packed, levels: Levels::of(native), depth, wide })
    }

    /// The native code value of a packed sample.
    fn code<S: Sample>(&self) -> impl Fn(S) -> f32 {
        let steps = ((1u32 << self.depth) - 1) as f32 / S::FULL.into();
        move |sample| sample.into() * steps
    }
}

/// More than GStreamer's converter holds of a frame (two lines, where chroma is subsampled vertically).
const LINES_HELD: u32 = 4;

/// Converts the frames of one stream, from the input's format and to the output's.
pub struct Converter {
    input: Side,
    output: Side,
    unpack: VideoConverter,
    pack: VideoConverter,
    /// Between formats that differ in layout only.
    relayout: Option<VideoConverter>,
    unpacked: gst::Buffer,
    packed: gst::Buffer,
}

impl Converter {
    /// For a stream that comes as `input` and goes as `output`; size and frame rate are the same.
    ///
    /// # Errors
    /// If GStreamer's converter lacks one of the formats.
    pub fn new(input: &VideoInfo, output: &VideoInfo) -> Result<Self, BoolError> {
        let convert = |from: &VideoInfo, to: &VideoInfo| VideoConverter::new(from, to, Some(config()));
        let same_colors = input.colorimetry() == output.colorimetry();
        let relayout = if same_colors { Some(convert(input, output)?) } else { None };
        let (input, output) = (Side::new(input)?, Side::new(output)?);
        Ok(Self {
            unpack: convert(&input.native, &input.packed)?,
            pack: convert(&output.packed, &output.native)?,
            relayout,
            unpacked: blank(&input.packed),
            packed: blank(&output.packed),
            input,
            output,
        })
    }

    /// What the frame shows.
    ///
    /// # Errors
    /// If `frame` is not in the input's format.
    pub fn picture(&mut self, frame: &gst::BufferRef) -> Result<Picture, BoolError> {
        self.forget_lines()?;
        self.fill_unpacked(frame)?;
        let unpacked = VideoFrameRef::from_buffer_ref_readable(&self.unpacked, &self.input.packed)?;
        let (width, height) = (self.input.native.width() as usize, self.input.native.height() as usize);
        let (codes, levels) = (unpacked.plane_data(0)?, &self.input.levels);
        let wide = |value: f32| (value * 65535.0 + 0.5) as u16;
        let narrow = |value: f32| (value * 255.0 + 0.5) as u8;
        let samples = match (self.input.wide, self.input.depth > 8) {
            (false, _) => Samples::U8(pixels(codes, self.input.code::<u8>(), levels, narrow)),
            (true, false) => Samples::U8(pixels(codes, self.input.code::<u16>(), levels, narrow)),
            (true, true) => Samples::U16(pixels(codes, self.input.code::<u16>(), levels, wide)),
        };
        Ok(Picture { width, height, samples })
    }

    /// The frame that leaves in place of `frame`: `picture` in the output's format, with the alpha plane
    /// and the carrier of `frame`.
    ///
    /// # Errors
    /// If `picture` has another size.
    pub fn edited(&mut self, picture: &Picture, frame: &gst::BufferRef) -> Result<gst::Buffer, BoolError> {
        let (width, height) = (self.input.native.width() as usize, self.input.native.height() as usize);
        if (picture.width, picture.height) != (width, height) {
            let (w, h) = (picture.width, picture.height);
            return Err(glib::bool_error!("the engine gave {w}x{h} for a frame of {width}x{height}"));
        }
        self.forget_lines()?;
        self.fill_packed(picture)?;
        if self.input.native.has_alpha() && self.output.native.has_alpha() {
            self.fill_unpacked(frame)?;
            self.copy_alpha()?;
        }
        let mut out = blank(&self.output.native);
        convert(&self.pack, (&self.packed, &self.output.packed), (writable(&mut out)?, &self.output.native))?;
        carry(frame, writable(&mut out)?)?;
        Ok(out)
    }

    /// The frame that nothing changed: itself, or in the output's format where that is another.
    ///
    /// # Errors
    /// If `frame` is not in the input's format.
    pub fn unchanged(&mut self, frame: gst::Buffer) -> Result<gst::Buffer, BoolError> {
        if self.input.native == self.output.native {
            return Ok(frame);
        }
        self.forget_lines()?;
        let Some(relayout) = &self.relayout else {
            let picture = self.picture(&frame)?;
            return self.edited(&picture, &frame);
        };
        let mut out = blank(&self.output.native);
        convert(relayout, (&frame, &self.input.native), (writable(&mut out)?, &self.output.native))?;
        carry(&frame, writable(&mut out)?)?;
        Ok(out)
    }

    /// GStreamer 1.22's converter takes the lines of a frame for those that it still holds of the frame
    /// before when the frame has no more lines than it holds: such frames get a new converter each.
    fn forget_lines(&mut self) -> Result<(), BoolError> {
        if self.input.native.height() <= LINES_HELD {
            *self = Self::new(&self.input.native, &self.output.native)?;
        }
        Ok(())
    }

    fn fill_unpacked(&mut self, frame: &gst::BufferRef) -> Result<(), BoolError> {
        let target = writable(&mut self.unpacked)?;
        convert(&self.unpack, (frame, &self.input.native), (target, &self.input.packed))
    }

    /// Writes the code values of `picture` and full alpha.
    fn fill_packed(&mut self, picture: &Picture) -> Result<(), BoolError> {
        let (levels, depth) = (&self.output.levels, self.output.depth);
        let mut packed =
            VideoFrameRef::from_buffer_ref_writable(writable(&mut self.packed)?, &self.output.packed)?;
        let codes = packed.plane_data_mut(0)?;
        // Packing cuts the low bits off; half a step more makes that a rounding.
        let shift = (1u32 << (16 - depth)) as f32;
        let wide = |code: f32| ((code + 0.5) * shift) as u16;
        let narrow = |code: f32| (code + 0.5) as u8;
        match (&picture.samples, self.output.wide) {
            (Samples::U8(rgb), false) => write_codes(codes, rgb, 255.0, levels, narrow),
            (Samples::U8(rgb), true) => write_codes(codes, rgb, 255.0, levels, wide),
            (Samples::U16(rgb), false) => write_codes(codes, rgb, 65535.0, levels, narrow),
            (Samples::U16(rgb), true) => write_codes(codes, rgb, 65535.0, levels, wide),
        }
        Ok(())
    }

    fn copy_alpha(&mut self) -> Result<(), BoolError> {
        let unpacked = VideoFrameRef::from_buffer_ref_readable(&self.unpacked, &self.input.packed)?;
        let mut packed =
            VideoFrameRef::from_buffer_ref_writable(writable(&mut self.packed)?, &self.output.packed)?;
        let (from, to) = (unpacked.plane_data(0)?, packed.plane_data_mut(0)?);
        let (wide_from, wide_to) = (self.input.wide, self.output.wide);
        let pixel = |wide| if wide { 8 } else { 4 };
        for (from, to) in from.chunks_exact(pixel(wide_from)).zip(to.chunks_exact_mut(pixel(wide_to))) {
            let alpha = if wide_from { u16::read(from) } else { u16::from(u8::read(from)) * 257 };
            if wide_to { alpha.write(to) } else { ((alpha >> 8) as u8).write(to) }
        }
        Ok(())
    }
}

/// Exact: no dither, all chroma samples used; transfer and primaries stay the stream's.
fn config() -> VideoConverterConfig {
    let mut config = VideoConverterConfig::new();
    config.set_dither_method(gst_video::VideoDitherMethod::None);
    config.set_chroma_mode(gst_video::VideoChromaMode::Full);
    config.set_chroma_resampler_method(gst_video::VideoResamplerMethod::Linear);
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

/// A sample in memory, in the machine's own byte order as the packed formats have it.
trait Sample: Copy + Into<f32> {
    const BYTES: usize;
    const FULL: Self;
    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
}

impl Sample for u8 {
    const BYTES: usize = 1;
    const FULL: Self = 255;
    #[inline]
    fn read(bytes: &[u8]) -> Self {
        bytes[0]
    }
    #[inline]
    fn write(self, bytes: &mut [u8]) {
        bytes[0] = self;
    }
}

impl Sample for u16 {
    const BYTES: usize = 2;
    const FULL: Self = 65535;
    #[inline]
    fn read(bytes: &[u8]) -> Self {
        Self::from_ne_bytes([bytes[0], bytes[1]])
    }
    #[inline]
    fn write(self, bytes: &mut [u8]) {
        bytes[..2].copy_from_slice(&self.to_ne_bytes());
    }
}

/// Red, green and blue of packed pixels, which have no padding. `code` tells a sample's native code
/// value, `store` what a value becomes; a cast to an integer clips.
fn pixels<S: Sample, P: Copy + Default>(
    packed: &[u8],
    code: impl Fn(S) -> f32,
    levels: &Levels,
    store: impl Fn(f32) -> P,
) -> Vec<P> {
    let mut samples = vec![P::default(); packed.len() / S::BYTES / 4 * 3];
    for (pixel, rgb) in packed.chunks_exact(4 * S::BYTES).zip(samples.chunks_exact_mut(3)) {
        let at = |component: usize| code(S::read(&pixel[component * S::BYTES..]));
        let [red, green, blue] = levels.decode([at(1), at(2), at(3)]);
        (rgb[0], rgb[1], rgb[2]) = (store(red), store(green), store(blue));
    }
    samples
}

fn write_codes<P: Sample, S: Sample>(
    packed: &mut [u8],
    rgb: &[P],
    full: f32,
    levels: &Levels,
    store: impl Fn(f32) -> S,
) {
    let value = 1.0 / full;
    for (pixel, rgb) in packed.chunks_exact_mut(4 * S::BYTES).zip(rgb.chunks_exact(3)) {
        let codes = levels.encode([rgb[0].into() * value, rgb[1].into() * value, rgb[2].into() * value]);
        S::FULL.write(pixel);
        for (component, code) in codes.into_iter().enumerate() {
            store(code).write(&mut pixel[(component + 1) * S::BYTES..]);
        }
    }
}

#[cfg(test)]
mod tests;

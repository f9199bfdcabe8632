//! From native frames to the engine's pictures and back.
//!
//! GStreamer's own converter is not used: of version 1.22's, the matrix loses up to 3 of 255 code values of
//! a limited-range grey, odd widths of UYVY are written past the end, lines of the frame before get into
//! frames of few lines, and no format of it could take back what the model left alone (below).
//!
//! A picture holds less than its frame: neither what lies beyond black, white and the gamut, nor the bits
//! that rounding cut off, nor the sharpness that subsampled chroma loses when it is spread and gathered. So a
//! frame is not made of the edited picture alone: where the edit left a pixel as it was, that remainder
//! is added back, in full; the further the edit went, the less of it, to nothing at [`FULL_EDIT`].

use glib::BoolError;
use gst_video::VideoInfo;

use super::{
    carry,
    gather::{Gatherer, Pixels},
    samples::Component,
    side::{Row, Side, blank_row},
    writable,
};
use crate::engine::{Picture, Samples};

/// A change of this much (of 0..1, in the channel that changed most) leaves nothing of the source's remainder.
const FULL_EDIT: f32 = 0.25;

/// Converts the frames of one stream, from the input's format and to the output's.
pub struct Converter {
    input: Side,
    output: Side,
    /// Of subsampled chroma.
    gatherer: Option<Gatherer>,
    rows: Rows,
}

/// Working memory of one row.
struct Rows {
    /// The source's code values.
    source: Row,
    /// The source, beyond 0..1 where it goes beyond black, white or the gamut; then what goes out.
    rgb: Row,
    /// The code values that go out.
    codes: Row,
    /// How much of the source's remainder each pixel keeps, 0..1.
    kept: Vec<f32>,
}

impl Converter {
    /// For a stream that comes as `input` and goes as `output`.
    ///
    /// # Errors
    /// If their sizes differ.
    pub fn new(input: &VideoInfo, output: &VideoInfo) -> Result<Self, BoolError> {
        if (input.width(), input.height()) != (output.width(), output.height()) {
            return Err(glib::bool_error!("a frame's size cannot change"));
        }
        let (input, output) = (Side::new(input), Side::new(output));
        let width = input.width();
        let gatherer = output.is_subsampled().then(|| Gatherer::new(&input, &output));
        let [source, rgb, codes] = std::array::from_fn(|_| blank_row(width));
        let rows = Rows { source, rgb, codes, kept: vec![1.0; width] };
        Ok(Self { input, output, gatherer, rows })
    }

    /// What the frame shows.
    ///
    /// # Errors
    /// If `frame` is not in the input's format.
    pub fn picture(&mut self, frame: &gst::BufferRef) -> Result<Picture, BoolError> {
        let map = readable(frame, &self.input)?;
        let (width, height) = (self.input.width(), self.input.height());
        let samples = if self.input.is_deep() {
            Samples::U16(self.samples(&map, |value| scaled(value, WIDE) as u16))
        } else {
            Samples::U8(self.samples(&map, |value| scaled(value, NARROW) as u8))
        };
        Ok(Picture { width, height, samples })
    }

    fn samples<S: Copy + Default>(&mut self, frame: &[u8], store: impl Fn(f32) -> S) -> Vec<S> {
        let row_length = 3 * self.input.width();
        let mut samples = vec![S::default(); row_length * self.input.height()];
        for (y, pixels) in samples.chunks_exact_mut(row_length).enumerate() {
            self.read_row(frame, y);
            let [red, green, blue] = &self.rows.rgb;
            for (((pixel, &red), &green), &blue) in pixels.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
                (pixel[0], pixel[1], pixel[2]) = (store(red), store(green), store(blue));
            }
        }
        samples
    }

    /// The frame that leaves in place of `frame`: `picture` in the output's format, with the alpha plane
    /// and the carrier of `frame`, and with what the picture of `frame` could not hold.
    ///
    /// # Errors
    /// If `picture` has another size.
    pub fn edited(&mut self, picture: &Picture, frame: &gst::BufferRef) -> Result<gst::Buffer, BoolError> {
        let (width, height) = (self.input.width(), self.input.height());
        if (picture.width, picture.height) != (width, height) {
            let (w, h) = (picture.width, picture.height);
            return Err(glib::bool_error!("the engine gave {w}x{h} for a frame of {width}x{height}"));
        }
        self.like(frame, Some(picture))
    }

    /// The frame that nothing changed: itself, or in the output's format where that is another.
    ///
    /// # Errors
    /// If `frame` is not in the input's format.
    pub fn unchanged(&mut self, frame: gst::Buffer) -> Result<gst::Buffer, BoolError> {
        if self.input.info == self.output.info { Ok(frame) } else { self.like(&frame, None) }
    }

    fn like(&mut self, frame: &gst::BufferRef, picture: Option<&Picture>) -> Result<gst::Buffer, BoolError> {
        let map = readable(frame, &self.input)?;
        let mut out = gst::Buffer::from_mut_slice(self.render(&map, picture, 1.0));
        carry(frame, writable(&mut out)?)?;
        Ok(out)
    }

    /// The bytes of `frame` in the output's format, edited where there is a `picture`; `remainder`: how much
    /// of what the picture could not hold goes back into a pixel that the edit left alone, 0..1.
    pub(super) fn render(&mut self, frame: &[u8], picture: Option<&Picture>, remainder: f32) -> Vec<u8> {
        let mut out = self.canvas(frame);
        self.rows.kept.fill(remainder);
        for y in 0..self.input.height() {
            self.read_row(frame, y);
            match picture.map(|picture| &picture.samples) {
                Some(Samples::U8(samples)) => self.merge(samples, y, NARROW, remainder),
                Some(Samples::U16(samples)) => self.merge(samples, y, WIDE, remainder),
                None => {}
            }
            self.write_row(frame, y, &mut out);
        }
        out
    }

    /// The bytes that the picture is written into. They hold what is not picture: alpha (the source's, or
    /// full) and padding.
    fn canvas(&self, frame: &[u8]) -> Vec<u8> {
        if self.input.info == self.output.info {
            return frame[..self.output.info.size()].to_vec();
        }
        let mut out = background(&self.output.info);
        if let Some(to) = &self.output.alpha {
            self.copy_alpha(frame, to, &mut out);
        }
        out
    }

    fn copy_alpha(&self, frame: &[u8], to: &Component, out: &mut [u8]) {
        let mut codes = vec![to.most; to.width];
        for y in 0..to.height {
            if let Some(from) = &self.input.alpha {
                from.read(frame, y, &mut codes);
                codes.iter_mut().for_each(|code| *code *= to.most / from.most);
            }
            to.write(out, y, &codes);
        }
    }

    /// Puts row `y` of the edited picture in place of the source's, and adds the source's remainder.
    fn merge<S: Copy + Into<f32>>(&mut self, edited: &[S], y: usize, full: f32, remainder: f32) {
        let row_length = 3 * self.input.width();
        let row = &edited[y * row_length..][..row_length];
        let source_full = if self.input.is_deep() { WIDE } else { NARROW };
        let (value, source_value) = (1.0 / full, 1.0 / source_full);
        let [red, green, blue] = &mut self.rows.rgb;
        let pixels = row.chunks_exact(3).zip(red).zip(green).zip(blue).zip(&mut self.rows.kept);
        for ((((edited, red), green), blue), kept) in pixels {
            let edited = [edited[0], edited[1], edited[2]].map(|sample| sample.into() * value);
            let source = [*red, *green, *blue];
            let shown = source.map(|value| scaled(value, source_full) as f32 * source_value);
            let change = (0..3).fold(0.0f32, |most, at| most.max((edited[at] - shown[at]).abs()));
            *kept = remainder * (1.0 - change / FULL_EDIT).max(0.0);
            let merged = |at: usize| edited[at] + *kept * (source[at] - shown[at]);
            [*red, *green, *blue] = [merged(0), merged(1), merged(2)];
        }
    }

    fn read_row(&mut self, frame: &[u8], y: usize) {
        self.input.codes(frame, y, &mut self.rows.source);
        self.input.levels.decode_row(&self.rows.source, &mut self.rows.rgb);
    }

    fn write_row(&mut self, frame: &[u8], y: usize, out: &mut [u8]) {
        let Rows { source, rgb, codes, kept } = &mut self.rows;
        let (input, output) = (&self.input, &self.output);
        output.levels.encode_row(rgb, codes);
        let Some(gatherer) = &mut self.gatherer else {
            let components = output.components.iter().zip(codes);
            return components.for_each(|(component, codes)| component.write(out, y, codes));
        };
        output.components[0].write(out, y, &codes[0]);
        gatherer.add(y, output.components[1].height, &Pixels { source, codes, kept });
        gatherer.finish(y, (input, frame), (output, out));
    }
}

/// The bytes of a frame before its picture is written: padding is black, and the byte that RGBx does not use is what
/// alpha would be.
pub(super) fn background(info: &VideoInfo) -> Vec<u8> {
    let unused_alpha = info.format_info().pixel_stride()[0] == 4;
    vec![if unused_alpha { 0xff } else { 0 }; info.size()]
}

const NARROW: f32 = 255.0;
const WIDE: f32 = 65535.0;

/// The sample, of 0..=`full`, that a picture holds of a value.
#[inline]
fn scaled(value: f32, full: f32) -> i32 {
    (value.clamp(0.0, 1.0) * full + 0.5) as i32
}

pub(super) fn readable<'a>(
    frame: &'a gst::BufferRef,
    side: &Side,
) -> Result<gst::BufferMap<'a, gst::buffer::Readable>, BoolError> {
    let map = frame.map_readable()?;
    let (found, wanted) = (map.len(), side.info.size());
    if found < wanted {
        return Err(glib::bool_error!("a frame of {found} bytes where {wanted} are needed"));
    }
    Ok(map)
}

//! Code values to RGB and back, rounded once.
//!
//! GStreamer's own converter changes formats exactly, but its matrix does not give back what went in: a
//! limited-range grey ramp comes out up to 3 of 255 code values darker. Edited frames are the sources of
//! later ones, so such a loss would add up. Hence this matrix, in single precision.

use gst_video::{VideoColorMatrix, VideoColorRange, VideoInfo};

/// What a format's code values mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    first: Scale,
    others: Scale,
    /// None: the components are red, green and blue.
    matrix: Option<Matrix>,
}

/// `code = offset + value * span`; luma and RGB values are 0..1, chroma -0.5..0.5.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    offset: f32,
    span: f32,
}

impl Scale {
    fn decode(self, code: f32) -> f32 {
        (code - self.offset) / self.span
    }

    fn encode(self, value: f32) -> f32 {
        self.offset + value * self.span
    }
}

/// The weights of red and blue in luma.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Matrix {
    kr: f32,
    kb: f32,
}

impl Matrix {
    fn decode(self, [y, cb, cr]: [f32; 3]) -> [f32; 3] {
        let (kr, kb) = (self.kr, self.kb);
        let (r, b) = (y + 2.0 * (1.0 - kr) * cr, y + 2.0 * (1.0 - kb) * cb);
        [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b]
    }

    fn encode(self, [r, g, b]: [f32; 3]) -> [f32; 3] {
        let (kr, kb) = (self.kr, self.kb);
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        [y, (b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr))]
    }
}

impl Levels {
    /// Of a format whose first component has `info`'s depth.
    pub fn of(info: &VideoInfo) -> Self {
        let depth = info.comp_depth(0);
        let steps = ((1u64 << depth) - 1) as f32;
        let step8 = (1u64 << (depth - 8)) as f32; // how many of its steps are one of eight bits
        let limited = info.colorimetry().range() == VideoColorRange::Range16_235;
        let luma = if limited {
            Scale { offset: 16.0 * step8, span: 219.0 * step8 }
        } else {
            Scale { offset: 0.0, span: steps }
        };
        let is_rgb = info.format_info().is_rgb();
        let chroma = Scale { offset: 128.0 * step8, span: if limited { 224.0 * step8 } else { steps } };
        Self {
            first: luma,
            others: if is_rgb { luma } else { chroma },
            matrix: (!is_rgb).then(|| Matrix::of(info.colorimetry().matrix())),
        }
    }

    /// Code values of one pixel to red, green and blue, 0..1 where they are in range.
    #[inline]
    pub fn decode(&self, codes: [f32; 3]) -> [f32; 3] {
        let values =
            [self.first.decode(codes[0]), self.others.decode(codes[1]), self.others.decode(codes[2])];
        self.matrix.map_or(values, |matrix| matrix.decode(values))
    }

    /// The inverse; the code values are not rounded yet.
    #[inline]
    pub fn encode(&self, rgb: [f32; 3]) -> [f32; 3] {
        let values = self.matrix.map_or(rgb, |matrix| matrix.encode(rgb));
        [self.first.encode(values[0]), self.others.encode(values[1]), self.others.encode(values[2])]
    }
}

impl Matrix {
    /// A grey format need not name a matrix; its chroma is zero, so any will do.
    fn of(matrix: VideoColorMatrix) -> Self {
        let (kr, kb) = matrix.kr_kb().or_else(|_| VideoColorMatrix::Bt601.kr_kb()).unwrap_or((0.299, 0.114));
        Self { kr: kr as f32, kb: kb as f32 }
    }
}

//! Code values to RGB and back, rounded once.
//!
//! The matrix of GStreamer's own converter does not give back what went in: a limited-range grey ramp comes
//! out up to 3 of 255 code values darker. Edited frames are the sources of later ones, so such a loss would
//! add up. Hence this matrix, in single precision.

use gst_video::{VideoColorMatrix, VideoColorRange, VideoInfo};

use super::side::Row;

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
    /// Its inverse: a multiplication is several times faster than a division.
    value: f32,
}

impl Scale {
    fn new(offset: f32, span: f32) -> Self {
        Self { offset, span, value: 1.0 / span }
    }

    fn decode(self, code: f32) -> f32 {
        (code - self.offset) * self.value
    }

    fn encode(self, value: f32) -> f32 {
        self.offset + value * self.span
    }
}

/// The weights of red, green and blue in luma, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Matrix {
    luma: [f32; 3],
    red_cr: f32,
    blue_cb: f32,
    green_cb: f32,
    green_cr: f32,
    cr: f32,
    cb: f32,
}

impl Matrix {
    fn new(kr: f32, kb: f32) -> Self {
        let kg = 1.0 - kr - kb;
        let (red_cr, blue_cb) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
        let (green_cb, green_cr) = (-kb * blue_cb / kg, -kr * red_cr / kg);
        Self { luma: [kr, kg, kb], red_cr, blue_cb, green_cb, green_cr, cr: 1.0 / red_cr, cb: 1.0 / blue_cb }
    }

    /// A grey format need not name a matrix; its chroma is zero, so any will do.
    fn of(matrix: VideoColorMatrix) -> Self {
        let (kr, kb) = matrix.kr_kb().or_else(|_| VideoColorMatrix::Bt601.kr_kb()).unwrap_or((0.299, 0.114));
        Self::new(kr as f32, kb as f32)
    }

    fn decode(&self, [y, cb, cr]: [f32; 3]) -> [f32; 3] {
        [y + self.red_cr * cr, y + self.green_cb * cb + self.green_cr * cr, y + self.blue_cb * cb]
    }

    fn encode(&self, [r, g, b]: [f32; 3]) -> [f32; 3] {
        let y = self.luma[0] * r + self.luma[1] * g + self.luma[2] * b;
        [y, (b - y) * self.cb, (r - y) * self.cr]
    }
}

impl Levels {
    /// Of a format whose first component has `info`'s depth.
    pub fn of(info: &VideoInfo) -> Self {
        let depth = info.comp_depth(0);
        let steps = ((1u64 << depth) - 1) as f32;
        let step8 = (1u64 << (depth - 8)) as f32; // how many of its steps are one of eight bits
        let limited = info.colorimetry().range() == VideoColorRange::Range16_235;
        let luma = if limited { Scale::new(16.0 * step8, 219.0 * step8) } else { Scale::new(0.0, steps) };
        let is_rgb = info.format_info().is_rgb();
        let chroma = Scale::new(128.0 * step8, if limited { 224.0 * step8 } else { steps });
        Self {
            first: luma,
            others: if is_rgb { luma } else { chroma },
            matrix: (!is_rgb).then(|| Matrix::of(info.colorimetry().matrix())),
        }
    }

    /// The code value of no colour at all.
    pub fn neutral(&self) -> f32 {
        self.others.offset
    }

    /// How many code values of these levels one of `other`'s chroma is; `None` where chroma means another colour.
    pub fn chroma_scale(&self, other: &Self) -> Option<f32> {
        let same = self.matrix.is_some() && self.matrix == other.matrix;
        same.then(|| self.others.span / other.others.span)
    }

    /// Code values of a row to red, green and blue, 0..1 where they are in range.
    pub fn decode_row(&self, codes: &Row, rgb: &mut Row) {
        each_pixel(codes, rgb, |[first, second, third]| {
            let values = [self.first.decode(first), self.others.decode(second), self.others.decode(third)];
            self.matrix.as_ref().map_or(values, |matrix| matrix.decode(values))
        });
    }

    /// The inverse; the code values are neither rounded nor clipped yet.
    pub fn encode_row(&self, rgb: &Row, codes: &mut Row) {
        each_pixel(rgb, codes, |rgb| {
            let values = self.matrix.as_ref().map_or(rgb, |matrix| matrix.encode(rgb));
            [self.first.encode(values[0]), self.others.encode(values[1]), self.others.encode(values[2])]
        });
    }
}

fn each_pixel(from: &Row, to: &mut Row, convert: impl Fn([f32; 3]) -> [f32; 3]) {
    let [a, b, c] = from;
    let [x, y, z] = to;
    for (((((a, b), c), x), y), z) in a.iter().zip(b).zip(c).zip(x).zip(y).zip(z) {
        [*x, *y, *z] = convert([*a, *b, *c]);
    }
}

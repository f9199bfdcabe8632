//! Where the samples of one component lie in a row of bytes.

use gst_video::{VideoFormat, VideoInfo};

/// One component (luma, red, alpha, …) of a format, laid out as GStreamer lays a frame out by default.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Samples a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Greatest code value.
    pub most: f32,
    layout: Layout,
    /// Of the component's plane, in bytes.
    offset: usize,
    stride: usize,
}

/// How samples follow each other in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// One byte each, `step` bytes apart.
    Bytes { first: usize, step: usize },
    /// Sixteen bits each, little-endian, `step` bytes apart; the code value lies `shift` bits up.
    Words { first: usize, step: usize, shift: u32 },
    /// v210: ten bits each, three in a little-endian word of 32 bits; counted in samples.
    Packed { first: usize, step: usize },
}

impl Component {
    /// Component `index` of `info`; 3 is alpha.
    pub fn of(info: &VideoInfo, index: u8) -> Self {
        let format = info.format_info();
        let plane = info.comp_plane(index) as usize;
        let depth = info.comp_depth(index);
        let first = match info.format() {
            // GStreamer 1.22's table counts these in samples, not in bytes.
            VideoFormat::P01010le if index == 2 => 2,
            _ => info.comp_poffset(index) as usize,
        };
        let step = info.comp_pstride(index) as usize;
        let layout = match (info.format(), depth) {
            // Cb Y Cr Y, as in UYVY
            (VideoFormat::V210, _) if index == 0 => Layout::Packed { first: 1, step: 2 },
            (VideoFormat::V210, _) => Layout::Packed { first: usize::from(index - 1) * 2, step: 4 },
            (_, 8) => Layout::Bytes { first, step },
            _ => Layout::Words { first, step, shift: format.shift()[usize::from(index)] },
        };
        Self {
            width: info.comp_width(index) as usize,
            height: info.comp_height(index) as usize,
            most: ((1u32 << depth) - 1) as f32,
            layout,
            offset: info.offset()[plane],
            stride: info.stride()[plane] as usize,
        }
    }

    fn row<'a>(&self, frame: &'a [u8], y: usize) -> &'a [u8] {
        let start = self.offset + y * self.stride;
        &frame[start..(start + self.stride).min(frame.len())]
    }

    /// The code values of row `y`; `codes` holds `width` of them.
    pub fn read(&self, frame: &[u8], y: usize, codes: &mut [f32]) {
        let row = self.row(frame, y);
        match self.layout {
            Layout::Bytes { first, step: 1 } => {
                row[first..].iter().zip(codes).for_each(|(&byte, code)| *code = byte.into());
            }
            Layout::Bytes { first, step } => {
                row[first..].iter().step_by(step).zip(codes).for_each(|(&byte, code)| *code = byte.into());
            }
            Layout::Words { first, step, shift } => {
                let samples = row[first..].chunks(step);
                let word = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
                samples.zip(codes).for_each(|(bytes, code)| *code = (word(bytes) >> shift).into());
            }
            Layout::Packed { first, step } => {
                for (x, code) in codes.iter_mut().enumerate() {
                    let (at, shift) = packed(first + x * step);
                    *code = (word(row, at) >> shift & TEN_BITS) as f32;
                }
            }
        }
    }

    /// Rounds and clips `codes` into row `y`.
    pub fn write(&self, frame: &mut [u8], y: usize, codes: &[f32]) {
        let start = self.offset + y * self.stride;
        let end = (start + self.stride).min(frame.len());
        let row = &mut frame[start..end];
        let most = self.most;
        let rounded = codes.iter().map(|code| (code.clamp(0.0, most) + 0.5) as i32 as u16);
        match self.layout {
            Layout::Bytes { first, step } => {
                let samples = row[first..].iter_mut().step_by(step);
                samples.zip(rounded).for_each(|(byte, code)| *byte = code as u8);
            }
            Layout::Words { first, step, shift } => {
                let samples = row[first..].chunks_mut(step);
                samples.zip(rounded).for_each(|(bytes, code)| {
                    bytes[..2].copy_from_slice(&(code << shift).to_le_bytes());
                });
            }
            Layout::Packed { first, step } => {
                for (x, code) in rounded.enumerate() {
                    let (at, shift) = packed(first + x * step);
                    let merged = word(row, at) & !(TEN_BITS << shift) | u32::from(code) << shift;
                    row[at..at + 4].copy_from_slice(&merged.to_le_bytes());
                }
            }
        }
    }
}

const TEN_BITS: u32 = 0x3ff;

/// Byte of the word, and bit in it, where packed sample `index` begins.
fn packed(index: usize) -> (usize, u32) {
    (index / 3 * 4, (index % 3 * 10) as u32)
}

fn word(row: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]])
}

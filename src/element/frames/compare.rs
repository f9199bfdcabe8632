//! Original and edited in one frame, sample by sample in the output's own format: no code value of either changes.

use glib::BoolError;
use gst_video::VideoInfo;

use super::{
    carry,
    convert::{background, readable},
    samples::Component,
    side::{Side, blank_row},
    writable,
};

/// Columns of the line between the two halves of a wipe.
const DIVIDER: usize = 2;

/// Shows two frames of one size and format in one.
pub struct Comparer {
    one: Side,
    /// Where both stand side by side, the format of that frame.
    wide: Option<Side>,
    /// The code values of the divider, in each component.
    white: Vec<f32>,
    /// A row of one component of what goes out.
    row: Vec<f32>,
}

impl Comparer {
    /// Side by side, the edited one to the right: `one` is the format of each frame, `both` the same at twice its
    /// width, made even.
    pub fn side_by_side(one: &VideoInfo, both: &VideoInfo) -> Self {
        Self::new(one, Some(Side::new(both)))
    }

    /// A wipe between frames of the format `info`, the edited one to the right of the line.
    pub fn wipe(info: &VideoInfo) -> Self {
        Self::new(info, None)
    }

    fn new(one: &VideoInfo, wide: Option<Side>) -> Self {
        let one = Side::new(one);
        let white = white(&one);
        let row = vec![0.0; wide.as_ref().unwrap_or(&one).width()];
        Self { one, wide, white, row }
    }

    /// The frame that leaves where nothing was edited; a wipe has nothing to part then.
    ///
    /// # Errors
    /// If `frame` is not of the format.
    pub fn unchanged(&mut self, frame: gst::Buffer) -> Result<gst::Buffer, BoolError> {
        if self.wide.is_some() { self.show(&frame, &frame, 0.0) } else { Ok(frame) }
    }

    /// Both in one frame, with the carrier of `edited`; `position`: where a wipe's line is, as a share of the width
    /// from the left, 0..1.
    ///
    /// # Errors
    /// If a frame is not of the format.
    pub fn show(
        &mut self,
        original: &gst::BufferRef,
        edited: &gst::BufferRef,
        position: f64,
    ) -> Result<gst::Buffer, BoolError> {
        let (left, right) = (readable(original, &self.one)?, readable(edited, &self.one)?);
        let shown = match &self.wide {
            Some(wide) => join(&self.one, wide, [&left, &right], &mut self.row),
            None => self.part(&left, right.to_vec(), position),
        };
        let mut out = gst::Buffer::from_mut_slice(shown);
        carry(edited, writable(&mut out)?)?;
        Ok(out)
    }

    /// Puts the original's columns left of `position`, and the line, over the edited frame in `out`.
    fn part(&mut self, original: &[u8], mut out: Vec<u8>, position: f64) -> Vec<u8> {
        let width = self.one.width();
        let line = divided_at(position, width);
        let line_end = if (1..width).contains(&line) { (line + DIVIDER).min(width) } else { line };
        for (component, &white) in components(&self.one).zip(&self.white) {
            let pixels = if component.width < width { 2 } else { 1 };
            let (line, line_end) = (line.div_ceil(pixels), line_end.div_ceil(pixels));
            let row = &mut self.row[..component.width];
            for y in 0..component.height {
                component.read(original, y, row);
                row[line..line_end].fill(white);
                component.write(&mut out, y, &row[..line_end]);
            }
        }
        out
    }
}

/// A frame of the format `wide` that shows `frames` of the format `one`; `row` is room for one of its rows.
fn join(one: &Side, wide: &Side, frames: [&[u8]; 2], row: &mut [f32]) -> Vec<u8> {
    let mut out = background(&wide.info);
    for (from, to) in components(one).zip(components(wide)) {
        let row = &mut row[..to.width];
        for y in 0..to.height {
            for (frame, half) in frames.into_iter().zip(row.chunks_exact_mut(to.width / 2)) {
                let (picture, rest) = half.split_at_mut(from.width);
                from.read(frame, y, picture);
                rest.fill(picture[from.width - 1]); // an odd width's last column stands twice
            }
            to.write(&mut out, y, row);
        }
    }
    out
}

/// The code values of white, alpha included.
fn white(side: &Side) -> Vec<f32> {
    let (mut rgb, mut codes) = (blank_row(1), blank_row(1));
    rgb.iter_mut().for_each(|value| value.fill(1.0));
    side.levels.encode_row(&rgb, &mut codes);
    let alpha = side.alpha.as_ref().map(|alpha| alpha.most);
    codes.iter().take(side.components.len()).map(|code| code[0]).chain(alpha).collect()
}

fn components(side: &Side) -> impl Iterator<Item = &Component> {
    side.components.iter().chain(&side.alpha)
}

/// The first column that is not the original's: even, so that no chroma sample is parted, or the width.
fn divided_at(position: f64, width: usize) -> usize {
    ((position * width as f64 / 2.0).round() as usize * 2).min(width)
}

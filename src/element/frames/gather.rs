//! Chroma of the output where it is subsampled: gathered from the pixels, rows and columns.
//!
//! Spreading chroma over the pixels and gathering it again blurs it. Where input and output have the same grid,
//! what that costs is known (the source's own samples, less the same samples spread and gathered), and is added
//! back as far as the edit left the pixels around alone.

use super::{
    chroma::Axis,
    side::{Row, Side},
};

/// Gathers a stream's chroma, row after row.
pub struct Gatherer {
    horizontal: Axis,
    vertical: Axis,
    /// The rows of chroma that pixels still add to, by the parity of their index.
    open: [Sums; 2],
    /// How many of the output's code values one of the input's is; `None` where their samples are not the same.
    remainder: Option<f32>,
    finished: Vec<f32>,
    source: Vec<f32>,
}

/// One row of chroma in the making.
struct Sums {
    weight: f32,
    /// Of what goes out, in the output's code values.
    chroma: [Vec<f32>; 2],
    /// Of the source, in the input's.
    source: [Vec<f32>; 2],
    /// How much of the source's remainder is kept.
    kept: Vec<f32>,
}

impl Sums {
    fn new(width: usize) -> Self {
        let zeros = || vec![0.0; width];
        Self { weight: 0.0, chroma: [zeros(), zeros()], source: [zeros(), zeros()], kept: zeros() }
    }

    fn clear(&mut self) {
        self.weight = 0.0;
        let Self { chroma, source, kept, .. } = self;
        chroma.iter_mut().chain(source).chain([kept]).for_each(|sums| sums.fill(0.0));
    }
}

/// A row of pixels.
pub struct Pixels<'a> {
    /// The source's code values.
    pub source: &'a Row,
    /// The output's.
    pub codes: &'a Row,
    /// How much of the source's remainder each pixel keeps.
    pub kept: &'a [f32],
}

impl Gatherer {
    /// For `output`, which is subsampled.
    pub fn new(input: &Side, output: &Side) -> Self {
        let width = output.components[1].width;
        let same_grid = (input.horizontal, input.vertical) == (output.horizontal, output.vertical);
        let scale = output.levels.chroma_scale(&input.levels);
        Self {
            horizontal: output.horizontal,
            vertical: output.vertical,
            open: [Sums::new(width), Sums::new(width)],
            remainder: if same_grid { scale } else { None },
            finished: vec![0.0; width],
            source: vec![0.0; width],
        }
    }

    /// Takes row `y`.
    pub fn add(&mut self, y: usize, rows: usize, pixels: &Pixels) {
        for (row, share) in self.vertical.shares(y) {
            if share == 0.0 || row >= rows {
                continue;
            }
            let Sums { weight, chroma, source, kept } = &mut self.open[row % 2];
            *weight += share;
            for (sums, codes) in chroma.iter_mut().zip(&pixels.codes[1..]) {
                self.horizontal.gather(codes, share, sums);
            }
            if self.remainder.is_some() {
                for (sums, codes) in source.iter_mut().zip(&pixels.source[1..]) {
                    self.horizontal.gather(codes, share, sums);
                }
                self.horizontal.gather(pixels.kept, share, kept);
            }
        }
    }

    /// Writes the row of chroma that is complete after row `y`, if one is.
    pub fn finish(&mut self, y: usize, (input, frame): (&Side, &[u8]), (output, out): (&Side, &mut [u8])) {
        let Some(row) = self.vertical.finished(y, output.height()) else { return };
        let sums = &mut self.open[row % 2];
        let share = 1.0 / sums.weight;
        for (index, chroma) in sums.chroma.iter().enumerate() {
            let finished = self.finished.iter_mut();
            finished.zip(chroma).for_each(|(finished, sum)| *finished = share * sum);
            if let Some(scale) = self.remainder {
                input.components[index + 1].read(frame, row, &mut self.source);
                let spread = self.source.iter().zip(&sums.source[index]).zip(&sums.kept);
                for (finished, ((source, sum), kept)) in self.finished.iter_mut().zip(spread) {
                    *finished += share * kept * scale * (source - share * sum);
                }
            }
            output.components[index + 1].write(out, row, &self.finished);
        }
        sums.clear();
    }
}

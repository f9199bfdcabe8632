//! What is known of a picture's edit, and the grid of cells on which places are compared.

use tch::Tensor;

use crate::conditions::filters::{channels, gaussian, luma, smaller, smoothstep, wide_gaussian};

/// Pixels a cell, each way, a power of two.
pub const CELL: i64 = 4;
/// Sigma that parts texture from tone, in pixels.
pub const TONE: f64 = 3.0;
/// Lightness (0..1) up to which all is alike dark.
pub const DARK: f64 = 0.2;
/// Sigma over which a cell's gain is measured, in cells.
const SMOOTH: f64 = 0.75;
/// A share (0..1) that is known of a cell's surroundings, so small that its gain fades.
const FEWEST: f64 = 0.05;

/// A mean difference (0..1) between edit and source up to which a cell was left as it was, and from which it was edited:
/// codecs and rounding stay below.
const LEFT: f64 = 0.012;
const EDITED: f64 = 0.04;

/// A picture beside what the prior makes of it, and what is known of its edit.
#[derive(Debug)]
pub struct Known<'a> {
    /// `[1, 3, h, w]`, 0..1, sides multiples of 4.
    pub source: &'a Tensor,
    /// The prior's edit of it, the same shape.
    pub prior: &'a Tensor,
    /// Its edit, the same shape.
    pub edit: &'a Tensor,
    /// Where that is one, `[1, 1, h, w]`, 0..1.
    pub known: &'a Tensor,
}

impl Known<'_> {
    /// What the prior leaves unexplained of the edit, `[1, 3, h, w]`; 0 where nothing is known.
    pub fn unexplained(&self) -> Tensor {
        (self.edit - self.prior) * self.known
    }

    /// What each cell's edit says of tone, `[1, 4, h / 4, w / 4]`: how much lighter each channel is than the prior says, as
    /// a logarithm, 0 where nothing is known; and whether the edit left the cell as it was, 0..1. A thing that moves into the
    /// light keeps its colour by a logarithm, and not by a difference.
    pub fn tone(&self) -> Tensor {
        let [red, green, blue] = channels(&(self.edit - self.source).abs());
        let changed = self.seen(&red.maximum(&green).maximum(&blue));
        Tensor::cat(&[self.gains(), 1.0 - smoothstep(&changed, LEFT, EDITED)], 1)
    }

    /// The first three of [`tone`](Self::tone), `[1, 3, h / 4, w / 4]`.
    pub fn gains(&self) -> Tensor {
        ((self.seen(self.edit) + DARK) / (self.seen(self.prior) + DARK)).log()
    }

    /// The mean of `maps`, `[1, c, h, w]`, around each cell, of what is known: `[1, c, h / 4, w / 4]`.
    pub fn seen(&self, maps: &Tensor) -> Tensor {
        self.mean_around(&cells(&(maps * self.known)))
    }

    /// As [`seen`](Self::seen), of the cells of maps that were weighted by what is known.
    pub fn mean_around(&self, weighted: &Tensor) -> Tensor {
        gaussian(weighted, SMOOTH) / gaussian(&cells(self.known), SMOOTH).clamp_min(FEWEST)
    }

    /// What its cells look like, and what the prior makes of them, `[1, features, h / 4, w / 4]`.
    ///
    /// - `appearance`: of its source
    pub fn describe(&self, appearance: &Appearance) -> Tensor {
        Tensor::cat(&[&appearance.features, &(gaussian(&cells(self.prior), 0.75) * 1.5)], 1)
    }
}

/// What the cells of a source look like, whatever a prior makes of them.
#[derive(Debug)]
pub struct Appearance {
    features: Tensor, // [1, features, h / 4, w / 4]: colours near and far, how busy they are at two scales
    /// How much fine detail a cell and its surroundings have, `[1, 1, h / 4, w / 4]`, 0..1.
    pub busy: Tensor,
}

impl Appearance {
    /// `source`: `[1, 3, h, w]`, 0..1, sides multiples of 4.
    pub fn of(source: &Tensor) -> Self {
        let (colours, [busy, busy_coarsely]) =
            (cells(source), [1.0, 2.5].map(|sigma| busyness(source, sigma)));
        let [near, far] = [0.75, 2.0].map(|sigma| gaussian(&colours, sigma));
        let features = [colours, near * 2.0, far * 1.5, &busy * 8.0, busy_coarsely * 8.0];
        Self { features: Tensor::cat(&features, 1), busy }
    }
}

/// How much detail of about `sigma` pixels a cell and its surroundings have, `[1, 1, h / 4, w / 4]`, 0..1.
fn busyness(source: &Tensor, sigma: f64) -> Tensor {
    let luma = luma(source);
    let detail = wide_gaussian(&luma, sigma) - wide_gaussian(&luma, 2.0 * sigma);
    gaussian(&cells(&detail.abs()), 1.5)
}

/// Mean of each cell's pixels, `[1, c, h / 4, w / 4]`.
pub fn cells(maps: &Tensor) -> Tensor {
    smaller(maps, CELL.ilog2())
}

/// A row a cell, `[cells, c]`.
pub fn rows(maps: &Tensor) -> Tensor {
    maps.flatten(2, 3).squeeze_dim(0).transpose(0, 1)
}

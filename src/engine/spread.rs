//! Tone that is known of some cells, carried to their neighbours as far as the source shows one and the same thing: what
//! comes out of hiding goes on in the colours of what it belongs to.
//!
//! A screened Poisson equation, whose bonds between neighbours are weak where the source has an edge, solved by conjugate
//! gradients. Source: Levin, Lischinski, Weiss, "Colorization using optimization".

use tch::{Kind, Tensor};

use crate::conditions::filters::channels;

/// A difference of colour (0..1) that parts two things.
const EDGE: f64 = 0.03;
/// What is left of the bond across the sharpest edge.
const LOOSEST: f64 = 1e-4;
/// How surely nothing is to be added where nothing is known: tone fades on its way.
const FADING: f64 = 1e-4;
/// Twice as many changed no mean error (0..255) over a hundredth.
const ITERATIONS: usize = 60;

/// The tone of every cell, `[1, c, h, w]`.
///
/// - `source`: what the cells look like, `[1, 3, h, w]`, 0..1
/// - `told`: what is known of each, times how surely, `[1, c, h, w]`
/// - `sure`: how surely, 0 and above, beside a bond of 1 between two cells that look the same, `[1, 1, h, w]`
pub fn spread(source: &Tensor, told: &Tensor, sure: &Tensor) -> Tensor {
    let equation = Equation::of(source, sure);
    let mut residual = in_a_row(told);
    let mut solution = residual.zeros_like();
    let mut direction = &residual * &equation.inverse;
    let mut old = dot(&residual, &direction);
    for _ in 0..ITERATIONS {
        let image = equation.product(&direction);
        let step = &old / (dot(&direction, &image) + TINY);
        solution = solution.addcmul(&step, &direction);
        residual = residual.addcmul(&-step, &image);
        let preconditioned = &residual * &equation.inverse;
        let new = dot(&residual, &preconditioned);
        direction = preconditioned.addcmul(&(&new / (old + TINY)), &direction);
        old = new;
    }
    solution.view_as(told)
}

/// Keeps divisions finite once the solution is found.
const TINY: f64 = 1e-20;

/// A channel's own, `[c, 1]`.
fn dot(one: &Tensor, other: &Tensor) -> Tensor {
    (one * other).sum_dim_intlist([1].as_slice(), true, Kind::Float)
}

/// `[1, c, h, w]` as `[c, h * w]`, in this order in memory: short rows, and channels that lie side by side, take a CPU five
/// times as long.
fn in_a_row(maps: &Tensor) -> Tensor {
    maps.flatten(2, 3).squeeze_dim(0).contiguous()
}

/// The matrix of the equation, of cells in a row.
#[derive(Debug)]
struct Equation {
    /// How surely each two cells show one thing that lie so far from each other, `[1, cells - distance]`; negative, as they
    /// stand in the matrix.
    bonds: [(i64, Tensor); 2],
    diagonal: Tensor, // [1, cells]
    inverse: Tensor,  // of the diagonal, the same shape
}

impl Equation {
    fn of(source: &Tensor, sure: &Tensor) -> Self {
        // None from the end of a line to the beginning of the next one.
        let across = in_a_row(&bond(source, 3).constant_pad_nd([0, 1, 0, 0]));
        let across = across.narrow(1, 0, across.size()[1] - 1);
        let bonds = [(1, across), (source.size()[3], in_a_row(&bond(source, 2)))];
        let held = in_a_row(sure) + FADING;
        let diagonal = &held - times_neighbours(held.zeros_like(), &bonds, &held.ones_like());
        Self { inverse: diagonal.reciprocal(), diagonal, bonds }
    }

    /// The matrix times `maps`, `[c, cells]`.
    fn product(&self, maps: &Tensor) -> Tensor {
        times_neighbours(&self.diagonal * maps, &self.bonds, maps)
    }
}

/// Adds to each cell of `sums` its neighbours in `maps`, each times the bond to it.
fn times_neighbours(sums: Tensor, bonds: &[(i64, Tensor); 2], maps: &Tensor) -> Tensor {
    for (distance, bonds) in bonds {
        let ends = |maps: &Tensor| [0, *distance].map(|first| maps.narrow(1, first, bonds.size()[1]));
        let ([mut here, mut there], [before, behind]) = (ends(&sums), ends(maps));
        let _ = here.addcmul_(bonds, &behind); // in place: both are parts of the sums
        let _ = there.addcmul_(bonds, &before);
    }
    sums
}

/// Between each cell and the next one along `dim`.
fn bond(source: &Tensor, dim: i64) -> Tensor {
    let length = source.size()[dim as usize] - 1;
    let step = source.narrow(dim, 1, length) - source.narrow(dim, 0, length);
    let [red, green, blue] = channels(&step.square());
    -((red + green + blue).sqrt() / -EDGE).exp() - LOOSEST
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::torch::testing::uniform;

    const HEIGHT: i64 = 12;
    const WIDTH: i64 = 20;

    fn zeros(channels: i64) -> Tensor {
        Tensor::zeros([1, channels, HEIGHT, WIDTH], (Kind::Float, Device::Cpu))
    }

    #[test]
    fn what_one_cell_tells_is_true_of_its_thing_and_ends_at_the_edge() {
        let (source, sure) = (zeros(3), zeros(1));
        let _ = source.narrow(3, 12, 8).fill_(0.5);
        let _ = sure.narrow(2, 5, 1).narrow(3, 3, 1).fill_(10.0);
        let tone = spread(&source, &(&sure * 0.4), &sure);
        let (near, beyond) = (tone.narrow(3, 0, 12), tone.narrow(3, 12, 8));
        assert!(near.min().double_value(&[]) > 0.35, "{}", near.min());
        assert!(beyond.max().double_value(&[]) < 0.25 * 0.4, "{}", beyond.max());
    }

    #[test]
    fn it_solves_the_equation() {
        let [source, told, sure] =
            [(1, 3), (2, 2), (3, 1)].map(|(seed, channels)| uniform(seed, &[1, channels, HEIGHT, WIDTH]));
        let sure = sure * 0.1;
        let tone = spread(&source, &told, &sure);
        let balance = Equation::of(&source, &sure).product(&in_a_row(&tone)) - in_a_row(&told);
        assert!(balance.abs().max().double_value(&[]) < 1e-3 * told.abs().max().double_value(&[]));
    }

    #[test]
    fn a_picture_that_is_turned_round_has_the_same_tone() {
        let [source, told, sure] =
            [(5, 3), (6, 2), (7, 1)].map(|(seed, channels)| uniform(seed, &[1, channels, HEIGHT, WIDTH]));
        for dim in [2, 3] {
            let [flipped, told_there, sure_there] = [&source, &told, &sure].map(|maps| maps.flip([dim]));
            let difference =
                spread(&flipped, &told_there, &sure_there).flip([dim]) - spread(&source, &told, &sure);
            assert!(difference.abs().max().double_value(&[]) < 1e-3, "{dim}");
        }
    }

    #[test]
    fn where_nobody_knows_anything_nothing_is_added() {
        let tone = spread(&uniform(4, &[1, 3, HEIGHT, WIDTH]), &zeros(3), &zeros(1));
        assert_eq!(tone, zeros(3));
    }
}

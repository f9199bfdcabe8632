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

/// How surely neighbouring cells show one thing.
#[derive(Debug)]
struct Bonds {
    down: Tensor,   // [1, 1, h - 1, w]
    across: Tensor, // [1, 1, h, w - 1]
}

/// The tone of every cell, `[1, c, h, w]`.
///
/// - `source`: what the cells look like, `[1, 3, h, w]`, 0..1
/// - `told`: what is known of each, times how surely, `[1, c, h, w]`
/// - `sure`: how surely, 0 and above, beside a bond of 1 between two cells that look the same, `[1, 1, h, w]`
pub fn spread(source: &Tensor, told: &Tensor, sure: &Tensor) -> Tensor {
    let bonds = Bonds::of(source);
    let held = sure + FADING;
    let diagonal = &held + bonds.sum();
    let mut solution = told.zeros_like();
    let mut residual = told.copy();
    let mut direction = &residual / &diagonal;
    let mut old = dot(&residual, &direction);
    for _ in 0..ITERATIONS {
        let image = &direction * &held + bonds.apart(&direction);
        let step = &old / (dot(&direction, &image) + TINY);
        solution += &step * &direction;
        residual -= &step * image;
        let preconditioned = &residual / &diagonal;
        let new = dot(&residual, &preconditioned);
        direction = preconditioned + (&new / (old + TINY)) * direction;
        old = new;
    }
    solution
}

/// Keeps divisions finite once the solution is found.
const TINY: f64 = 1e-20;

/// A channel's own, `[1, c, 1, 1]`.
fn dot(one: &Tensor, other: &Tensor) -> Tensor {
    (one * other).sum_dim_intlist([2, 3].as_slice(), true, Kind::Float)
}

impl Bonds {
    fn of(source: &Tensor) -> Self {
        let bond = |dim: i64| {
            let [red, green, blue] = channels(&step(source, dim).square());
            ((red + green + blue).sqrt() / -EDGE).exp() + LOOSEST
        };
        Self { down: bond(2), across: bond(3) }
    }

    /// Each cell's bonds together.
    fn sum(&self) -> Tensor {
        let ([above, below], [left, right]) = (beside(&self.down, 2), beside(&self.across, 3));
        above + below + left + right
    }

    /// How far each cell differs from its neighbours, by their bonds: the graph's Laplacian.
    fn apart(&self, maps: &Tensor) -> Tensor {
        let [above, below] = beside(&(step(maps, 2) * &self.down), 2);
        let [left, right] = beside(&(step(maps, 3) * &self.across), 3);
        above - below + left - right
    }
}

/// What lies between cells along `dim`, as each cell has it before and behind itself; 0 at the border.
fn beside(between: &Tensor, dim: i64) -> [Tensor; 2] {
    let pads = if dim == 3 { [[1, 0, 0, 0], [0, 1, 0, 0]] } else { [[0, 0, 1, 0], [0, 0, 0, 1]] };
    pads.map(|pad| between.constant_pad_nd(pad))
}

/// From each cell to the next one along `dim`.
fn step(maps: &Tensor, dim: i64) -> Tensor {
    let length = maps.size()[dim as usize] - 1;
    maps.narrow(dim, 1, length) - maps.narrow(dim, 0, length)
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
        let balance = &tone * (&sure + FADING) + Bonds::of(&source).apart(&tone) - &told;
        assert!(balance.abs().max().double_value(&[]) < 1e-3 * told.abs().max().double_value(&[]));
    }

    #[test]
    fn where_nobody_knows_anything_nothing_is_added() {
        let tone = spread(&uniform(4, &[1, 3, HEIGHT, WIDTH]), &zeros(3), &zeros(1));
        assert_eq!(tone, zeros(3));
    }
}

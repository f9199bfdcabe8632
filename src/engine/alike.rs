//! How much places look like each other, by their descriptions (see [`Known::describe`](super::known::Known::describe)).

use tch::{Kind, Tensor};

/// Squared distance of descriptions at which a place counts e times less.
const APART: f64 = 0.006;
/// Logarithm of the least likeness: less would be a denormal number, which a CPU takes ten times as long to multiply.
const FAINTEST: f64 = -60.0;

/// Every second cell each way: four neighbours look much the same.
pub fn thinned(maps: &Tensor) -> Tensor {
    maps.slice(2, 0, None, 2).slice(3, 0, None, 2)
}

/// How alike each of `own` rows is to each of `theirs`, 0..1, `[own, theirs]`: by squared distance, all of it in one
/// product.
pub fn likeness(own: &Tensor, theirs: &Tensor) -> Tensor {
    let length = |rows: &Tensor| rows.square().sum_dim_intlist([1].as_slice(), true, Kind::Float) / -APART;
    let one = |rows: &Tensor| rows.narrow(1, 0, 1).ones_like();
    let own = Tensor::cat(&[own * (2.0 / APART), length(own), one(own)], 1);
    let theirs = Tensor::cat(&[theirs.shallow_clone(), one(theirs), length(theirs)], 1);
    own.matmul(&theirs.transpose(0, 1)).clamp_min_(FAINTEST).exp_()
}

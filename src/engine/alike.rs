//! How much places look like each other, by their descriptions (see [`Known::describe`](super::known::Known::describe)).

use tch::{Kind, Tensor};

use super::known::rows;

/// Squared distance of descriptions at which a place counts e times less.
const APART: f64 = 0.006;
/// Logarithm of the least likeness: less would be a denormal number, which a CPU takes ten times as long to multiply.
const FAINTEST: f64 = -60.0;

/// Cells that are looked for at once, so that memory stays small.
const AT_ONCE: i64 = 1024;
/// Keeps a division finite where nothing looks alike.
const LEAST: f64 = 1e-20;

/// What a picture's places tell of others that look like them.
#[derive(Debug)]
pub struct Likes {
    /// What the places look like, `[places, features]`.
    descriptions: Tensor,
    /// What each tells, times how much it counts; and that, `[places, c + 1]`.
    told: Tensor,
}

impl Likes {
    /// Of every second cell each way: four neighbours look much the same.
    ///
    /// - `description`: `[1, features, h, w]`
    /// - `told`: what each cell tells, `[1, c, h, w]`
    /// - `counts`: how much it counts, `[1, 1, h, w]`, 0..1
    pub fn of(description: &Tensor, told: &Tensor, counts: &Tensor) -> Self {
        let thinned = |maps: &Tensor| rows(&maps.slice(2, 0, None, 2).slice(3, 0, None, 2));
        Self {
            descriptions: thinned(description),
            told: thinned(&Tensor::cat(&[told * counts, counts.shallow_clone()], 1)),
        }
    }

    /// The mean of what they tell of places that are described so, `[places, c]`, and how surely, `[places, 1]`, 0..1.
    ///
    /// - `descriptions`: `[places, features]`
    /// - `nothing`: how much any place must look alike, in the mean of all, so that the likes are half believed
    pub fn tell(&self, descriptions: &Tensor, nothing: f64) -> [Tensor; 2] {
        let ask = |some: &Tensor| likeness(some, &self.descriptions).matmul(&self.told);
        let sums = Tensor::cat(&descriptions.split(AT_ONCE, 0).iter().map(ask).collect::<Vec<_>>(), 0);
        let [places, last] = [self.told.size()[0], self.told.size()[1] - 1];
        let likes = sums.narrow(1, last, 1);
        [sums.narrow(1, 0, last) / (&likes + LEAST), &likes / (&likes + nothing * places as f64)]
    }
}

/// How alike each of `own` rows is to each of `theirs`, 0..1, `[own, theirs]`: by squared distance, all of it in one
/// product.
fn likeness(own: &Tensor, theirs: &Tensor) -> Tensor {
    let length = |rows: &Tensor| rows.square().sum_dim_intlist([1].as_slice(), true, Kind::Float) / -APART;
    let one = |rows: &Tensor| rows.narrow(1, 0, 1).ones_like();
    let own = Tensor::cat(&[own * (2.0 / APART), length(own), one(own)], 1);
    let theirs = Tensor::cat(&[theirs.shallow_clone(), one(theirs), length(theirs)], 1);
    own.matmul(&theirs.transpose(0, 1)).clamp_min_(FAINTEST).exp_()
}

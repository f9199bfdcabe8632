//! How far pictures are from their truth on the pixels that are judged.
//!
//! No figure is a score by itself: the mean difference rewards blur, low frequencies say nothing of texture, sharpness
//! is reached by noise, and the texture distance does not ask whether texture lies where it should.

use gstflowvid::conditions::filters::gaussian;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use tch::{Kind, Tensor};

use crate::metrics::{Mean, sharpness};

/// Sigma that leaves low frequencies, in pixels.
const LOW: f64 = 3.0;
/// Side of a patch whose texture is compared.
const PATCH: i64 = 7;
/// Directions that patches are projected on.
const DIRECTIONS: i64 = 128;
/// Most patches that are compared, spread evenly over all.
const PATCHES: i64 = 30_000;
const SEED: u64 = 7;
const U8_MAX: f64 = 255.0;

/// What is summed up of one row.
#[derive(Debug, Default)]
pub struct HoleMeter {
    error: Vec<Mean>,
    low: Vec<Mean>,
    sharp: Vec<Mean>,
    true_sharp: Vec<Mean>,
    patches: Vec<Tensor>,
    true_patches: Vec<Tensor>,
}

/// Of all pixels that were judged; `None` where there was none.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub pixels: f64,
    /// Mean absolute difference, 0..255.
    pub error: Option<f64>,
    /// The same, both pictures blurred with sigma 3.
    pub low: Option<f64>,
    /// Laplacian energy over the truth's.
    pub sharpness: Option<f64>,
    /// Sliced Wasserstein distance of the patches of 7x7 pixels, 0..255: along random unit vectors, the mean distance
    /// between values of the same rank.
    pub texture: Option<f64>,
}

impl HoleMeter {
    /// - `picture`, `truth`: `[1, 3, H, W]`, 0..1
    /// - `judged`: `[1, 1, H, W]`, true where a pixel counts
    pub fn add(&mut self, picture: &Tensor, truth: &Tensor, judged: &Tensor) {
        let difference = |a: &Tensor, b: &Tensor| {
            Mean::of(&((a - b).abs().mean_dim([1].as_slice(), true, Kind::Float) * U8_MAX), judged)
        };
        self.error.push(difference(picture, truth));
        self.low.push(difference(&gaussian(picture, LOW), &gaussian(truth, LOW)));
        self.sharp.push(Mean::of(&sharpness(picture), judged));
        self.true_sharp.push(Mean::of(&sharpness(truth), judged));
        self.patches.push(patches(picture, judged));
        self.true_patches.push(patches(truth, judged));
    }

    pub fn figures(&self) -> Figures {
        let pooled = |part: &[Mean]| part.iter().copied().sum::<Mean>();
        let error = pooled(&self.error);
        Figures {
            pixels: error.pixels,
            error: error.value(),
            low: pooled(&self.low).value(),
            sharpness: pooled(&self.sharp).over(pooled(&self.true_sharp)),
            texture: texture_distance(&self.patches, &self.true_patches),
        }
    }
}

/// The patches around the judged pixels that lie whole in the picture, `[n, 3 * 7 * 7]`, 0..255.
fn patches(picture: &Tensor, judged: &Tensor) -> Tensor {
    let [.., height, width] = judged.size()[..] else { unreachable!("a mask is 4-dimensional") };
    let rim = PATCH / 2;
    let inner = judged.narrow(2, rim, height - 2 * rim).narrow(3, rim, width - 2 * rim);
    let inner = inner.to_kind(Kind::Float).constant_pad_nd([rim; 4]);
    let middles = inner.flatten(0, -1).nonzero(); // [n, 1]
    let offsets: Vec<i64> =
        (-rim..=rim).flat_map(|down| (-rim..=rim).map(move |right| down * width + right)).collect();
    let places = (&middles + Tensor::from_slice(&offsets)).flatten(0, -1); // [n * 49]
    let pixels = picture.flatten(2, 3).squeeze_dim(0).index_select(1, &places); // [3, n * 49]
    pixels.view([3, -1, PATCH * PATCH]).permute([1, 0, 2]).flatten(1, 2) * U8_MAX
}

fn texture_distance(patches: &[Tensor], truth: &[Tensor]) -> Option<f64> {
    let pooled = |patches: &[Tensor]| {
        let all = Tensor::cat(patches, 0);
        let every = (all.size()[0] + PATCHES - 1) / PATCHES;
        all.slice(0, 0, None, every.max(1))
    };
    let (patches, truth) = (pooled(patches), pooled(truth));
    if patches.size()[0] == 0 {
        return None;
    }
    let directions = directions(patches.size()[1]);
    let ranked = |patches: &Tensor| patches.matmul(&directions).sort(0, false).0;
    Some((ranked(&patches) - ranked(&truth)).abs().mean(Kind::Double).double_value(&[]))
}

/// Random unit vectors, `[dimensions, DIRECTIONS]`, the same ones every time.
fn directions(dimensions: i64) -> Tensor {
    let random = ChaCha8Rng::seed_from_u64(SEED);
    let normal: Vec<f32> =
        StandardNormal.sample_iter(random).take((dimensions * DIRECTIONS) as usize).collect();
    let vectors = Tensor::from_slice(&normal).view([dimensions, DIRECTIONS]);
    &vectors / vectors.square().sum_dim_intlist([0].as_slice(), true, Kind::Float).sqrt()
}

//! The closed-form prior, corrected place by place. One regression serves a whole picture; a thing that is painted in colours of
//! its own, or a look that depends on what is shown, needs one for each place.
//!
//! What the prior leaves of the anchor's edit is explained, around each cell, by a linear function of source and prior that
//! the anchor's places that look alike tell together: attention whose values are the moments of a regression. Sources: Buades, Coll,
//! Morel, "A non-local algorithm for image denoising", for the weights; He, Sun, Tang, "Guided image filtering", for
//! the linear functions.

use tch::{Kind, Tensor};

use super::{
    alike::Likes,
    known::{Known, cells, rows},
};
use crate::conditions::filters::{halved, resize};

/// Of a place: source's and prior's colours; how much the edit differs from the prior.
const FEATURES: i64 = 6;
const CHANNELS: i64 = 3;
/// Added to the variance of each feature (0..1 squared), so that what is flat explains nothing.
const RIDGE: f64 = 3e-4;
/// How much any place must look alike, in the mean of all, so that the likes are half believed.
const NOTHING: f64 = 1e-6;
/// Variance (0..1 squared) of what the likes tell at which they are half believed: where one thing was painted in this colour
/// and another in that, nothing is told.
const AGREED: f64 = 2.5e-3;

/// What the anchor's places tell: means of features, differences, their products (see [`moments`]) and of the differences'
/// squares, as far as each place is known.
#[derive(Debug)]
pub struct Lesson(Likes);

impl Lesson {
    /// - `description`: the anchor's, see [`Known::describe`]
    pub fn of(anchor: &Known, description: &Tensor) -> Self {
        let moments = moments(anchor);
        let squares = moments.narrow(1, FEATURES, CHANNELS).square();
        Self(Likes::of(description, &Tensor::cat(&[moments, squares], 1), &cells(anchor.known)))
    }

    /// The prior's edit of a picture, corrected, `[1, 3, h, w]`, 0..1.
    ///
    /// - `description`: the picture's, see [`Known::describe`]
    /// - `closely`: the cells that are asked about one by one, flat; the others four at a time
    pub fn correct(&self, picture: &Known, description: &Tensor, closely: &Tensor) -> Tensor {
        let by_four = halved(description);
        let by_four = upsampled(&maps(&self.functions(&rows(&by_four)), &by_four), description);
        let each = self.functions(&rows(description).index_select(0, closely));
        let functions = maps(&rows(&by_four).index_copy(0, closely, &each), description);
        let functions = upsampled(&functions, picture.source);
        let features = features(picture);
        let of_channels = |first: i64| functions.narrow(1, first * CHANNELS, CHANNELS);
        let explained =
            |edit: Tensor, feature: i64| edit.addcmul(&of_channels(feature), &features.narrow(1, feature, 1));
        (0..FEATURES).fold(picture.prior + of_channels(FEATURES), explained).clamp(0.0, 1.0)
    }

    /// Slopes by feature and channel, and offsets, of places described so: `[places, 6 * 3 + 3]`; 0 where nothing is told.
    fn functions(&self, descriptions: &Tensor) -> Tensor {
        let [means, sure] = self.0.tell(descriptions, NOTHING);
        let mut at = 0;
        let mut next = |count: i64| {
            at += count;
            means.narrow(1, at - count, count)
        };
        let whole = places_of_pairs().to_device(means.device());
        let (features, differences) = (next(FEATURES), next(CHANNELS));
        let squares = next(pairs().len() as i64).index_select(1, &whole).view([-1, FEATURES, FEATURES]);
        let products = next(FEATURES * CHANNELS).view([-1, FEATURES, CHANNELS]);
        let spread = next(CHANNELS) - differences.square();
        let column = |values: &Tensor| values.unsqueeze(2);
        let row = |values: &Tensor| values.unsqueeze(1);
        let ridge = Tensor::eye(FEATURES, (Kind::Float, means.device())) * RIDGE;
        let own = squares - column(&features) * row(&features) + ridge;
        let shared = products - column(&features) * row(&differences);
        let slopes = Tensor::linalg_solve(&own, &shared, true); // [places, features, channels]
        let offsets = &differences - row(&features).matmul(&slopes).squeeze_dim(1);
        let spread = spread.clamp_min(0.0).sum_dim_intlist([1].as_slice(), true, Kind::Float);
        let believed = sure * (AGREED / (spread + AGREED));
        Tensor::cat(&[slopes.flatten(1, 2), offsets], 1) * believed
    }
}

/// From a row a place to `[1, c, h, w]`, of as many places as `like` has, and in this order in memory.
fn maps(rows: &Tensor, like: &Tensor) -> Tensor {
    rows.transpose(0, 1).contiguous().view([1, -1, like.size()[2], like.size()[3]])
}

/// To the size of `like`.
fn upsampled(maps: &Tensor, like: &Tensor) -> Tensor {
    resize(maps, (like.size()[2], like.size()[3]))
}

/// `[1, 6, h, w]`
fn features(picture: &Known) -> Tensor {
    Tensor::cat(&[picture.source, picture.prior], 1)
}

/// The means around each cell, of what is known, of features, differences, products of two features each (see [`pairs`]) and
/// products of a feature and a difference, by feature: `[1, 48, h / 4, w / 4]`.
fn moments(picture: &Known) -> Tensor {
    let features = features(picture);
    let feature = |at: i64| features.narrow(1, at, 1);
    let (known, difference) = (&features * picture.known, picture.unexplained());
    let squares = (0..FEATURES).map(|at| known.narrow(1, at, FEATURES - at) * feature(at));
    let products = (0..FEATURES).map(|at| &difference * feature(at));
    let weighted =
        [known.shallow_clone(), difference.shallow_clone()].into_iter().chain(squares).chain(products);
    picture.mean_around(&Tensor::cat(&weighted.map(|maps| cells(&maps)).collect::<Vec<_>>(), 1))
}

/// Of two features, each two once.
fn pairs() -> Vec<(i64, i64)> {
    (0..FEATURES).flat_map(|one| (one..FEATURES).map(move |other| (one, other))).collect()
}

/// Where in [`pairs`] each entry of the symmetric matrix stands, `[6 * 6]`.
fn places_of_pairs() -> Tensor {
    let pairs = pairs();
    let place = |one: i64, other: i64| {
        pairs.iter().position(|&pair| pair == (one.min(other), one.max(other))).expect("any two are a pair")
            as i64
    };
    let places = (0..FEATURES).flat_map(|one| (0..FEATURES).map(move |other| (one, other)));
    Tensor::from_slice(&places.map(|(one, other)| place(one, other)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{
        engine::known::{Appearance, CELL},
        torch::testing::uniform,
    };

    const HEIGHT: i64 = 96;
    const WIDTH: i64 = 160;

    fn everywhere() -> Tensor {
        Tensor::ones([1, 1, HEIGHT, WIDTH], (Kind::Float, Device::Cpu))
    }

    fn colour(rgb: [f32; 3]) -> Tensor {
        Tensor::from_slice(&rgb).view([1, 3, 1, 1])
    }

    /// Blue ground, and a thing of another colour from `left`, both with grain.
    fn scene(thing: [f32; 3], left: i64, seed: u64) -> Tensor {
        let picture = colour([0.2, 0.3, 0.7]).expand([1, 3, HEIGHT, WIDTH], false).contiguous();
        picture.narrow(3, left, 64).copy_(&colour(thing).expand([1, 3, HEIGHT, 64], false));
        picture + uniform(seed, &[1, 1, HEIGHT, WIDTH]) * 0.08
    }

    const THING: [f32; 3] = [0.7, 0.4, 0.3];

    /// The thing in `picture` with its colours swapped and its grain twice as strong.
    fn painted(picture: &Tensor, left: i64) -> Tensor {
        let edit = picture.copy();
        let thing = picture.narrow(3, left, 64);
        edit.narrow(3, left, 64).copy_(&((thing.roll([1], [1]) - 0.3) * 2.0));
        edit
    }

    /// What a prior that changes nothing becomes in `frame`.
    fn corrected(anchor: [&Tensor; 2], known: &Tensor, frame: &Tensor) -> Tensor {
        let described = |known: &Known| known.describe(&Appearance::of(known.source));
        let anchor = Known { source: anchor[0], prior: anchor[0], edit: anchor[1], known };
        let frame = Known { source: frame, prior: frame, edit: frame, known };
        let each = Tensor::arange(HEIGHT * WIDTH / CELL.pow(2), (Kind::Int64, Device::Cpu));
        Lesson::of(&anchor, &described(&anchor)).correct(&frame, &described(&frame), &each)
    }

    /// Mean difference over a thing's middle, beside that of `before`.
    fn share_left(found: &Tensor, truth: &Tensor, before: &Tensor, left: i64) -> f64 {
        let error = |picture: &Tensor| {
            let middle = |picture: &Tensor| picture.narrow(3, left + 16, 32);
            (middle(picture) - middle(truth)).abs().mean(Kind::Float).double_value(&[])
        };
        error(found) / error(before)
    }

    #[test]
    fn a_thing_is_painted_in_its_own_way_where_it_went_with_its_own_grain() {
        let (anchor, frame) = (scene(THING, 8, 1), scene(THING, 80, 2));
        let found = corrected([&anchor, &painted(&anchor, 8)], &everywhere(), &frame);
        let left = share_left(&found, &painted(&frame, 80), &frame, 80);
        assert!(left < 0.1, "{left}");
        let ground = (found - &frame).narrow(3, 8, 48).abs().mean(Kind::Float).double_value(&[]);
        assert!(ground < 0.003, "{ground}");
    }

    #[test]
    fn of_what_the_anchor_does_not_show_nothing_is_told() {
        let (anchor, frame) = (scene(THING, 8, 1), scene([0.1, 0.9, 0.2], 80, 2));
        let found = corrected([&anchor, &painted(&anchor, 8)], &everywhere(), &frame);
        let thing = |picture: &Tensor| picture.narrow(3, 96, 32);
        assert!((thing(&found) - thing(&frame)).abs().max().double_value(&[]) < 0.01);
        let nowhere = everywhere().zeros_like();
        let unknown = corrected([&anchor, &painted(&anchor, 8)], &nowhere, &scene(THING, 80, 2));
        assert!((unknown - scene(THING, 80, 2)).abs().max().double_value(&[]) < 1e-4);
    }

    #[test]
    fn where_likes_contradict_each_other_little_is_told() {
        let anchor = scene(THING, 8, 1);
        let edit = painted(&anchor, 8);
        // Half of the thing is painted, the other half is not.
        edit.narrow(2, 0, HEIGHT / 2).copy_(&anchor.narrow(2, 0, HEIGHT / 2));
        let frame = scene(THING, 80, 2);
        let agreed = corrected([&anchor, &painted(&anchor, 8)], &everywhere(), &frame);
        let torn = corrected([&anchor, &edit], &everywhere(), &frame);
        let change =
            |found: &Tensor| (found - &frame).narrow(3, 96, 32).abs().mean(Kind::Float).double_value(&[]);
        assert!(change(&torn) < 0.25 * change(&agreed), "{} of {}", change(&torn), change(&agreed));
    }
}

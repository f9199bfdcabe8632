//! Matching of features, globally and in a window.

use tch::{Kind, Tensor};

use crate::conditions::warp::target_coordinates;

/// The motion that a softmax over all places of the other frame expects, both ways.
///
/// - `first`, `second`: `[n, c, h, w]`
/// - returns `[2n, 2, h, w]`: first to second, then back
pub fn global_matching(first: &Tensor, second: &Tensor) -> Tensor {
    let [batch, channels, height, width] = first.size()[..] else {
        unreachable!("features are 4-dimensional")
    };
    let tokens = first.flatten(2, 3).transpose(1, 2); // [n, hw, c]
    let correlation = tokens.matmul(&second.flatten(2, 3)) / (channels as f64).sqrt(); // [n, hw, hw]
    let places = places(first); // [hw, 2]
    let expected = |scores: &Tensor| scores.softmax(-1, Kind::Float).matmul(&places);
    let targets = Tensor::cat(&[expected(&correlation), expected(&correlation.transpose(1, 2))], 0);
    let motion = targets - places; // [2n, hw, 2]
    motion.transpose(1, 2).contiguous().view([2 * batch, 2, height, width])
}

/// The motion that a softmax over a window of `radius` around each pixel expects.
///
/// - `first`, `second`: `[n, c, h, w]`
/// - returns `[n, 2, h, w]`
pub fn local_matching(first: &Tensor, second: &Tensor, radius: i64) -> Tensor {
    let [batch, channels, height, width] = first.size()[..] else {
        unreachable!("features are 4-dimensional")
    };
    let side = 2 * radius + 1;
    let padded = second.constant_pad_nd([radius, radius, radius, radius]);
    let inside = second.narrow(1, 0, 1).ones_like().constant_pad_nd([radius, radius, radius, radius]);
    let window =
        |maps: &Tensor, index: i64| maps.narrow(2, index / side, height).narrow(3, index % side, width);
    let score = |index: i64| {
        let score = (first * window(&padded, index)).sum_dim_intlist([1].as_slice(), true, Kind::Float);
        (score / (channels as f64).sqrt()).masked_fill(&window(&inside, index).eq(0.0), -1e9)
    };
    let scores: Vec<Tensor> = (0..side * side).map(score).collect();
    let share = Tensor::cat(&scores, 1).softmax(1, Kind::Float); // [n, side^2, h, w]
    let offsets = |along_x: bool| {
        let offset = |index: i64| if along_x { index % side - radius } else { index / side - radius };
        let offsets: Vec<f32> = (0..side * side).map(|index| offset(index) as f32).collect();
        Tensor::from_slice(&offsets).to_device(first.device()).view([1, -1, 1, 1])
    };
    let mean = |along_x: bool| (&share * offsets(along_x)).sum_dim_intlist([1].as_slice(), true, Kind::Float);
    Tensor::cat(&[mean(true), mean(false)], 1).view([batch, 2, height, width])
}

/// `[h * w, 2]`: each pixel's x and y.
fn places(features: &Tensor) -> Tensor {
    let still = features.narrow(0, 0, 1).narrow(1, 0, 2).zeros_like();
    target_coordinates(&still).flatten(2, 3).squeeze_dim(0).transpose(0, 1).contiguous()
}

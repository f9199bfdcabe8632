//! Whether an edited frame has its outlines where the source has them.

use tch::{Kind, Tensor};

use crate::conditions::canny::{Hysteresis, canny};

/// How far apart, in pixels, two edges are still the same.
const REACH: i64 = 2;
/// Below this share of edge pixels a picture has no outlines to compare.
const MIN_SHARE: f64 = 2e-3;

/// How well the outlines of `edit` and `source` agree, 0..1: the harmonic mean of the shares of each one's edges
/// that the other has too. 1 where one of them has none.
///
/// - `source`, `edit`: `[1, 3, H, W]`, 0..1
///
/// An edit that lies elsewhere is warped along motion that is not its own: FlowVid's first limitation (section 5.5).
pub fn edge_agreement(source: &Tensor, edit: &Tensor) -> f64 {
    let edges = [source, edit].map(|picture| canny(picture, Hysteresis::default()).narrow(1, 0, 1));
    if edges.iter().any(|edges| mean(edges) < MIN_SHARE) {
        return 1.0;
    }
    let [source, edit] = &edges;
    let shared = |own: &Tensor, other: &Tensor| mean(&(own * within_reach(other))) / mean(own);
    let (precision, recall) = (shared(edit, source), shared(source, edit));
    2.0 * precision * recall / (precision + recall).max(f64::MIN_POSITIVE)
}

fn within_reach(edges: &Tensor) -> Tensor {
    let side = 2 * REACH + 1;
    edges.max_pool2d([side; 2], [1; 2], [REACH; 2], [1; 2], false)
}

fn mean(tensor: &Tensor) -> f64 {
    tensor.mean(Kind::Float).double_value(&[])
}

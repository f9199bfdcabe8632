//! Canny edges, equal to OpenCV's `Canny` (3x3 Sobel, L1 gradient) on the grey picture.

use tch::{Kind, Tensor};

/// Gradient magnitudes (grey 0..255, Sobel's sum of weights 8) above which a pixel may be, or is, an edge.
#[derive(Debug, Clone, Copy)]
pub struct Hysteresis {
    /// Edge if it touches one.
    pub low: i64,
    /// Edge.
    pub high: i64,
}

impl Default for Hysteresis {
    /// Rerender-A-Video's defaults.
    fn default() -> Self {
        Self { low: 100, high: 200 }
    }
}

/// tan(22.5 degrees) in units of 2^-15, as OpenCV rounds it.
const TAN_22: i64 = 13573;
const SHIFT: i64 = 1 << 15;

/// The edges of `image`, as a condition picture.
///
/// - `image`: `[n, 3, H, W]`, 0..1
/// - returns `[n, 3, H, W]`, 0 or 1, three equal channels
///
/// Source: Canny 1986 in OpenCV's integer arithmetic.
pub fn canny(image: &Tensor, thresholds: Hysteresis) -> Tensor {
    let grey = grey(image);
    let (x, y) = sobel(&grey);
    let magnitude = x.abs() + y.abs();
    let ridge = ridges(&x, &y, &magnitude);
    let candidates = ridge.logical_and(&magnitude.gt(thresholds.low));
    let edges = connected(&candidates, &candidates.logical_and(&magnitude.gt(thresholds.high)));
    edges.to_kind(Kind::Float).expand([-1, 3, -1, -1], false).contiguous()
}

/// OpenCV's fixed-point grey of 8-bit RGB, `[n, 1, H, W]`, `Int`, 0..=255.
fn grey(image: &Tensor) -> Tensor {
    let rgb = (image * 255.0).round().to_kind(Kind::Int);
    let channel = |index: i64| rgb.narrow(1, index, 1);
    (channel(0) * 9798 + channel(1) * 19235 + channel(2) * 3735 + 16384).bitwise_right_shift_tensor_scalar(15)
}

fn sobel(grey: &Tensor) -> (Tensor, Tensor) {
    let padded = grey.to_kind(Kind::Float).replication_pad2d([1, 1, 1, 1]).to_kind(Kind::Int);
    let at = neighbours(&padded, grey);
    let x = (at(0, 2) - at(0, 0)) + (at(1, 2) - at(1, 0)) * 2 + (at(2, 2) - at(2, 0));
    let y = (at(2, 0) - at(0, 0)) + (at(2, 1) - at(0, 1)) * 2 + (at(2, 2) - at(0, 2));
    (x, y)
}

/// Pixels whose magnitude is largest across the edge, of two equal ones the second.
fn ridges(x: &Tensor, y: &Tensor, magnitude: &Tensor) -> Tensor {
    let padded = magnitude.constant_pad_nd([1, 1, 1, 1]);
    let at = neighbours(&padded, magnitude);
    let (across, along) = (x.abs() * TAN_22, y.abs() * SHIFT);
    let horizontal = along.lt_tensor(&across);
    let vertical = along.gt_tensor(&(&across + x.abs() * (2 * SHIFT)));
    let between = |before: Tensor, after: Tensor| {
        magnitude.gt_tensor(&before).logical_and(&magnitude.ge_tensor(&after))
    };
    let strictly = |before: Tensor, after: Tensor| {
        magnitude.gt_tensor(&before).logical_and(&magnitude.gt_tensor(&after))
    };
    let falling = (x * y).ge(0);
    let diagonal = strictly(at(0, 0), at(2, 2)).where_self(&falling, &strictly(at(0, 2), at(2, 0)));
    let upright = between(at(0, 1), at(2, 1)).where_self(&vertical, &diagonal);
    between(at(1, 0), at(1, 2)).where_self(&horizontal, &upright)
}

/// The candidates that touch a strong one, directly or through others: found on the host, pixel by pixel, where the
/// longest chain costs no more than the shortest.
fn connected(candidates: &Tensor, strong: &Tensor) -> Tensor {
    let size = candidates.size();
    let [.., height, width] = size[..] else { unreachable!("an image is 4-dimensional") };
    let (height, width) = (height as usize, width as usize);
    let mut open: Vec<bool> = on_host(candidates);
    let mut edges = vec![0u8; open.len()];
    let mut reached: Vec<usize> =
        on_host(strong).iter().enumerate().filter_map(|(at, &is)| is.then_some(at)).collect();
    reached.iter().for_each(|&at| open[at] = false);
    while let Some(at) = reached.pop() {
        edges[at] = 1;
        let (row, column) = (at / width % height, at % width);
        for next in touching(at, (row, column), (height, width)) {
            if std::mem::take(&mut open[next]) {
                reached.push(next);
            }
        }
    }
    Tensor::from_slice(&edges).view(size.as_slice()).to_device(candidates.device())
}

fn on_host(mask: &Tensor) -> Vec<bool> {
    Vec::try_from(mask.contiguous().flatten(0, -1)).expect("a flat mask")
}

/// The up to eight neighbours of a pixel, flat, within its own picture.
fn touching(
    at: usize,
    (row, column): (usize, usize),
    (height, width): (usize, usize),
) -> impl Iterator<Item = usize> {
    let near = |place: usize, length: usize| place.saturating_sub(1)..(place + 2).min(length);
    let picture = at - row * width - column;
    near(row, height)
        .flat_map(move |row| near(column, width).map(move |column| picture + row * width + column))
}

/// Views of `padded` (one pixel more on each side than `inner`), moved by (row, column) 0..=2.
fn neighbours<'a>(padded: &'a Tensor, inner: &Tensor) -> impl Fn(i64, i64) -> Tensor + 'a {
    let [.., height, width] = inner.size()[..] else { unreachable!("an image is 4-dimensional") };
    move |row, column| padded.narrow(2, row, height).narrow(3, column, width)
}

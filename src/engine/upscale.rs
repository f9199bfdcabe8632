//! From the processing size to the picture's own, guided by the source.
//!
//! Around each pixel the edit is taken as a linear function of the source's colours. The function is
//! fitted at the processing size and applied to the source at full size, so edges that the edit shares
//! with the source come out as sharp as the source's; what the function does not explain (strokes,
//! paper, glow) is enlarged smoothly and added.

use tch::Tensor;

/// Radius of the window in which one linear function holds, in pixels of the processing size.
const RADIUS: i64 = 2;
/// Variance (0..1 squared) below which a window counts as flat and its slope goes to zero.
const FLAT: f64 = 4e-4;

/// Enlarges `edit` to the size of `source`.
///
/// - `edit`, `guide`: `[1, 3, h, w]`, 0..1, the edit and `source` at its size; without a guide the edit is
///   enlarged smoothly
/// - `source`: `[1, 3, H, W]`, 0..1
/// - returns `[1, 3, H, W]`, 0..1
///
/// Source: He, Sun, Tang, "Guided image filtering" (colour guide) and "Fast guided filter".
pub fn upscale(edit: &Tensor, guide: Option<&Tensor>, source: &Tensor) -> Tensor {
    let [.., height, width] = source.size()[..] else { unreachable!("an image has a height and a width") };
    if edit.size() == source.size() {
        return edit.shallow_clone();
    }
    let smooth = |maps: &Tensor| maps.upsample_bicubic2d([height, width], false, None, None);
    let Some(guide) = guide else { return smooth(edit).clamp(0.0, 1.0) };
    let (slope, offset) = fit(guide, edit);
    let residual = smooth(&(edit - apply(&slope, &offset, guide)));
    let enlarge = |maps: &Tensor| maps.upsample_bilinear2d([height, width], false, None, None);
    let detailed = apply(&enlarge(&slope), &enlarge(&offset), source);
    (detailed + residual).clamp(0.0, 1.0)
}

/// The linear functions: slope `[3, 3, h, w]` (edit channel, source channel) and offset `[1, 3, h, w]`.
fn fit(source: &Tensor, edit: &Tensor) -> (Tensor, Tensor) {
    let (source_mean, edit_mean) = (mean(source), mean(edit));
    // [1, 3, 1, h, w] * [1, 1, 3, h, w] -> every product of two channels
    let products = |a: &Tensor, b: &Tensor| (a.unsqueeze(2) * b.unsqueeze(1)).squeeze_dim(0);
    let covariance = |a: &Tensor, b: &Tensor, a_mean: &Tensor, b_mean: &Tensor| {
        mean(&products(a, b)) - products(a_mean, b_mean)
    };
    let guide = covariance(source, source, &source_mean, &source_mean); // [3, 3, h, w]
    let cross = covariance(edit, source, &edit_mean, &source_mean); // [3 edit, 3 source, h, w]
    let slope = multiply(&cross, &inverse(&guide));
    let offset = &edit_mean - apply(&slope, &edit_mean.zeros_like(), &source_mean);
    (mean(&slope), mean(&offset))
}

/// Mean of the window around each pixel, over the part of it that lies inside.
fn mean(maps: &Tensor) -> Tensor {
    let side = 2 * RADIUS + 1;
    maps.avg_pool2d([side, side], [1, 1], [RADIUS, RADIUS], false, false, None)
}

/// `slope * source + offset`, `[1, 3, H, W]`.
fn apply(slope: &Tensor, offset: &Tensor, source: &Tensor) -> Tensor {
    (slope * source).sum_dim_intlist([1].as_slice(), false, None).unsqueeze(0) + offset
}

/// Product of 3x3 matrices at each pixel: `[3, 3, h, w]` each.
fn multiply(a: &Tensor, b: &Tensor) -> Tensor {
    (a.unsqueeze(2) * b.unsqueeze(0)).sum_dim_intlist([1].as_slice(), false, None)
}

/// Inverse of the symmetric 3x3 matrix at each pixel, after [`FLAT`] is added to its diagonal.
fn inverse(matrix: &Tensor) -> Tensor {
    let at = |row: i64, column: i64| {
        let entry = matrix.select(0, row).select(0, column);
        if row == column { entry + FLAT } else { entry }
    };
    let [xx, xy, xz, yy, yz, zz] = [at(0, 0), at(0, 1), at(0, 2), at(1, 1), at(1, 2), at(2, 2)];
    let [cxx, cxy, cxz] = [&yy * &zz - &yz * &yz, &xz * &yz - &xy * &zz, &xy * &yz - &xz * &yy];
    let [cyy, cyz, czz] = [&xx * &zz - &xz * &xz, &xy * &xz - &xx * &yz, &xx * &yy - &xy * &xy];
    let determinant = &xx * &cxx + &xy * &cxy + &xz * &cxz;
    let rows = [[&cxx, &cxy, &cxz], [&cxy, &cyy, &cyz], [&cxz, &cyz, &czz]];
    Tensor::stack(&rows.map(|row| Tensor::stack(&row, 0)), 0) / determinant
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::conditions::filters::resize;
    use crate::torch::testing::uniform;

    fn texture(height: i64, width: i64) -> Tensor {
        let coarse = uniform(7, &[1, 3, height / 8, width / 8]);
        coarse.upsample_nearest2d([height, width], None, None)
    }

    #[test]
    fn the_inverse_is_one() {
        let shape = [3, 3, 4, 5];
        let half = uniform(8, &shape).to_kind(Kind::Double);
        let diagonal = Tensor::eye(3, (Kind::Double, Device::Cpu)).view([3, 3, 1, 1]);
        let symmetric = multiply(&half, &half.transpose(0, 1)) + &diagonal * 0.1;
        let product = multiply(&(&symmetric + &diagonal * FLAT), &inverse(&symmetric));
        assert!((product - diagonal).abs().max().double_value(&[]) < 1e-9);
    }

    #[test]
    fn a_linear_edit_keeps_the_sources_edges_and_bicubic_does_not() {
        let source = texture(192, 320);
        let edit = |picture: &Tensor| 0.8 - picture * 0.5;
        let small = resize(&source, (96, 160));
        let truth = edit(&source);
        let error = |result: &Tensor| (result - &truth).abs().mean(Kind::Float).double_value(&[]);
        let guided = error(&upscale(&edit(&small), Some(&small), &source));
        let bicubic = error(&upscale(&edit(&small), None, &source));
        assert!(guided < 0.4 * bicubic, "guided {guided}, bicubic {bicubic}");
    }

    #[test]
    fn the_same_size_comes_back_unchanged() {
        let picture = texture(64, 64);
        assert!(upscale(&picture, Some(&picture), &picture).equal(&picture));
    }
}

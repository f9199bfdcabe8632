//! Looks that paint.

use tch::Tensor;

use super::tools::*;
use crate::conditions::filters::luma;

/// Thick paint: flat strokes along the forms, that catch the light.
pub fn oil(frames: &Tensor) -> Tensor {
    let direction = tangent(&luma(frames), 3.0);
    let flat = flattened(frames, 5.0);
    // The source's own grain, drawn out along the form, is what the bristles leave.
    let bristles = stroked(&(luma(frames) - blur(&luma(frames), 1.5)), &direction, 6.0);
    let paint = contrast(&saturated(&stroked(&flat, &direction, 4.0), 1.35), 1.1);
    let height = luma(&paint) * 0.5 + &bristles * 3.0;
    let (x, y, _) = slope(&height, 0.6);
    paint + bristles * 0.9 - (x + y) * 0.35
}

/// Thin washes with darker rims, paper shining through.
pub fn watercolour(frames: &Tensor) -> Tensor {
    let wash = flattened(&flattened(frames, 5.0), 3.0);
    let grey = luma(&wash);
    let thin = saturated(&wash, 1.5).clamp(0.0, 1.0).pow_tensor_scalar(0.75) * 0.82 + 0.18;
    let (_, _, edge) = slope(&grey, 1.2);
    let rim = smoothstep(&edge, 0.01, 0.12) * 0.32;
    let pooled = (blur(&grey, 5.0) - &grey) * 0.5; // pigment gathers where it is darker than around
    let granules = (luma(frames) - blur(&luma(frames), 1.2)) * 0.6;
    thin * (1.0 - rim) - pooled.clamp(-0.1, 0.1) + granules
}

/// Chalk: light, soft colours in short strokes.
pub fn pastel(frames: &Tensor) -> Tensor {
    let direction = tangent(&luma(frames), 4.0);
    let detail = luma(frames) - blur(&luma(frames), 1.0);
    let chalk = stroked(&detail, &direction, 4.0);
    let soft = stroked(&flattened(frames, 3.0), &direction, 3.0);
    let light = saturated(&soft, 1.25).clamp(0.0, 1.0).pow_tensor_scalar(0.62) * 0.72 + 0.27;
    light + chalk * 2.2
}

/// Modelling clay: smooth lumps under a lamp.
pub fn clay(frames: &Tensor) -> Tensor {
    let flat = saturated(&flattened(frames, 6.0), 1.25);
    let (x, y, _) = slope(&luma(&flat), 1.6);
    let lit = (x + y) * -2.6;
    let shine = smoothstep(&lit, 0.12, 0.5) * 0.35;
    flat * 0.82 + 0.09 + lit.clamp(-0.3, 0.25) + shine
}

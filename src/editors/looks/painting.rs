//! Looks that paint.

use tch::Tensor;

use super::tools::*;
use crate::conditions::filters::luma;

/// Thick paint: flat strokes along the forms, that catch the light.
pub fn oil(frames: &Tensor) -> Tensor {
    let direction = tangent(&luma(frames), 3.0);
    let flat = flattened(frames, 3.5);
    // The source's own grain, drawn out along the form, is what the bristles leave.
    let bristles = stroked(&(luma(frames) - blur(&luma(frames), 1.5)), &direction, 6.0);
    let paint = contrast(&saturated(&stroked(&flat, &direction, 4.0), 1.4), 1.12);
    let height = luma(&paint) * 0.5 + &bristles * 4.0;
    let (x, y, _) = slope(&height, 0.6);
    &paint + bristles * 1.3 - (x + y) * 0.5 + accents(frames, &paint) * 0.6
}

/// Thin washes with darker rims, paper shining through.
pub fn watercolour(frames: &Tensor) -> Tensor {
    let direction = tangent(&luma(frames), 3.0);
    let wash = stroked(&flattened(frames, 2.8), &direction, 3.5);
    let grey = luma(&wash);
    // Wet in wet: colours bleed further than tones.
    let bled = (&grey + blur(&(&wash - &grey), 2.0) * 1.15).clamp(0.0, 1.0);
    // Pigment is thin: the paper shows through, most in the lights.
    let pigment = (bled * -1.0 + 1.0).pow_tensor_scalar(1.8) * 0.80;
    let thin = rgb(frames, [1.0, 0.985, 0.955]) * (1.0 - pigment);
    let (_, _, edge) = slope(&grey, 0.9);
    let rim = smoothstep(&edge, 0.015, 0.09) * 0.25;
    let pooled = (blur(&grey, 6.0) - &grey).clamp(-0.12, 0.12) * 0.6; // pigment gathers in the darker places
    let granules = (luma(frames) - blur(&luma(frames), 1.2)) * 0.6;
    let painted = thin * (1.0 - rim) - pooled + granules + accents(frames, &wash) * 0.7;
    // The drawing under the paint, in sepia.
    let drawn: Tensor = (1.0 - lines(&luma(frames), 1.1, 0.009)) * 0.6;
    mix(&painted, &rgb(frames, [0.34, 0.25, 0.20]), &drawn)
}

/// Chalk: light, soft colours in short strokes.
pub fn pastel(frames: &Tensor) -> Tensor {
    let direction = tangent(&luma(frames), 4.0);
    let detail = luma(frames) - blur(&luma(frames), 1.0);
    let chalk = stroked(&detail, &direction, 4.0);
    let soft = stroked(&flattened(frames, 3.0), &direction, 3.0);
    let light = saturated(&soft, 1.1).clamp(0.0, 1.0).pow_tensor_scalar(0.7) * 0.62;
    // Chalk on toned paper: the paper tints everything a little, and shows in the strokes' gaps.
    light + rgb(frames, [0.36, 0.31, 0.33]) + chalk * 2.8
}

/// Modelling clay: smooth lumps under a lamp, with the marks of the fingers that shaped them.
pub fn clay(frames: &Tensor) -> Tensor {
    let direction = tangent(&luma(frames), 2.5);
    let flat = saturated(&stroked(&flattened(frames, 3.0), &direction, 3.0), 1.35);
    let marks = stroked(&(luma(frames) - blur(&luma(frames), 2.0)), &direction, 3.0);
    let (x, y, _) = slope(&(blur(&luma(&flat), 0.8) + marks * 0.8), 1.0);
    let lit = (x + y) * -3.2;
    let shine = smoothstep(&lit, 0.10, 0.45) * 0.35;
    &flat * 0.82 + 0.10 + lit.clamp(-0.32, 0.22) + shine + accents(frames, &flat) * 0.6
}

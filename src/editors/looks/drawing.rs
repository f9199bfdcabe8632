//! Looks that draw: mostly lines, on paper.

use tch::Tensor;

use super::tools::*;
use crate::conditions::filters::luma;

/// Graphite on white paper: lines at two scales, and a little of the tone.
pub fn pencil(frames: &Tensor) -> Tensor {
    let grey = luma(frames);
    let direction = tangent(&grey, 1.5);
    let fine = against_surroundings(&grey, 1.2).pow_tensor_scalar(3.0);
    let broad = against_surroundings(&grey, 4.0).pow_tensor_scalar(2.2);
    let drawn = stroked(&(fine * 0.5 + broad * 0.5), &direction, 1.4);
    let tone = smoothstep(&stroked(&blur(&grey, 0.8), &direction, 3.0), -0.12, 0.6);
    let shade = contrast(&(drawn * (tone * 0.6 + 0.4)), 1.15) - 0.02;
    toned(&shade.clamp(0.0, 1.0), &[(0.0, [0.12, 0.12, 0.14]), (1.0, [0.985, 0.978, 0.955])])
}

/// Soft black on warm grey paper.
pub fn charcoal(frames: &Tensor) -> Tensor {
    let grey = luma(frames);
    let smudged = stroked(&grey, &tangent(&grey, 3.0), 4.0);
    let drawn = against_surroundings(&smudged, 5.0).pow_tensor_scalar(4.0);
    let tone = smoothstep(&blur(&smudged, 1.2), 0.02, 0.72);
    let shade = drawn * (tone * 0.85 + 0.15);
    toned(&shade, &[(0.0, [0.05, 0.05, 0.055]), (0.5, [0.42, 0.41, 0.39]), (1.0, [0.86, 0.84, 0.79])])
}

/// Brush and ink: black, white, and nothing between.
pub fn ink(frames: &Tensor) -> Tensor {
    let grey = stroked(&luma(frames), &tangent(&luma(frames), 2.0), 2.5);
    let sharpened = blur(&grey, 0.8) * 9.0 - blur(&grey, 1.4) * 8.0;
    let paper = smoothstep(&sharpened, 0.17, 0.45);
    toned(&paper, &[(0.0, [0.06, 0.055, 0.07]), (1.0, [0.97, 0.955, 0.92])])
}

/// White lines on a draughtsman's blue.
pub fn blueprint(frames: &Tensor) -> Tensor {
    let grey = luma(frames);
    let drawn: Tensor = 1.0 - lines(&grey, 1.1, 0.008);
    let (_, _, edge) = slope(&grey, 0.8);
    let line = (drawn * 0.7 + smoothstep(&edge, 0.015, 0.09) * 0.6).clamp(0.0, 1.0);
    let ground = toned(&blur(&grey, 1.0), &[(0.0, [0.02, 0.10, 0.33]), (1.0, [0.12, 0.36, 0.70])]);
    mix(&ground, &rgb(frames, [0.90, 0.96, 1.0]), &line)
}

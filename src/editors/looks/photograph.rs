//! Looks of a camera, its film and its paper.

use tch::Tensor;

use super::tools::*;
use crate::conditions::filters::{channels, luma};

/// A faded sepia print.
pub fn vintage(frames: &Tensor) -> Tensor {
    let soft = luma(frames) * 0.75
        + blur(&luma(frames), 1.2) * 0.25
        + glow(frames, 0.6, 8.0).mean_dim([1].as_slice(), true, None) * 0.12;
    toned(
        &(soft * vignette(frames, 0.55)),
        &[(0.0, [0.17, 0.10, 0.06]), (0.45, [0.56, 0.42, 0.28]), (1.0, [0.99, 0.91, 0.74])],
    )
}

/// Black and white film of hard light.
pub fn noir(frames: &Tensor) -> Tensor {
    let [red, green, blue] = channels(frames);
    let grey = red * 0.55 + green * 0.4 + blue * 0.05; // an orange filter
    let hard = smoothstep(&grey, 0.04, 0.82) * vignette(frames, 0.3);
    let bloom = blur(&smoothstep(&hard, 0.6, 1.0), 7.0) * 0.22;
    (hard + bloom).clamp(0.0, 1.0).expand_as(frames)
}

/// Prussian blue on white paper.
pub fn cyanotype(frames: &Tensor) -> Tensor {
    let tones = contrast(&luma(frames), 1.2).clamp(0.0, 1.0);
    toned(
        &tones,
        &[
            (0.0, [0.02, 0.08, 0.22]),
            (0.35, [0.06, 0.26, 0.48]),
            (0.7, [0.45, 0.66, 0.78]),
            (1.0, [0.95, 0.97, 0.94]),
        ],
    )
}

/// A camera that sees heat: smooth, for it sees little detail.
pub fn thermal(frames: &Tensor) -> Tensor {
    let heat = contrast(&blur(&luma(&flattened(frames, 2.5)), 1.2), 1.25).clamp(0.0, 1.0);
    toned(
        &heat,
        &[
            (0.0, [0.01, 0.0, 0.12]),
            (0.2, [0.28, 0.02, 0.5]),
            (0.42, [0.80, 0.10, 0.42]),
            (0.62, [0.98, 0.45, 0.10]),
            (0.82, [1.0, 0.86, 0.25]),
            (1.0, [1.0, 1.0, 0.9]),
        ],
    )
}

/// Colour infrared film: each colour is drawn as the one above it, infrared as red. Leaves, which throw it back, turn to blossom;
/// skies, which do not, to teal.
pub fn infrared(frames: &Tensor) -> Tensor {
    let grey = luma(frames);
    let leaves = blur(&greenness(frames), 0.8);
    let blossom = toned(
        &(&grey * 1.25).clamp(0.0, 1.0),
        &[(0.0, [0.22, 0.02, 0.14]), (0.5, [0.86, 0.28, 0.50]), (1.0, [1.0, 0.84, 0.90])],
    );
    let [red, green, blue] = channels(frames);
    let sky = (&blue - &red).clamp(0.0, 1.0);
    let heat = &grey * 1.12 + (&red - &grey) * 0.4 - sky * 1.6 + 0.03;
    let rest = contrast(&Tensor::cat(&[heat, &red * 0.55 + &green * 0.4, green * 0.6 + blue * 0.5], 1), 1.15);
    mix(&rest, &blossom, &leaves) + glow(frames, 0.55, 6.0) * rgb(frames, [0.22, 0.14, 0.17])
}

/// Soft focus and light that spills.
pub fn dream(frames: &Tensor) -> Tensor {
    let veil = saturated(&blur(frames, 5.0), 1.4).clamp(0.0, 1.0);
    let screened = 1.0 - (1.0 - frames) * (1.0 - veil * 0.85);
    let rose = toned(
        &luma(&screened),
        &[(0.0, [0.30, 0.10, 0.42]), (0.5, [0.96, 0.62, 0.78]), (1.0, [1.0, 0.96, 0.92])],
    );
    saturated(&screened, 1.1) * 0.66 + rose * 0.36
}

//! Looks that print: flat colours and outlines.

use tch::Tensor;

use super::tools::*;
use crate::conditions::filters::luma;

/// Drawn animation: few tones, strong colours, thin dark outlines.
pub fn cartoon(frames: &Tensor) -> Tensor {
    let flat = flattened(&flattened(frames, 4.0), 3.0);
    let tones = luma(&flat);
    let few = stepped(&tones.clamp(0.0, 1.0), 6.0, 0.35);
    let cel = saturated(&(flat * ((few + 0.06) / (tones + 0.06))), 1.5) * 1.06 + 0.02;
    let ink = lines(&luma(frames), 1.2, 0.016);
    cel.clamp(0.0, 1.0) * (ink * 0.88 + 0.12)
}

/// A four-colour poster: navy, red, pale blue, cream.
pub fn poster(frames: &Tensor) -> Tensor {
    let flat = flattened(&flattened(frames, 5.0), 3.0);
    let tones = blur(&luma(&flat), 0.5);
    let colours = [[0.05, 0.17, 0.30], [0.83, 0.15, 0.17], [0.46, 0.66, 0.70], [0.98, 0.91, 0.70]];
    let limits = [0.24, 0.44, 0.64];
    limits.iter().zip(&colours[1..]).fold(
        rgb(frames, colours[0]) + frames.zeros_like(),
        |poster, (limit, colour)| {
            mix(&poster, &rgb(frames, *colour), &smoothstep(&tones, limit - 0.02, limit + 0.02))
        },
    )
}

/// Comic print: bold ink over bright primaries, shadows in solid black.
pub fn comic(frames: &Tensor) -> Tensor {
    let flat = flattened(&flattened(frames, 4.0), 3.0);
    let bright = saturated(&contrast(&flat, 1.25), 1.9).clamp(0.0, 1.0);
    let printed = stepped(&bright, 4.0, 0.4) * 0.94 + 0.06;
    let grey = luma(frames);
    let shadow = smoothstep(&blur(&grey, 0.8), 0.12, 0.2);
    let ink = lines(&grey, 1.6, 0.014).minimum(&shadow);
    printed * ink
}

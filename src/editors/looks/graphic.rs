//! Looks that print: flat colours and outlines.

use tch::Tensor;

use super::tools::*;
use crate::conditions::filters::luma;

/// Drawn animation: few tones, strong colours, thin dark outlines.
pub fn cartoon(frames: &Tensor) -> Tensor {
    let direction = tangent(&luma(frames), 2.5);
    let flat = stroked(&flattened(frames, 2.5), &direction, 4.0);
    let tones = luma(&flat);
    let few = stepped(&tones.clamp(0.0, 1.0), 6.0, 0.3);
    let cel = saturated(&(flat * ((few + 0.08) / (tones + 0.06))), 1.6) * 1.08 + 0.03;
    let ink = lines(&luma(frames), 1.5, 0.013);
    cel.clamp(0.0, 1.0) * (ink * 0.9 + 0.1)
}

/// A four-colour poster, as cut from paper: navy, red, pale blue, cream, and a drawing in navy.
pub fn poster(frames: &Tensor) -> Tensor {
    let simple = flattened(&flattened(frames, 3.0), 4.0);
    let flat = luma(&stroked(&simple, &tangent(&luma(&simple), 3.0), 5.0));
    // Against the surroundings, so that every part of the picture has its darks and lights.
    let tones = &flat * 0.9 + (&flat - blur(&flat, 24.0)) * 0.35 + 0.04;
    let colours = [[0.05, 0.17, 0.30], [0.83, 0.15, 0.17], [0.46, 0.66, 0.70], [0.98, 0.91, 0.70]];
    let limits = [0.17, 0.33, 0.52];
    let ground = rgb(frames, colours[0]) + frames.zeros_like();
    let printed = limits.iter().zip(&colours[1..]).fold(ground, |poster, (limit, colour)| {
        mix(&poster, &rgb(frames, *colour), &smoothstep(&tones, limit - 0.012, limit + 0.012))
    });
    mix(&rgb(frames, colours[0]), &printed, &lines(&luma(frames), 1.5, 0.01))
}

/// Comic print: bold ink over bright primaries, shadows in solid black.
pub fn comic(frames: &Tensor) -> Tensor {
    let direction = tangent(&luma(frames), 2.5);
    let flat = stroked(&flattened(frames, 2.5), &direction, 4.0);
    let tones = luma(&flat).clamp(0.0, 1.0);
    let few = stepped(&tones.sqrt(), 4.0, 0.2);
    let printed = saturated(&(flat * ((few + 0.12) / (&tones + 0.10))), 1.7).clamp(0.0, 1.0);
    let grey = luma(frames);
    let shadow = stroked(&blur(&grey, 0.6), &direction, 3.0);
    let solid = smoothstep(&shadow, 0.09, 0.15);
    let ink = lines(&grey, 2.0, 0.016).minimum(&solid);
    printed * rgb(frames, [1.0, 0.98, 0.88]) * (ink * 0.95 + 0.05)
}

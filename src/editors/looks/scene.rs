//! Looks that change the light and the season of what is seen.

use tch::Tensor;

use super::tools::*;
use crate::conditions::filters::luma;

/// Snow on leaves and grass, cold light.
pub fn winter(frames: &Tensor) -> Tensor {
    let grey = luma(frames);
    let snow = toned(
        &(&grey * 1.5).clamp(0.0, 1.0),
        &[(0.0, [0.36, 0.43, 0.55]), (0.5, [0.78, 0.84, 0.92]), (1.0, [0.98, 0.99, 1.0])],
    );
    // What lies flat and looks up is lit from above: snow gathers there, on whatever it is.
    let (_, down, _) = slope(&grey, 1.2);
    let ledges = smoothstep(&(-down), 0.015, 0.07) * 0.55;
    let cold = saturated(frames, 0.5) * rgb(frames, [0.92, 1.0, 1.14]) + 0.06;
    let cold = &cold + ledges * (rgb(frames, [0.95, 0.98, 1.0]) - &cold);
    mix(&cold, &snow, &blur(&greenness(frames), 1.0))
}

/// Leaves in gold and red.
pub fn autumn(frames: &Tensor) -> Tensor {
    let grey = luma(frames);
    let leaves = toned(
        &(&grey * 1.2).clamp(0.0, 1.0),
        &[
            (0.0, [0.16, 0.03, 0.01]),
            (0.35, [0.66, 0.16, 0.03]),
            (0.65, [0.93, 0.52, 0.08]),
            (1.0, [1.0, 0.90, 0.55]),
        ],
    );
    let gold =
        toned(&grey, &[(0.0, [0.08, 0.03, 0.02]), (0.5, [0.66, 0.42, 0.22]), (1.0, [1.0, 0.92, 0.72])]);
    let warm = frames * rgb(frames, [1.10, 0.98, 0.80]) * 0.68 + gold * 0.34;
    mix(&warm, &leaves, &blur(&greenness(frames), 0.8))
}

/// The last light: gold in the lights, violet in the shadows.
pub fn sunset(frames: &Tensor) -> Tensor {
    let grey = contrast(&luma(frames), 1.15).clamp(0.0, 1.0);
    let sky = 1.0 - depth_of_page(frames);
    let light = toned(
        &grey,
        &[
            (0.0, [0.10, 0.02, 0.16]),
            (0.35, [0.55, 0.20, 0.24]),
            (0.7, [1.0, 0.58, 0.22]),
            (1.0, [1.0, 0.93, 0.68]),
        ],
    );
    let lit = contrast(frames, 1.1) * rgb(frames, [1.22, 0.80, 0.60]);
    let spill = glow(frames, 0.55, 10.0) * rgb(frames, [0.40, 0.22, 0.06]);
    lit * 0.52 + light * 0.46 + sky * rgb(frames, [0.12, 0.03, 0.04]) + spill
}

/// Moonlight.
pub fn night(frames: &Tensor) -> Tensor {
    let grey = luma(frames);
    let moonlit = toned(
        &grey,
        &[
            (0.0, [0.0, 0.01, 0.06]),
            (0.5, [0.11, 0.21, 0.43]),
            (0.85, [0.46, 0.62, 0.86]),
            (1.0, [0.88, 0.94, 1.0]),
        ],
    );
    let dark = saturated(frames, 0.8) * rgb(frames, [0.24, 0.34, 0.50]);
    let spill = glow(frames, 0.7, 6.0) * rgb(frames, [0.14, 0.2, 0.34]);
    (moonlit * 0.8 + dark * 0.42 + spill) * vignette(frames, 0.6)
}

/// Glowing tubes along every edge of a dark town.
pub fn neon(frames: &Tensor) -> Tensor {
    let grey = luma(frames);
    let (x, y, edge) = slope(&grey, 0.9);
    let tube = (edge * 16.0 - 0.12).clamp(0.0, 1.0);
    let turn = ((y.atan2(&x) * 2.0).sin() + 1.0) * 0.5;
    let colour = mix(&rgb(frames, [0.1, 0.85, 1.0]), &rgb(frames, [1.0, 0.15, 0.75]), &turn);
    let light = tube * colour;
    let ground = grey * rgb(frames, [0.24, 0.14, 0.50]) + rgb(frames, [0.02, 0.0, 0.07]);
    ground + &light * 0.8 + blur(&light, 4.0) * 0.6
}

//! What the looks are made of. Every length is in units of the picture (see [`unit`]), so that a look is
//! the same at any size; nothing depends on statistics of the frame, so that it does not flicker.

use tch::{Kind, Tensor};

pub use crate::conditions::filters::smoothstep;
use crate::conditions::{
    filters::{self, channels, gaussian, luma, resize, scharr},
    warp::{Border, Sampling, warp},
};

/// The looks were drawn on pictures whose longer side has so many pixels.
const DRAWN_AT: f64 = 448.0;

/// Above this, a blur is made on a smaller picture: nobody can tell, and it costs a tenth.
const WIDE_BLUR: f64 = 4.0;

/// Pixels a unit: 1 on a picture of 448 pixels, 2 on one of 896.
pub fn unit(frames: &Tensor) -> f64 {
    let size = frames.size();
    size[2].max(size[3]) as f64 / DRAWN_AT
}

/// Height and width.
pub fn sides(frames: &Tensor) -> (i64, i64) {
    (frames.size()[2], frames.size()[3])
}

/// Gaussian blur; `sigma` in units.
pub fn blur(frames: &Tensor, sigma: f64) -> Tensor {
    let sigma = (sigma * unit(frames)).max(0.3);
    if sigma <= WIDE_BLUR {
        return gaussian(frames, sigma);
    }
    let (height, width) = sides(frames);
    let factor = sigma / 2.0;
    let side = |length: i64| ((length as f64 / factor).round() as i64).max(4);
    let small = gaussian(&resize(frames, (side(height), side(width))), 2.0);
    small.upsample_bicubic2d([height, width], false, None, None)
}

/// One colour as `[1, 3, 1, 1]`.
pub fn rgb(like: &Tensor, colour: [f64; 3]) -> Tensor {
    Tensor::from_slice(&colour).to_device(like.device()).to_kind(like.kind()).view([1, 3, 1, 1])
}

/// `first` where `share` is 0, `second` where it is 1.
pub fn mix(first: &Tensor, second: &Tensor, share: &Tensor) -> Tensor {
    first + share * (second - first)
}

/// Colours moved away from (above 1) or towards (below 1) their grey.
pub fn saturated(frames: &Tensor, factor: f64) -> Tensor {
    let grey = luma(frames);
    &grey + (frames - &grey) * factor
}

/// `painted` on glass of the scene's own colours; `share`: 0 is clear glass.
pub fn glazed(painted: &Tensor, scene: &Tensor, share: f64) -> Tensor {
    if share == 0.0 {
        return painted.shallow_clone();
    }
    let vivid = saturated(&blur(scene, 2.0), 2.0).clamp(0.0, 1.0);
    let [red, green, blue] = channels(&vivid);
    let light = red.maximum(&green).maximum(&blue);
    // As bright as glass can be, but for what is dark in the scene.
    let glass = vivid / light.clamp_min(0.25) * (light * 1.6 + 0.1).clamp_max(1.0);
    painted * (1.0 + (glass - 1.0) * share)
}

/// Contrast about a middle grey.
pub fn contrast(frames: &Tensor, factor: f64) -> Tensor {
    (frames - 0.5) * factor + 0.5
}

/// Tones to colours, linear between the stops `(tone, colour)`, which ascend.
pub fn toned(tones: &Tensor, stops: &[(f64, [f64; 3])]) -> Tensor {
    let start = rgb(tones, stops[0].1);
    stops.windows(2).fold(start + tones.zeros_like(), |colours, pair| {
        let [(low, from), (high, to)] = pair else { unreachable!("windows of two") };
        let share = ((tones - *low) / (high - low)).clamp(0.0, 1.0);
        colours + share * rgb(tones, [to[0] - from[0], to[1] - from[1], to[2] - from[2]])
    })
}

/// Tones in `levels` steps; each step's flank is soft, so that it does not crawl. 0..1 in and out.
pub fn stepped(tones: &Tensor, levels: f64, softness: f64) -> Tensor {
    let scaled = tones * (levels - 1.0);
    let floor = scaled.floor();
    let flank = smoothstep(&(&scaled - &floor), 0.5 - softness / 2.0, 0.5 + softness / 2.0);
    (floor + flank) / (levels - 1.0)
}

/// How much greener than red and blue a pixel is: leaves and grass, 0..1, `[n, 1, H, W]`.
pub fn greenness(frames: &Tensor) -> Tensor {
    let [red, green, blue] = channels(frames);
    let leaf = &green - blue.maximum(&(&red * 0.82));
    smoothstep(&(leaf / (green + 0.12)), 0.02, 0.22)
}

/// Slope of a tone picture a unit, after a blur of `sigma` units: x, y, length.
pub fn slope(tones: &Tensor, sigma: f64) -> (Tensor, Tensor, Tensor) {
    let unit = unit(tones);
    let (x, y) = scharr(&blur(tones, sigma));
    let (x, y) = (x * unit, y * unit);
    let length = (&x * &x + &y * &y + 1e-12).sqrt();
    (x, y, length)
}

/// The direction along the edges, unit vectors `[n, 2, H, W]`, smoothed over `sigma` units.
///
/// Source: the smoothed structure tensor's minor eigenvector (Kyprianidis and Döllner 2008).
pub fn tangent(tones: &Tensor, sigma: f64) -> Tensor {
    let (x, y, _) = slope(tones, 0.8);
    let tensor = blur(&Tensor::cat(&[&x * &x, &y * &y, &x * &y], 1), sigma);
    let [xx, yy, xy] = channels(&tensor);
    // Half the angle of the major eigenvector, turned by a right angle.
    let angle = (&xy * 2.0).atan2(&(xx - yy)) * 0.5 + std::f64::consts::FRAC_PI_2;
    Tensor::cat(&[angle.cos(), angle.sin()], 1)
}

/// `frames` averaged along `direction` over about `reach` units to either side: the stroke of a brush.
pub fn stroked(frames: &Tensor, direction: &Tensor, reach: f64) -> Tensor {
    const STEPS: i64 = 3;
    let pixels = reach * unit(frames) / STEPS as f64;
    let mut sum = frames.copy(); // a shallow clone would be added to in place
    let mut total = 1.0;
    for step in 1..=STEPS {
        let weight = (-2.0 * (step as f64 / STEPS as f64).powi(2)).exp();
        for side in [-1.0, 1.0] {
            let offset = direction * (side * step as f64 * pixels);
            sum += warp(frames, &offset, Sampling::Bilinear, Border::Replicate) * weight;
        }
        total += 2.0 * weight;
    }
    sum / total
}

/// Flattens surfaces and keeps edges; `radius` in units.
///
/// Source: a soft Kuwahara filter over nine windows, weighted by their variance (Papari et al. 2007).
pub fn flattened(frames: &Tensor, radius: f64) -> Tensor {
    let (height, width) = sides(frames);
    let radius = ((radius * unit(frames)).round() as i64).max(1);
    let side = radius + 1 + radius % 2; // odd
    let grey = luma(frames);
    let moments = filters::mean(&Tensor::cat(&[frames, &grey, &(&grey * &grey)], 1), side);
    let padded = moments.replication_pad2d([radius, radius, radius, radius]);
    let near = (radius + 1) / 2;
    let windows = [
        (0, 0),
        (-near, -near),
        (-near, near),
        (near, -near),
        (near, near),
        (-radius, 0),
        (radius, 0),
        (0, -radius),
        (0, radius),
    ];
    let mut sum = frames.zeros_like();
    let mut total = grey.zeros_like();
    for (dx, dy) in windows {
        let window = padded.narrow(2, radius + dy, height).narrow(3, radius + dx, width);
        let [mean, square] = [3, 4].map(|channel| window.narrow(1, channel, 1));
        let variance = (square - &mean * &mean).clamp_min(0.0);
        let weight = (variance + 1e-4).pow_tensor_scalar(-3) * 1e-12;
        sum += window.narrow(1, 0, 3) * &weight;
        total += weight;
    }
    sum / total
}

/// The small darks and lights (eyes, say) that a flattening took away, to be set last, `[n, 1, H, W]`.
pub fn accents(frames: &Tensor, flat: &Tensor) -> Tensor {
    let lost = blur(&(luma(frames) - luma(flat)), 0.7);
    // What is faint stays away, or the flattening would be undone.
    &lost * smoothstep(&lost.abs(), 0.02, 0.10)
}

/// Ink lines: 1 is paper, 0 is ink, `[n, 1, H, W]`; lines follow the edges.
///
/// - `width`: of a line, in units
/// - `threshold`: how dark against its neighbourhood a place must be, 0.005 (many lines) to 0.05 (few)
///
/// Source: flow-based difference of Gaussians (Kang et al. 2007) with Winnemöller's soft threshold.
pub fn lines(tones: &Tensor, width: f64, threshold: f64) -> Tensor {
    let difference = blur(tones, width * 0.7) - blur(tones, width * 1.12);
    let along = stroked(&difference, &tangent(tones, 2.0), 4.0);
    1.0 - smoothstep(&(-along), threshold, threshold * 2.2)
}

/// Tone against that of its neighbourhood of `sigma` units, at most 1: what a pencil would leave white.
pub fn against_surroundings(tones: &Tensor, sigma: f64) -> Tensor {
    ((tones + 0.02) / (blur(tones, sigma) + 0.02)).clamp(0.0, 1.0)
}

/// 1 in the middle, falling to `edge` in the corners, `[1, 1, H, W]`.
pub fn vignette(frames: &Tensor, edge: f64) -> Tensor {
    let (height, width) = sides(frames);
    let axis = |length: i64| Tensor::linspace(-1.0, 1.0, length, (Kind::Float, frames.device())).square();
    let radius = (axis(height).view([1, 1, height, 1]) + axis(width).view([1, 1, 1, width])) / 2.0;
    1.0 - smoothstep(&radius, 0.2, 1.05) * (1.0 - edge)
}

/// 0 at the top, 1 at the bottom, `[1, 1, H, 1]`.
pub fn depth_of_page(frames: &Tensor) -> Tensor {
    let height = frames.size()[2];
    Tensor::linspace(0.0, 1.0, height, (Kind::Float, frames.device())).view([1, 1, height, 1])
}

/// Light that spills out of the bright places.
pub fn glow(frames: &Tensor, from: f64, sigma: f64) -> Tensor {
    blur(&(frames * smoothstep(&luma(frames), from, 1.0)), sigma)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::torch::testing::uniform;

    #[test]
    fn averages_keep_a_flat_picture_flat() {
        let noise = uniform(5, &[2, 3, 48, 64]);
        let flat = noise.ones_like() * 0.3;
        let direction = tangent(&luma(&noise), 2.0);
        for (name, averaged) in [
            ("stroked", stroked(&flat, &direction, 20.0)),
            ("flattened", flattened(&flat, 30.0)),
            ("narrow blur", blur(&flat, 7.0)),
            ("wide blur", blur(&flat, 70.0)),
        ] {
            let worst = (averaged - 0.3).abs().max().double_value(&[]);
            assert!(worst < 1e-4, "{name}: {worst}");
        }
    }

    #[test]
    fn glass_takes_the_scenes_hue_and_clear_glass_none() {
        let paper = Tensor::ones([1, 3, 32, 32], (Kind::Float, Device::Cpu));
        let scene = rgb(&paper, [0.3, 0.6, 0.3]) * &paper;
        assert!(glazed(&paper, &scene, 0.0).equal(&paper));
        let [red, green, _] =
            channels(&glazed(&paper, &scene, 1.0)).map(|channel| channel.double_value(&[0, 0, 9, 9]));
        assert!(
            green > 0.9 && red < 0.3,
            "{green} and {red}: as bright as glass, and greener than the scene"
        );
    }

    #[test]
    fn strokes_follow_the_edge() {
        // A bright upright bar: a stroke along it keeps it, one across it would not.
        let bar = Tensor::zeros([1, 1, 48, 64], (Kind::Float, Device::Cpu));
        let _ = bar.narrow(3, 30, 4).fill_(1.0);
        let kept = stroked(&bar, &tangent(&bar, 2.0), 40.0).narrow(2, 12, 24).narrow(3, 31, 2);
        assert!(kept.min().double_value(&[]) > 0.9);
    }

    #[test]
    fn tones_meet_their_stops() {
        let tones = Tensor::from_slice(&[0.0f32, 0.25, 1.0]).view([1, 1, 1, 3]);
        let stops = [(0.0, [0.1, 0.2, 0.3]), (0.5, [0.5, 0.6, 0.7]), (1.0, [1.0, 0.0, 0.7])];
        let colours = toned(&tones, &stops);
        for (x, expected) in [[0.1, 0.2, 0.3], [0.3, 0.4, 0.5], [1.0, 0.0, 0.7]].iter().enumerate() {
            for (channel, value) in expected.iter().enumerate() {
                let found = colours.double_value(&[0, channel as i64, 0, x as i64]);
                assert!((found - value).abs() < 1e-6, "{found} instead of {value}");
            }
        }
    }
}

//! Clips whose motion and whose edit are known exactly: layers, each edited on its own canvas, then moved.

use tch::{Device, Kind, Tensor};

use crate::{
    edits::Edit,
    pictures::Pictures,
    random::{Random, smooth_noise},
};
use gstflowvid::conditions::{
    filters::gaussian,
    warp::{Border, Sampling, warp},
};

/// Keyframes of a clip: the anchor, the previous and the current one.
pub const KEYFRAMES: i64 = 3;
/// The canvas reaches so many pixels beyond the picture on each side.
const MARGIN: i64 = 24;
/// Ordered pairs of keyframes, from and to; the second half leads back.
pub const PAIRS: [(i64, i64); 6] = [(1, 0), (2, 0), (2, 1), (0, 1), (0, 2), (1, 2)];

/// One clip, pictures of `side` x `side` pixels.
pub struct Scene {
    /// `[KEYFRAMES, 3, side, side]`, 0..1
    pub source: Tensor,
    /// The true edit of each keyframe, the anchor's moved exactly; as `source`.
    pub edited: Tensor,
    /// `[PAIRS, 2, side, side]`, pixels
    pub flow: Tensor,
}

/// What a keyframe shows so far, painted from back to front.
struct Canvas {
    pictures: Tensor, // [KEYFRAMES, 6, C, C]: source and edit
    flow: Tensor,     // [PAIRS, 2, C, C]
}

impl Scene {
    /// - `local`: only one of several layers is edited
    pub fn draw(
        random: &mut Random,
        pictures: &Pictures,
        (edit, local): (&Edit, bool),
        side: i64,
        device: Device,
    ) -> Self {
        let canvas = side + 2 * MARGIN;
        let vigour = [0.3, 1.0, 1.0, 1.6][random.below(4)] * side as f64 / 128.0;
        let mut scene = None;
        let layers = if local { 2 + random.below(2) } else { 1 + random.below(3) };
        let only = local.then(|| random.below(layers));
        for layer in 0..layers {
            let alpha = if layer == 0 { None } else { Some(blob(random, side, device)) };
            let reach = if layer == 0 { 9.0 } else { 15.0 };
            let motion = motion(random, canvas, reach * vigour, device);
            let picture = pictures.crop(random, canvas, device);
            let is_edited = only.is_none_or(|only| only == layer);
            let edited = if is_edited { edit.apply(&picture) } else { picture.shallow_clone() };
            let both = Tensor::cat(&[picture, edited], 1);
            scene = Some(paint(scene, &both, alpha.as_ref(), &motion));
        }
        let Canvas { pictures, flow } = scene.expect("there is always a background");
        let inner = |maps: &Tensor| maps.narrow(2, MARGIN, side).narrow(3, MARGIN, side).contiguous();
        let pictures = inner(&pictures);
        Self { source: pictures.narrow(1, 0, 3), edited: pictures.narrow(1, 3, 3), flow: inner(&flow) }
    }
}

fn paint(behind: Option<Canvas>, both: &Tensor, alpha: Option<&Tensor>, motion: &Tensor) -> Canvas {
    let moved = |maps: &Tensor| {
        let maps = maps.expand([KEYFRAMES, -1, -1, -1], false);
        warp(&maps, motion, Sampling::Bicubic, Border::Replicate).clamp(0.0, 1.0)
    };
    let pictures = moved(both);
    let flow = exact_flow(motion);
    let (Some(behind), Some(alpha)) = (behind, alpha) else { return Canvas { pictures, flow } };
    let alpha = moved(alpha); // [KEYFRAMES, 1, C, C]
    let starts = Tensor::from_slice(&PAIRS.map(|(from, _)| from)).to_device(alpha.device());
    let owned = alpha.gt(0.5).index_select(0, &starts);
    Canvas {
        pictures: &behind.pictures + alpha * (pictures - &behind.pictures),
        flow: flow.where_self(&owned, &behind.flow),
    }
}

/// Where each keyframe's pixel lies on the layer's canvas, as an offset: `[KEYFRAMES, 2, C, C]`. Keyframe 0 or
/// 2 lies still, so that sometimes the anchor and sometimes the target is unsoftened.
fn motion(random: &mut Random, canvas: i64, reach: f64, device: Device) -> Tensor {
    let axis = Tensor::linspace(-1.0, 1.0, canvas, (Kind::Float, device));
    let x = axis.view([1, 1, 1, -1]).expand([1, 1, canvas, canvas], false);
    let y = axis.view([1, 1, -1, 1]).expand([1, 1, canvas, canvas], false);
    let mut step = |weight: f64| {
        let [turn, zoom, shear] = [0.5, 0.6, 0.2].map(|share| random.within(-1.0, 1.0) * share * reach);
        let [right, down] = [0; 2].map(|_| random.within(-1.0, 1.0) * reach);
        let wobble = smooth_noise([1, 2, canvas, canvas], random.within(18.0, 40.0), device);
        let linear = Tensor::cat(
            &[&x * (zoom + shear) - &y * turn + right, &x * turn + &y * (zoom - shear) + down],
            1,
        );
        (linear + wobble * random.within(0.0, 0.08) * reach) * weight
    };
    let (near, far) = (step(0.5), step(1.0));
    let still = near.zeros_like();
    let offsets = if random.chance(0.5) { [still, near, far] } else { [far, near, still] };
    Tensor::cat(&offsets, 0)
}

/// From the motion of two keyframes to the flow between them: q with q + offset(q) on the same canvas point.
fn exact_flow(motion: &Tensor) -> Tensor {
    let pick = |side: fn((i64, i64)) -> i64| {
        motion.index_select(0, &Tensor::from_slice(&PAIRS.map(side)).to_device(motion.device()))
    };
    let (from, to) = (pick(|pair| pair.0), pick(|pair| pair.1));
    let mut flow = &from - &to;
    for _ in 0..5 {
        flow = &from - warp(&to, &flow, Sampling::Bilinear, Border::Replicate);
    }
    flow
}

/// An uneven disc somewhere on the canvas, `[1, 1, C, C]`, 0..1.
fn blob(random: &mut Random, side: i64, device: Device) -> Tensor {
    let canvas = side + 2 * MARGIN;
    let [center_x, center_y] = [0; 2].map(|_| random.within(MARGIN as f64, (canvas - MARGIN) as f64));
    let axis = Tensor::arange(canvas, (Kind::Float, device));
    let (x, y) = (axis.view([1, 1, 1, -1]) - center_x, axis.view([1, 1, -1, 1]) - center_y);
    let distance = (x * random.within(0.7, 1.4)).hypot(&y);
    let radius = random.within(0.14, 0.36) * side as f64;
    let rim = smooth_noise([1, 1, canvas, canvas], random.within(10.0, 24.0), device) * (0.3 * radius);
    gaussian(&(rim + radius - distance).gt(0.0).to_kind(Kind::Float), 0.7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edits::tests::looks;

    #[test]
    fn the_flow_leads_where_the_picture_was_moved() {
        let looks = looks();
        let pictures = Pictures::patterns(16);
        let mut errors = (0.0, 0.0);
        for seed in 0..3 {
            let random = &mut Random::at(seed, 0);
            let edit = Edit::draw(random, &looks, false);
            let scene = Scene::draw(random, &pictures, (&edit, false), 64, Device::Cpu);
            let [first, last] = [0, 2].map(|keyframe| scene.source.narrow(0, keyframe, 1));
            let flow = scene.flow.narrow(0, 1, 1); // from 2 to 0
            let error = |flow: &Tensor| {
                let missed = warp(&first, flow, Sampling::Bilinear, Border::Replicate) - &last;
                missed.abs().median().double_value(&[])
            };
            errors = (errors.0 + error(&flow), errors.1 + error(&flow.zeros_like()));
        }
        assert!(errors.0 < 0.4 * errors.1, "{errors:?}: with the flow, and without");
    }
}

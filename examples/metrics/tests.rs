//! Clips whose answer is known: a camera that moves two pixels a frame over a large picture.

use gstflowvid::{
    conditions::{filters::gaussian, flow::FlowPair},
    diffusion::noise,
};
use tch::{Device, Kind, Tensor};

use super::*;

const FRAMES: usize = 25;
const SPEED: i64 = 2;
const SIZE: (i64, i64) = (64, 96);

/// A wide texture, `[1, 3, H, W]`, 0..1.
fn texture(seed: u64) -> Tensor {
    let width = SIZE.1 + SPEED * FRAMES as i64;
    let texture = gaussian(&noise(seed, 0, &[0], [3, SIZE.0, width], Device::Cpu), 1.5);
    let (least, most) = (texture.min(), texture.max());
    (texture - &least) / (most - &least)
}

/// The camera moves to the right: what frame 0 does not show comes in at the right border.
fn pan(picture: &Tensor) -> Vec<Tensor> {
    (0..FRAMES as i64).map(|frame| picture.narrow(3, SPEED * frame, SIZE.1).contiguous()).collect()
}

fn exact(frame: usize, other: usize) -> FlowPair {
    let moved = SPEED as f64 * (frame as f64 - other as f64);
    let plane = Tensor::ones([1, 1, SIZE.0, SIZE.1], (Kind::Float, Device::Cpu));
    let flow = |x: f64| Tensor::cat(&[&plane * x, &plane * 0.0], 1);
    FlowPair { to: flow(moved), from: flow(-moved) }
}

struct Clip {
    sources: Vec<Tensor>,
    motion: Motion,
    /// The source in negative: an edit that follows the motion exactly.
    truth: Vec<Tensor>,
}

fn clip() -> Clip {
    let sources = pan(&texture(1));
    let motion = Motion::with(&sources, exact);
    let truth = sources.iter().map(|source| 1.0 - source).collect();
    Clip { sources, motion, truth }
}

impl Clip {
    fn measure(&self, result: &[Tensor]) -> Measures {
        Measures::of(&self.motion, &self.sources, result, &self.truth)
    }
}

fn close(value: Option<f64>, expected: f64, tolerance: f64) {
    let value = value.expect("a value");
    assert!((value - expected).abs() <= tolerance, "{value}, expected {expected}");
}

#[test]
fn the_truth_is_perfect() {
    let clip = clip();
    let found = clip.measure(&clip.truth);
    for (value, expected) in [(found.near, 0.0), (found.far, 0.0), (found.flicker, 0.0)] {
        close(value, expected, 1e-4);
    }
    for value in [found.redrawn, found.held, found.seam, found.edit] {
        close(value, 1.0, 1e-6);
    }
}

#[test]
fn a_known_error_comes_out_as_itself() {
    let clip = clip();
    let brighter = |by: fn(usize) -> f64| -> Vec<Tensor> {
        clip.truth.iter().enumerate().map(|(frame, picture)| picture + by(frame)).collect()
    };
    let drifting = clip.measure(&brighter(|frame| frame as f64 / 255.0));
    close(drifting.near, 1.0, 1e-3);
    close(drifting.far, 16.0, 1e-3);
    close(drifting.flicker, 0.0, 1e-4); // steadily brighter is drift
    let pulsing = clip.measure(&brighter(|frame| (frame % 2) as f64 / 255.0));
    close(pulsing.near, 1.0, 1e-3);
    close(pulsing.far, 0.0, 1e-3);
    assert!(pulsing.flicker.unwrap() > 0.01);
}

/// White noise, which has nothing but fine detail: the root of 3/2, for one frame against the mean of two others.
#[test]
fn a_grain_that_every_frame_draws_anew_flickers_by_the_root_of_three_halves() {
    let clip = clip();
    let grain = |frame: u64| noise(frame, 0, &[0], [3, SIZE.0, SIZE.1], Device::Cpu) * 0.1 + 0.5;
    let anew: Vec<Tensor> = (0..FRAMES as u64).map(grain).collect();
    close(clip.measure(&anew).flicker, 1.5f64.sqrt(), 0.05);
}

#[test]
fn doing_nothing_does_not_win() {
    let clip = clip();
    close(clip.measure(&clip.sources).edit, 0.0, 1e-9);
}

#[test]
fn blurring_does_not_win() {
    let clip = clip();
    // Every frame drawn with a little noise of its own, and the same blurred.
    let noisy = |frame: usize| &clip.truth[frame] + pan(&texture(frame as u64 + 2))[0].shallow_clone() * 0.1;
    let noisy: Vec<Tensor> = (0..FRAMES).map(noisy).collect();
    let blurred: Vec<Tensor> = noisy.iter().map(|frame| gaussian(frame, 2.0)).collect();
    let (sharp, soft) = (clip.measure(&noisy), clip.measure(&blurred));
    assert!(soft.near < sharp.near, "its warp error alone would win");
    assert!(soft.flicker.unwrap() > 0.9 * sharp.flicker.unwrap(), "{soft:?} {sharp:?}");
    assert!(soft.redrawn.unwrap() < 0.2, "{soft:?}");
}

#[test]
fn freezing_does_not_win() {
    let clip = clip();
    let frozen: Vec<Tensor> = clip.truth.iter().map(|_| clip.truth[0].shallow_clone()).collect();
    let found = clip.measure(&frozen);
    close(found.redrawn, 1.0, 0.4); // as sharp as ever
    assert!(
        found.near.unwrap() > 5.0 && found.far.unwrap() > 5.0 && found.flicker.unwrap() > 0.3,
        "{found:?}"
    );
}

#[test]
fn an_edit_that_fades_is_not_held() {
    let clip = clip();
    let fading = |(frame, picture): (usize, &Tensor)| gaussian(picture, 0.3 + frame as f64 * 0.05);
    let fading: Vec<Tensor> = clip.truth.iter().enumerate().map(fading).collect();
    assert!(clip.measure(&fading).held.unwrap() < 0.6);
}

#[test]
fn redrawn_areas_of_another_brightness_have_a_seam() {
    let clip = clip();
    let mut result: Vec<Tensor> = clip.truth.iter().map(|frame| frame * 0.5).collect();
    for sight in &clip.motion.from_first {
        result[sight.frame] = &result[sight.frame] + sight.hidden.to_kind(Kind::Float) * 0.4;
    }
    assert!(clip.measure(&result).seam.unwrap() > 1.5);
}

#[test]
fn redrawn_areas_left_soft_are_told() {
    let clip = clip();
    let mut result: Vec<Tensor> = clip.truth.iter().map(Tensor::shallow_clone).collect();
    for sight in &clip.motion.from_first {
        let hidden = sight.hidden.to_kind(Kind::Float);
        let sharp = &result[sight.frame];
        result[sight.frame] = sharp + (gaussian(sharp, 2.0) - sharp) * hidden;
    }
    let found = clip.measure(&result);
    assert!(found.redrawn.unwrap() < 0.3 && found.held.is_some(), "{found:?}");
}

//! Clips whose answer is known: a camera that moves two pixels a frame over a large picture.

use gstflowvid::{
    conditions::{filters::gaussian, flow::FlowPair},
    diffusion::noise,
};
use tch::{Device, Kind, Tensor};

use super::*;

pub const FRAMES: usize = 25;
const SPEED: i64 = 2;
pub const SIZE: (i64, i64) = (64, 96);
const WIDTH: i64 = SIZE.1 + SPEED * FRAMES as i64;
const BATCHES: [usize; 2] = [9, 17];

/// A wide texture, `[1, 3, H, W]`, 0..1.
pub fn texture(seed: u64) -> Tensor {
    let texture = gaussian(&noise(seed, 0, &[0], [3, SIZE.0, WIDTH], Device::Cpu), 1.5);
    let (least, most) = (texture.min(), texture.max());
    (texture - &least) / (most - &least)
}

/// The camera moves to the right: what frame 0 does not show comes in at the right border.
pub fn pan(picture: &Tensor) -> Vec<Tensor> {
    (0..FRAMES as i64).map(|frame| picture.narrow(3, SPEED * frame, SIZE.1).contiguous()).collect()
}

pub fn exact(frame: Numbered, other: Numbered) -> FlowPair {
    let moved = SPEED as f64 * (frame.0 as f64 - other.0 as f64);
    let plane = Tensor::ones([1, 1, SIZE.0, SIZE.1], (Kind::Float, Device::Cpu));
    let flow = |x: f64| Tensor::cat(&[&plane * x, &plane * 0.0], 1);
    FlowPair { to: flow(moved), from: flow(-moved) }
}

struct Clip {
    sources: Vec<Tensor>,
    sights: Vec<Sights>,
    /// The source in negative: an edit that follows the motion exactly.
    truth: Vec<Tensor>,
}

fn clip_of(picture: &Tensor) -> Clip {
    let sources = pan(picture);
    let sights = MotionFinder::new(exact).whole(&views(&sources), FRAMES);
    let truth = sources.iter().map(|source| 1.0 - source).collect();
    Clip { sources, sights, truth }
}

fn clip() -> Clip {
    clip_of(&texture(1))
}

impl Clip {
    fn meter(&self, video: &[Tensor]) -> Meter {
        Meter::of(&self.sights, &views(&self.sources), &views(video))
    }

    fn measure(&self, result: &[Tensor]) -> Measures {
        let truth = self.meter(&self.truth);
        Measures::of(&self.meter(result), &self.meter(&self.sources), Some(&truth), &BATCHES)
    }

    fn measure_without_truth(&self, result: &[Tensor]) -> Measures {
        Measures::of(&self.meter(result), &self.meter(&self.sources), None, &BATCHES)
    }

    /// The truth, brighter by so much in each frame.
    fn brighter(&self, by: impl Fn(usize) -> f64) -> Vec<Tensor> {
        self.truth.iter().enumerate().map(|(frame, picture)| picture + by(frame)).collect()
    }

    /// The truth, changed where the first frame does not show the picture.
    fn redrawn(&self, redraw: impl Fn(&Tensor) -> Tensor) -> Vec<Tensor> {
        let mut result: Vec<Tensor> = self.truth.iter().map(Tensor::shallow_clone).collect();
        for sight in self.sights.iter().filter_map(|sights| sights.anchor.as_ref()) {
            let (frame, hidden) = (&self.truth[sight.frame], sight.hidden.to_kind(Kind::Float));
            result[sight.frame] = frame + (redraw(frame) - frame) * hidden;
        }
        result
    }
}

pub fn close(value: Option<f64>, expected: f64, tolerance: f64) {
    let value = value.expect("a value");
    assert!((value - expected).abs() <= tolerance, "{value}, expected {expected}");
}

#[test]
fn the_truth_is_perfect() {
    let clip = clip();
    let found = clip.measure(&clip.truth);
    for value in [found.near, found.far, found.anchor, found.flicker, found.drift] {
        close(value, 0.0, 1e-3);
    }
    for value in [found.redrawn, found.held, found.seam, found.edit_over_truth] {
        close(value, 1.0, 1e-6);
    }
}

#[test]
fn a_perfect_result_is_perfect_without_a_truth_too() {
    let clip = clip();
    let found = clip.measure_without_truth(&clip.truth);
    for value in [found.near, found.far, found.anchor, found.flicker, found.drift] {
        close(value, 0.0, 1e-3);
    }
    for value in [found.redrawn, found.held, found.seam] {
        close(value, 1.0, 1e-4);
    }
    assert_eq!(found.edit_over_truth, None);
    let expected = clip
        .truth
        .iter()
        .zip(&clip.sources)
        .step_by(8)
        .map(|(truth, source)| ((truth - source).abs().mean(Kind::Float) * 255.0).double_value(&[]));
    close(found.edit, expected.sum::<f64>() / 4.0, 1e-3);
}

#[test]
fn a_known_error_comes_out_as_itself() {
    let clip = clip();
    let drifting = clip.measure(&clip.brighter(|frame| frame as f64 / 255.0));
    close(drifting.near, 1.0, 1e-3);
    close(drifting.far, 16.0, 1e-3);
    let frames = clip.meter(&clip.brighter(|frame| frame as f64 / 255.0)).frames;
    for frame in [8, 16, 24] {
        close(frames[frame].anchor.value(), frame as f64, 1e-3);
    }
    close(drifting.flicker, 0.0, 1e-4); // steadily brighter is drift
    let pulsing = clip.measure(&clip.brighter(|frame| (frame % 2) as f64 / 255.0));
    close(pulsing.near, 1.0, 1e-3);
    close(pulsing.far, 0.0, 1e-3);
}

#[test]
fn brightness_that_runs_away_by_a_known_step_drifts_by_a_hundred_of_them() {
    let clip = clip();
    for step in [0.3, -0.02] {
        let drifting = clip.brighter(|frame| step * frame as f64 / 255.0);
        close(clip.measure(&drifting).drift, 100.0 * f64::abs(step), 0.05);
        close(clip.measure_without_truth(&drifting).drift, 100.0 * f64::abs(step), 0.05);
    }
    // Red alone, and red against blue, which leaves the brightness as it is.
    for (steps, expected) in [([0.3, 0.0, 0.0], 10.0), ([0.3, 0.0, -0.3], 20.0)] {
        let steps = Tensor::from_slice(&steps).to_kind(Kind::Float).view([1, 3, 1, 1]) / 255.0;
        let drifting = clip.truth.iter().enumerate().map(|(frame, picture)| picture + &steps * frame as f64);
        close(clip.measure(&drifting.collect::<Vec<_>>()).drift, expected, 0.05);
    }
    let jumped = clip.measure(&clip.brighter(|frame| if frame > 0 { 0.1 } else { 0.0 }));
    close(jumped.drift, 0.0, 0.01);
    close(jumped.anchor, 25.5, 0.01);
}

/// Every other frame brighter by `step` is off the mean of its neighbours by `step`; the detail is the truth's own.
#[test]
fn a_known_flicker_comes_out_as_itself() {
    let clip = clip();
    let step = 0.05;
    let detail = |frame: &Tensor| (frame - gaussian(frame, 3.0)).abs().mean(Kind::Float).double_value(&[]);
    let detail = clip.truth.iter().map(detail).sum::<f64>() / FRAMES as f64;
    let pulsing = clip.measure(&clip.brighter(|frame| (frame % 2) as f64 * step));
    close(pulsing.flicker, step / detail, 0.02 * step / detail);
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
fn differences_of_bytes_do_not_wrap_around() {
    let clip = clip();
    let black_and_white = |frame: usize| clip.truth[0].ones_like() * (frame % 2) as f64;
    let result: Vec<Tensor> = (0..FRAMES).map(black_and_white).collect();
    close(clip.measure(&result).near, 255.0, 1e-3);
}

#[test]
fn doing_nothing_does_not_win() {
    let clip = clip();
    close(clip.measure(&clip.sources).edit_over_truth, 0.0, 1e-9);
    close(clip.measure_without_truth(&clip.sources).edit, 0.0, 1e-9);
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
    for error in [found.near, found.far, found.anchor] {
        assert!(error.unwrap() > 5.0, "{found:?}");
    }
    assert!(found.flicker.unwrap() > 0.3, "{found:?}");
}

#[test]
fn an_edit_that_fades_is_not_held() {
    let clip = clip();
    let fading = |(frame, picture): (usize, &Tensor)| gaussian(picture, 0.3 + frame as f64 * 0.05);
    let fading: Vec<Tensor> = clip.truth.iter().enumerate().map(fading).collect();
    assert!(clip.measure(&fading).held.unwrap() < 0.6);
    assert!(clip.measure_without_truth(&fading).held.unwrap() < 0.6);
}

/// Over a ramp whose gradient is g everywhere, a step of height s adds s / 2 to the two columns beside it, by Scharr's
/// kernel; the border has four columns: (g + s / 4) / g.
#[test]
fn a_seam_of_known_height_comes_out_as_itself() {
    let slope = 0.002;
    let ramp = Tensor::arange(WIDTH, (Kind::Float, Device::Cpu)).view([1, 1, 1, WIDTH]) * slope;
    let clip = clip_of(&ramp.expand([1, 3, SIZE.0, WIDTH], false).contiguous());
    for step in [0.004, 0.016] {
        // The truth falls along the picture; so does the step.
        let stepped = clip.redrawn(|frame| frame - step);
        close(clip.measure(&stepped).seam, 1.0 + step / (4.0 * slope), 0.01);
        close(clip.measure_without_truth(&stepped).seam, 1.0 + step / (4.0 * slope), 0.01);
    }
}

#[test]
fn redrawn_areas_left_soft_are_told() {
    let clip = clip();
    let soft = clip.redrawn(|frame| gaussian(frame, 2.0));
    let found = clip.measure(&soft);
    assert!(found.redrawn.unwrap() < 0.3 && found.held.is_some(), "{found:?}");
    let found = clip.measure_without_truth(&soft);
    assert!(found.redrawn.unwrap() < 0.3, "{found:?}");
}

#[test]
fn a_softness_at_the_videos_own_size_is_not_lost_at_the_working_size() {
    let enlarged = |frame: &Tensor| frame.upsample_bicubic2d([2 * SIZE.0, 2 * SIZE.1], false, None, None);
    let sharp = noise(3, 0, &[0], [3, 2 * SIZE.0, 2 * SIZE.1], Device::Cpu) * 0.1 + 0.5;
    let soft = enlarged(&resize(&sharp, SIZE));
    let energy = |frame: &Tensor| Mean::of_all(View::new(frame, SIZE, 0).sharpness.as_ref().unwrap());
    assert!(energy(&soft).over(energy(&sharp)).unwrap() < 0.1);
    assert!(View::new(&sharp, SIZE, 1).sharpness.is_none(), "of a frame that is not judged");
}

/// Each batch brighter by ten than the one before; from frame to frame by one.
#[test]
fn a_jump_where_a_batch_begins_is_told_in_steps_from_elsewhere() {
    let clip = clip();
    let jumping = clip.brighter(|frame| {
        let jumps = BATCHES.iter().filter(|&&batch| frame >= batch).count();
        (frame as f64 + 9.0 * jumps as f64) / 255.0
    });
    close(clip.measure(&jumping).batch_seam, 10.0, 0.01);
    let steady = clip.brighter(|frame| frame as f64 / 255.0);
    close(clip.measure(&steady).batch_seam, 1.0, 0.01);
}

#[test]
fn each_shot_is_measured_from_its_own_first_frame() {
    let clip = clip();
    let again = |frames: &[Tensor]| -> Vec<Tensor> {
        frames.iter().chain(frames).map(Tensor::shallow_clone).collect()
    };
    let (sources, truth) = (views(&again(&clip.sources)), views(&again(&clip.truth)));
    let mut finder = MotionFinder::new(exact);
    let sights = (0..2 * FRAMES).map(|frame| {
        let place = Place { starts_shot: frame % FRAMES == 0, ends_shot: frame % FRAMES == FRAMES - 1 };
        finder.step(&sources, frame, place)
    });
    let meter = Meter::of(&sights.collect::<Vec<_>>(), &sources, &truth);
    for (shot, frames) in [(0, 0..FRAMES), (FRAMES, FRAMES..2 * FRAMES)] {
        assert!(meter.frames[frames].iter().all(|frame| frame.shot == shot), "shot {shot}");
    }
    let found = Measures::of(&meter, &meter, None, &[]);
    for value in [found.near, found.far, found.anchor, found.drift] {
        close(value, 0.0, 1e-3);
    }
    assert_eq!(meter.frames[FRAMES].near.value(), None, "nothing is compared across the cut");
    assert_eq!(found.batch_seam, None);
}

//! What is summed up of each frame of one video.

use gstflowvid::conditions::filters::{gaussian, luma, scharr};
use tch::{Kind, Tensor};

use super::{
    Mean, Sights, Views,
    motion::{Sight, mask},
};

/// Sigma of what counts as fine detail, in pixels.
const DETAIL: f64 = 3.0;
const U8_MAX: f64 = 255.0;

/// One frame's part of every measure; no pixel counts where the frame cannot tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameSums {
    pub frame: usize,
    /// The first frame of its shot.
    pub shot: usize,
    /// Warp errors, 0..255: to the frame before, to that [`FAR`](super::FAR) before, to the shot's first.
    pub near: Mean,
    pub far: Mean,
    pub anchor: Mean,
    /// What is not in the mean of both neighbours, and the fine detail there.
    pub change: Mean,
    pub detail: Mean,
    /// Difference from the shot's first frame with its sign, -255..255, red, green, blue.
    pub colour: [Mean; 3],
    /// Laplacian energy: of the whole frame, of what the shot's first frame shows, of what it does not show.
    pub sharp: Mean,
    pub sharp_seen: Mean,
    pub sharp_hidden: Mean,
    /// Gradients at the borders of what the shot's first frame does not show, and elsewhere.
    pub border: Mean,
    pub elsewhere: Mean,
    /// Difference from the source, 0..255.
    pub edit: Mean,
}

impl FrameSums {
    /// What of the frame is not in the mean of its two neighbours, over its own fine detail.
    pub fn flicker(&self) -> Option<f64> {
        self.change.over(self.detail)
    }
}

/// Measures one video, frame by frame.
#[derive(Debug, Default)]
pub struct Meter {
    pub frames: Vec<FrameSums>,
}

impl Meter {
    /// A video whose frames are all there.
    pub fn of<V: Views + ?Sized>(sights: &[Sights], sources: &V, video: &V) -> Self {
        let mut meter = Self::default();
        sights.iter().for_each(|sights| meter.add(sights, sources, video));
        meter
    }

    /// The next frame. Both videos are indexed by frame, and have those that `sights` tells of.
    pub fn add<V: Views + ?Sized>(&mut self, sights: &Sights, sources: &V, video: &V) {
        let error = |sight: &Option<Sight>| sight.as_ref().map(|sight| warp_error(sight, video));
        let mut sums = FrameSums {
            frame: sights.frame,
            shot: sights.shot,
            near: error(&sights.before).unwrap_or_default(),
            far: error(&sights.far).unwrap_or_default(),
            anchor: error(&sights.anchor).unwrap_or_default(),
            ..Default::default()
        };
        if let (Some(before), Some(after)) = (&sights.before, &sights.after) {
            add_flicker(&mut sums, before, after, video);
        }
        let view = &video[sights.frame];
        if let Some(sharpness) = &view.sharpness {
            sums.sharp = Mean::of_all(sharpness);
            sums.edit = Mean::of_all(&(difference(&view.picture, &sources[sights.frame].picture) * U8_MAX));
        }
        if let Some(anchor) = &sights.anchor {
            add_distance(&mut sums, anchor, video);
        }
        self.frames.push(sums);
    }

    /// Over all frames.
    pub fn pooled(&self, part: impl Fn(&FrameSums) -> Mean) -> Mean {
        self.frames.iter().map(part).sum()
    }
}

fn warp_error(sight: &Sight, video: &(impl Views + ?Sized)) -> Mean {
    Mean::of(&(difference(&video[sight.frame].picture, &sight.carry(video)) * U8_MAX), &sight.seen)
}

/// Both neighbours at once: motion that is slightly off moves them apart, and stays in the picture's detail.
fn add_flicker(sums: &mut FrameSums, before: &Sight, after: &Sight, video: &(impl Views + ?Sized)) {
    let (frame, both) = (&video[before.frame].picture, before.seen.logical_and(&after.seen));
    let between = (before.carry(video) + after.carry(video)) * 0.5;
    sums.change = Mean::of(&difference(frame, &between), &both);
    sums.detail = Mean::of(&difference(frame, &gaussian(frame, DETAIL)), &both);
}

/// What the shot's first frame says about this one.
fn add_distance(sums: &mut FrameSums, anchor: &Sight, video: &(impl Views + ?Sized)) {
    let view = &video[anchor.frame];
    let change = (&view.picture - anchor.carry(video)) * U8_MAX;
    sums.colour = [0, 1, 2].map(|channel| Mean::of(&change.narrow(1, channel, 1), &anchor.seen));
    let sharpness = view.sharpness.as_ref().expect("a frame that is judged has its sharpness");
    sums.sharp_seen = Mean::of(sharpness, &anchor.seen);
    sums.sharp_hidden = Mean::of(sharpness, &anchor.hidden);
    let (gradient, border) = (gradient(&view.picture), mask::border(&anchor.hidden));
    sums.border = Mean::of(&gradient, &border);
    sums.elsewhere = Mean::of(&gradient, &border.logical_not());
}

/// Mean over the channels, `[1, 1, H, W]`.
fn difference(a: &Tensor, b: &Tensor) -> Tensor {
    (a - b).abs().mean_dim([1].as_slice(), true, Kind::Float)
}

fn gradient(picture: &Tensor) -> Tensor {
    let (x, y) = scharr(&luma(picture));
    x.hypot(&y)
}

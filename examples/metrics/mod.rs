//! How well an edited video holds: measures that need the source's motion, and what they are worth together.
//!
//! Motion and visibility come from the source alone, so that every result is judged on the same pixels. No
//! measure is a score by itself: a blurred video has a small warp error, an unedited one flickers as little
//! as its source, and a frozen one is perfectly sharp. Each of them fails by another measure.

mod motion;

use gstflowvid::conditions::filters::{gaussian, luma, scharr};
pub use motion::Motion;
use motion::{Sight, mask};
use tch::{Kind, Tensor};

/// What is measured of a video beside its source; `None` where no pixel could tell.
#[derive(Debug, Clone, Copy)]
pub struct Measures {
    /// Mean absolute difference (0..255) between a frame and the one before, carried along the source's
    /// motion, on pixels that both show.
    pub near: Option<f64>,
    /// The same, [`Motion::FAR`] frames apart.
    pub far: Option<f64>,
    /// What of a frame is not in the mean of its two neighbours, over the frame's own fine detail: 0 is
    /// steady, 1.2 a fine grain that every frame draws anew. Blur takes from both and gains nothing.
    pub flicker: Option<f64>,
    /// Laplacian energy over the truth's, in areas that the first frame does not show.
    pub redrawn: Option<f64>,
    /// The same over whole frames, the clip's last quarter over its first: below 1 the edit fades.
    pub held: Option<f64>,
    /// Gradients at the borders of those areas, over the gradients elsewhere, each over the truth's:
    /// 1 is no seam, more an edge that the truth has not, less a soft border.
    pub seam: Option<f64>,
    /// Difference from the source over the truth's: 0 is no edit.
    pub edit: Option<f64>,
}

impl Measures {
    /// - `sources`, `result`, `truth`: one `[1, 3, H, W]` a frame, 0..1; the truth is the edit computed for
    ///   each frame alone, whose sharpness and strength a result should have
    pub fn of(motion: &Motion, sources: &[Tensor], result: &[Tensor], truth: &[Tensor]) -> Self {
        let frames = motion.from_first.iter();
        let edit = |video: &[Tensor]| {
            let frames = motion.from_first.iter();
            let differ = |sight: &Sight| difference(&video[sight.frame], &sources[sight.frame]);
            frames.map(|sight| Mean::of(&differ(sight), &sight.seen.ones_like())).sum::<Mean>()
        };
        let redrawn = |video: &[Tensor]| {
            let holes = frames.clone().map(|sight| Mean::of(&sharpness(&video[sight.frame]), &sight.hidden));
            holes.sum::<Mean>()
        };
        Self {
            near: motion.near.iter().map(|(before, _)| warp_error(before, result)).sum::<Mean>().value(),
            far: motion.far.iter().map(|sight| warp_error(sight, result)).sum::<Mean>().value(),
            flicker: flicker(motion, result),
            redrawn: redrawn(result).over(redrawn(truth)),
            held: held(result, truth),
            seam: seam(motion, result, truth),
            edit: edit(result).over(edit(truth)),
        }
    }
}

/// A mean over pixels of many frames: pooled, so that a frame counts by the pixels that it can judge.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    pixels: f64,
}

impl Mean {
    /// - `values`: `[1, 1, H, W]`; `counted`: the same shape, true or 1 where a pixel counts
    fn of(values: &Tensor, counted: &Tensor) -> Self {
        let total = |tensor: &Tensor| tensor.sum(Kind::Double).double_value(&[]);
        let counted = counted.to_kind(Kind::Float);
        Self { sum: total(&(values * &counted)), pixels: total(&counted) }
    }

    fn value(self) -> Option<f64> {
        (self.pixels > 0.0).then(|| self.sum / self.pixels)
    }

    fn over(self, other: Self) -> Option<f64> {
        let (value, other) = (self.value()?, other.value()?);
        (other > 0.0).then(|| value / other)
    }
}

impl std::iter::Sum for Mean {
    fn sum<I: Iterator<Item = Self>>(means: I) -> Self {
        means.fold(Self::default(), |a, b| Self { sum: a.sum + b.sum, pixels: a.pixels + b.pixels })
    }
}

fn warp_error(sight: &Sight, video: &[Tensor]) -> Mean {
    Mean::of(&(difference(&video[sight.frame], &sight.carry(video)) * 255.0), &sight.seen)
}

/// Both neighbours at once: motion that is slightly off moves them apart, and stays in the picture's detail.
fn flicker(motion: &Motion, video: &[Tensor]) -> Option<f64> {
    let (mut change, mut detail) = (Mean::default(), Mean::default());
    for (before, after) in &motion.near {
        let (frame, both) = (&video[before.frame], before.seen.logical_and(&after.seen));
        let between = (before.carry(video) + after.carry(video)) * 0.5;
        change = [change, Mean::of(&difference(frame, &between), &both)].into_iter().sum();
        detail = [detail, Mean::of(&difference(frame, &gaussian(frame, DETAIL)), &both)].into_iter().sum();
    }
    change.over(detail)
}

/// Sigma of what counts as fine detail, in pixels.
const DETAIL: f64 = 3.0;

fn held(video: &[Tensor], truth: &[Tensor]) -> Option<f64> {
    let quarter = video.len().div_ceil(4);
    let mean = |frames: &[Tensor]| -> Mean {
        frames.iter().map(sharpness).map(|energy| Mean::of(&energy, &energy.ones_like())).sum()
    };
    let first = mean(&video[..quarter]).over(mean(&truth[..quarter]))?;
    let last = mean(&video[video.len() - quarter..]).over(mean(&truth[truth.len() - quarter..]))?;
    (first > 0.0).then(|| last / first)
}

fn seam(motion: &Motion, result: &[Tensor], truth: &[Tensor]) -> Option<f64> {
    let over_truth = |place: fn(&Sight) -> Tensor| {
        let mean = |video: &[Tensor]| {
            let frames = motion.from_first.iter();
            frames.map(|sight| Mean::of(&gradient(&video[sight.frame]), &place(sight))).sum::<Mean>()
        };
        mean(result).over(mean(truth))
    };
    let border = over_truth(|sight| mask::border(&sight.hidden))?;
    let elsewhere = over_truth(|sight| mask::border(&sight.hidden).logical_not())?;
    (elsewhere > 0.0).then(|| border / elsewhere)
}

/// Mean over the channels, `[1, 1, H, W]`.
fn difference(a: &Tensor, b: &Tensor) -> Tensor {
    (a - b).abs().mean_dim([1].as_slice(), true, Kind::Float)
}

fn gradient(picture: &Tensor) -> Tensor {
    let (x, y) = scharr(&luma(picture));
    x.hypot(&y)
}

/// Squared Laplacian of the luma, `[1, 1, H, W]`.
fn sharpness(picture: &Tensor) -> Tensor {
    let luma = luma(picture);
    let [.., height, width] = luma.size()[..] else { unreachable!("a picture is 4-dimensional") };
    let padded = luma.replication_pad2d([1, 1, 1, 1]);
    let at = |y: i64, x: i64| padded.narrow(2, y, height).narrow(3, x, width);
    (at(0, 1) + at(2, 1) + at(1, 0) + at(1, 2) - luma * 4.0).square()
}

#[cfg(test)]
mod tests;

//! From what was summed up to figures.

use serde::Serialize;

use super::{FrameSums, Mean, Meter, drift::drift, mean::ratio};

/// What is measured of a video beside its source; `None` where no pixel could tell.
///
/// Where a yardstick is named, that is the truth, or the source where there is no truth: how sharp and how full of edges
/// an area is depends on what it shows, so that only videos of the same scene can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measures {
    /// Warp error: mean absolute difference (0..255) between a frame and the one before, carried along the source's
    /// motion, on pixels that both show.
    pub near: Option<f64>,
    /// The same, [`FAR`](super::FAR) frames apart.
    pub far: Option<f64>,
    /// The same to the first frame of the shot.
    pub anchor: Option<f64>,
    /// What of a frame is not in the mean of its two neighbours, over the frame's own fine detail: 0 is
    /// steady, 1.2 a fine grain that every frame draws anew. Blur takes from both and gains nothing.
    pub flicker: Option<f64>,
    /// How far colours run away from the shot's first frame, in 0..255 per 100 frames: see [`drift`].
    pub drift: Option<f64>,
    /// Laplacian energy in areas that the shot's first frame does not show, over the truth's. Without a truth:
    /// over the source's there, and this over the same ratio in areas that the first frame shows.
    pub redrawn: Option<f64>,
    /// Laplacian energy of whole frames over the yardstick's, the clip's last quarter over its first: below 1
    /// the edit fades.
    pub held: Option<f64>,
    /// Gradients at the borders of those areas, over the gradients elsewhere, each over the yardstick's:
    /// 1 is no seam, more an edge that the yardstick has not, less a soft border.
    pub seam: Option<f64>,
    /// Warp error to the frame before where a batch begins, over its median elsewhere: 1 is no jump.
    pub batch_seam: Option<f64>,
    /// Mean absolute difference from the source, 0..255: 0 is no edit.
    pub edit: Option<f64>,
    /// The same over the truth's.
    pub edit_over_truth: Option<f64>,
}

impl Measures {
    /// - `truth`: what a perfect result were, such as the edit computed for each frame alone
    /// - `batches`: the first frame of each batch but the first
    pub fn of(video: &Meter, source: &Meter, truth: Option<&Meter>, batches: &[usize]) -> Self {
        let yardstick = truth.unwrap_or(source);
        let value = |part: fn(&FrameSums) -> Mean| video.pooled(part).value();
        Self {
            near: value(|frame| frame.near),
            far: value(|frame| frame.far),
            anchor: value(|frame| frame.anchor),
            flicker: video.pooled(|frame| frame.change).over(video.pooled(|frame| frame.detail)),
            drift: drift(&video.frames),
            redrawn: redrawn(video, source, truth),
            held: held(video, yardstick),
            seam: double_ratio(video, yardstick, |frame| frame.border, |frame| frame.elsewhere),
            batch_seam: batch_seam(&video.frames, batches),
            edit: value(|frame| frame.edit),
            edit_over_truth: truth
                .and_then(|truth| ratio(value(|frame| frame.edit), truth.pooled(|frame| frame.edit).value())),
        }
    }
}

/// One part of a video over another part of it, each over the yardstick's.
fn double_ratio(
    video: &Meter,
    yardstick: &Meter,
    part: fn(&FrameSums) -> Mean,
    other: fn(&FrameSums) -> Mean,
) -> Option<f64> {
    let over = |part: fn(&FrameSums) -> Mean| video.pooled(part).over(yardstick.pooled(part));
    ratio(over(part), over(other))
}

fn redrawn(video: &Meter, source: &Meter, truth: Option<&Meter>) -> Option<f64> {
    let hidden = |frame: &FrameSums| frame.sharp_hidden;
    match truth {
        Some(truth) => video.pooled(hidden).over(truth.pooled(hidden)),
        None => double_ratio(video, source, hidden, |frame| frame.sharp_seen),
    }
}

fn held(video: &Meter, yardstick: &Meter) -> Option<f64> {
    let quarter = video.frames.len().div_ceil(4);
    let last = video.frames.len() - quarter;
    let over = |within: &dyn Fn(usize) -> bool| {
        let part = |frame: &FrameSums| if within(frame.frame) { frame.sharp } else { Mean::default() };
        video.pooled(part).over(yardstick.pooled(part))
    };
    ratio(over(&|frame| frame >= last), over(&|frame| frame < quarter))
}

fn batch_seam(frames: &[FrameSums], batches: &[usize]) -> Option<f64> {
    let changes = |at_seam: bool| {
        let frames = frames.iter().filter(move |frame| batches.contains(&frame.frame) == at_seam);
        frames.filter_map(|frame| frame.near.value()).collect::<Vec<f64>>()
    };
    let (seams, mut elsewhere) = (changes(true), changes(false));
    elsewhere.sort_by(f64::total_cmp);
    let mean = (!seams.is_empty()).then(|| seams.iter().sum::<f64>() / seams.len() as f64);
    ratio(mean, elsewhere.get(elsewhere.len() / 2).copied())
}

//! How far colours run away over time.

use super::FrameSums;

/// Frames that a drift is told for.
const PER: f64 = 100.0;
/// Fewer frames of a shot than this say nothing about a line through them.
const ENOUGH: usize = 3;

/// Drift: how much the colour of what stays in sight changes in 100 frames, in 0..255.
///
/// For each frame that is judged: the mean difference, with its sign, between its pixels and the same ones in the
/// shot's first frame, for each of red, green and blue. Through these points of a shot, over the distance in frames, goes
/// the line of least squares, each point weighted by its pixels; the drift is its slope's size, averaged over the
/// colours. What differs from the first frame by the same amount all the time is therefore no drift, and what goes up and
/// down again is little. Shots count by how well their points fix the line (the weighted spread of the distances). A
/// source whose light changes drifts by itself: compare.
pub fn drift(frames: &[FrameSums]) -> Option<f64> {
    let shots = frames.chunk_by(|a, b| a.shot == b.shot).filter_map(slope);
    let (total, spread) =
        shots.fold((0.0, 0.0), |sum, (slope, spread)| (sum.0 + slope * spread, sum.1 + spread));
    (spread > 0.0).then(|| PER * total / spread)
}

/// The size of one shot's slope, a frame, and the spread of the distances.
fn slope(shot: &[FrameSums]) -> Option<(f64, f64)> {
    let judged: Vec<&FrameSums> = shot.iter().filter(|frame| frame.colour[0].pixels > 0.0).collect();
    if judged.len() < ENOUGH {
        return None;
    }
    let weights = || judged.iter().map(|frame| frame.colour[0].pixels);
    let distances = || judged.iter().map(|frame| (frame.frame - frame.shot) as f64);
    let centre = weights().zip(distances()).map(|(w, x)| w * x).sum::<f64>() / weights().sum::<f64>();
    let spread: f64 = weights().zip(distances()).map(|(w, x)| w * (x - centre).powi(2)).sum();
    let colours = [0, 1, 2].map(|channel| {
        let changes = judged.iter().filter_map(|frame| frame.colour[channel].value());
        let along = weights().zip(distances()).zip(changes).map(|((w, x), y)| w * (x - centre) * y);
        (along.sum::<f64>() / spread).abs()
    });
    Some((colours.iter().sum::<f64>() / 3.0, spread))
}

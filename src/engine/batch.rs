//! Which frames of a batch are keyframes, and where its shots part. Pure: no tensors.

use std::ops::Range;

/// One shot's part of a batch. Indices count the batch's frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The frames of this run.
    pub frames: Range<usize>,
    /// Ascending; the run's last frame is always one, since nothing can be interpolated beyond it.
    pub keyframes: Vec<usize>,
    /// The previous batch's last keyframe, one frame before this run, is the run's seed frame.
    /// Where it is not, the run's first frame is the first of a shot.
    pub seeded: bool,
}

/// Parts `frames` frames at the indices `starts` (ascending), where shots begin.
///
/// - `seeded`: the shot before goes on unless `starts` holds 0
/// - `interval`: frames from one keyframe to the next, at least 1
pub fn plan(frames: usize, starts: &[usize], seeded: bool, interval: usize) -> Vec<Run> {
    let mut borders: Vec<usize> = std::iter::once(0).chain(starts.iter().copied()).chain([frames]).collect();
    borders.dedup();
    borders
        .windows(2)
        .map(|border| {
            let seeded = seeded && border[0] == 0 && !starts.contains(&0);
            Run {
                frames: border[0]..border[1],
                keyframes: keyframes(border[0]..border[1], seeded, interval),
                seeded,
            }
        })
        .collect()
}

fn keyframes(frames: Range<usize>, seeded: bool, interval: usize) -> Vec<usize> {
    let first = if seeded { frames.start + interval - 1 } else { frames.start };
    let last = frames.end - 1;
    (first..last).step_by(interval).chain([last]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EditParameters;

    fn run(frames: Range<usize>, keyframes: &[usize], seeded: bool) -> Run {
        Run { frames, keyframes: keyframes.to_vec(), seeded }
    }

    #[test]
    fn every_run_ends_on_a_keyframe() {
        for (frames, starts, seeded, expected) in [
            (1, vec![], false, vec![run(0..1, &[0], false)]),
            (2, vec![], false, vec![run(0..2, &[0, 1], false)]),
            (9, vec![], false, vec![run(0..9, &[0, 4, 8], false)]),
            (7, vec![], false, vec![run(0..7, &[0, 4, 6], false)]),
            (8, vec![], true, vec![run(0..8, &[3, 7], true)]),
            (2, vec![], true, vec![run(0..2, &[1], true)]),
            (8, vec![0], true, vec![run(0..8, &[0, 4, 7], false)]),
            (9, vec![6], true, vec![run(0..6, &[3, 5], true), run(6..9, &[6, 8], false)]),
            (
                3,
                vec![0, 1, 2],
                true,
                vec![run(0..1, &[0], false), run(1..2, &[1], false), run(2..3, &[2], false)],
            ),
        ] {
            assert_eq!(
                plan(frames, &starts, seeded, 4),
                expected,
                "{frames} frames, starts {starts:?}, {seeded}"
            );
        }
    }

    #[test]
    fn a_full_batch_has_the_keyframes_that_were_asked_for() {
        for seeded in [false, true] {
            let parameters = EditParameters { batch_size: 16, keyframe_interval: 4, ..Default::default() };
            let frames = parameters.batch_frames(None, seeded);
            let runs = plan(frames, &[], seeded, 4);
            assert_eq!(runs[0].keyframes.len() + usize::from(seeded), 16);
            assert_eq!(runs[0].keyframes.last(), Some(&(frames - 1)));
        }
    }

    #[test]
    fn an_interval_of_one_makes_every_frame_a_keyframe() {
        assert_eq!(plan(3, &[], true, 1)[0].keyframes, [0, 1, 2]);
    }
}

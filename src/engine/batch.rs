//! Which frames of a batch are keyframes, and where its shots and the user's pictures part it. Pure: no tensors.

use std::ops::Range;

/// One shot's part of a batch, or what of it lies between two pictures of the user's. Indices count the batch's frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The frames of this run.
    pub frames: Range<usize>,
    /// Ascending; the run's last frame is always one, since nothing can be interpolated beyond it.
    pub keyframes: Vec<usize>,
    /// The previous run's last keyframe, one frame before this run, is the run's seed frame.
    /// Where it is not, the run's first frame is the first of a shot.
    pub seeded: bool,
    /// The run's last frame was edited by the user: it is finished, and the others may look at it.
    pub ends_on_picture: bool,
}

/// Parts `frames` frames at the indices `starts` (ascending), where shots begin, and behind the frames `pictures`
/// (ascending), which the user edited. A shot that begins with a picture goes on behind it in one run.
///
/// - `seeded`: the shot before goes on unless `starts` holds 0
/// - `interval`: frames from one keyframe to the next, at least 1
pub fn plan(frames: usize, starts: &[usize], pictures: &[usize], seeded: bool, interval: usize) -> Vec<Run> {
    let begins_shot = |index: usize| starts.contains(&index) || (index == 0 && !seeded);
    let arrivals = || pictures.iter().filter(|&&picture| !begins_shot(picture)).map(|picture| picture + 1);
    let mut borders: Vec<usize> =
        [0, frames].into_iter().chain(starts.iter().copied()).chain(arrivals()).collect();
    borders.sort_unstable();
    borders.dedup();
    let run = |border: &[usize]| {
        let seeded = !begins_shot(border[0]);
        let keyframes = keyframes(border[0]..border[1], seeded, interval);
        let ends_on_picture = arrivals().any(|behind| behind == border[1]);
        Run { frames: border[0]..border[1], keyframes, seeded, ends_on_picture }
    };
    borders.windows(2).map(run).collect()
}

/// How many frames the next batch should hold, `full` or fewer: a picture of the user's that came early in the batch
/// after it would have too few frames before it to lead to it.
///
/// - `pictures`: the frames that the user edited, counted from the batch's first frame, ascending
pub fn shortened(full: usize, pictures: &[usize]) -> usize {
    let lead = full / 2;
    match pictures.iter().find(|&&picture| picture >= full) {
        Some(&next) if next < full + lead => {
            let shorter = next - lead;
            // A batch may well end on a picture: the way to the next one begins there.
            let within = pictures.iter().rev().find(|&&picture| (shorter..full).contains(&picture));
            within.map_or(shorter, |picture| picture + 1)
        }
        _ => full,
    }
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
        Run { frames, keyframes: keyframes.to_vec(), seeded, ends_on_picture: false }
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
                plan(frames, &starts, &[], seeded, 4),
                expected,
                "{frames} frames, starts {starts:?}, {seeded}"
            );
        }
    }

    #[test]
    fn a_picture_of_the_users_ends_a_run_unless_it_begins_a_shot() {
        let ends = |frames: Range<usize>, keyframes: &[usize], seeded: bool| Run {
            ends_on_picture: true,
            ..run(frames, keyframes, seeded)
        };
        for (starts, pictures, seeded, expected) in [
            (vec![], vec![0], false, vec![run(0..10, &[0, 4, 8, 9], false)]),
            (vec![], vec![6], false, vec![ends(0..7, &[0, 4, 6], false), run(7..10, &[9], true)]),
            (vec![], vec![0], true, vec![ends(0..1, &[0], true), run(1..10, &[4, 8, 9], true)]),
            (vec![], vec![9], true, vec![ends(0..10, &[3, 7, 9], true)]),
            (vec![5], vec![5], true, vec![run(0..5, &[3, 4], true), run(5..10, &[5, 9], false)]),
            (vec![5], vec![4], true, vec![ends(0..5, &[3, 4], true), run(5..10, &[5, 9], false)]),
            (
                vec![2],
                vec![0, 3, 4],
                false,
                vec![
                    run(0..2, &[0, 1], false),
                    ends(2..4, &[2, 3], false),
                    ends(4..5, &[4], true),
                    run(5..10, &[8, 9], true),
                ],
            ),
        ] {
            let found = plan(10, &starts, &pictures, seeded, 4);
            assert_eq!(found, expected, "starts {starts:?}, pictures {pictures:?}, {seeded}");
        }
    }

    #[test]
    fn a_full_batch_has_the_keyframes_that_were_asked_for() {
        for seeded in [false, true] {
            let parameters = EditParameters { batch_size: 16, keyframe_interval: 4, ..Default::default() };
            let frames = parameters.batch_frames(None, seeded);
            let runs = plan(frames, &[], &[], seeded, 4);
            assert_eq!(runs[0].keyframes.len() + usize::from(seeded), 16);
            assert_eq!(runs[0].keyframes.last(), Some(&(frames - 1)));
        }
    }

    #[test]
    fn no_picture_comes_early_in_a_batch_without_one_at_its_end_before() {
        for (pictures, expected) in [
            (vec![], 60),
            (vec![0, 59], 60),
            (vec![60], 30),
            (vec![75], 45),
            (vec![89], 59),
            (vec![90], 60),
            (vec![31, 61], 32),
            (vec![10, 61], 31),
            (vec![40, 50, 61], 51),
        ] {
            assert_eq!(shortened(60, &pictures), expected, "{pictures:?}");
        }
    }

    #[test]
    fn an_interval_of_one_makes_every_frame_a_keyframe() {
        assert_eq!(plan(3, &[], &[], true, 1)[0].keyframes, [0, 1, 2]);
    }
}

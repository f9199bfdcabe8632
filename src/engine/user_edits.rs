//! The user's pictures of a stream: all read when it begins, each bound to the frame that shows at its time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{EngineError, pictures::Source, work::Work};
use crate::editors::{
    alignment::{ALIGNED, outline_agreement},
    picture::{self, EditedPicture},
    picture_folder::{self, TimedPicture},
};

/// Milliseconds are what most programs tell of a frame's time, rounded.
pub const ROUNDING: u64 = 1_000_000;

/// The pictures that no frame has come for yet.
#[derive(Debug)]
pub struct UserEdits {
    setting: PathBuf,
    /// Processing size.
    size: Vec<i64>,
    waiting: Vec<Waiting>,
    /// Stream time of the last frame seen.
    before: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    file: PathBuf,
    /// `None`: of the first frame that comes, whenever that is.
    time: Option<u64>,
    picture: EditedPicture,
}

impl UserEdits {
    /// Reads the file or the folder `setting` for a stream of frames like `frame`.
    ///
    /// # Errors
    /// [`EngineError::Settings`] names the first picture that cannot be taken, [`EngineError::Cancelled`].
    pub fn read(work: &mut Work, setting: &Path, frame: &Source) -> Result<Self, EngineError> {
        let refused = |error: &dyn std::fmt::Display| EngineError::Settings(error.to_string());
        let files = if setting.is_dir() {
            let listed = picture_folder::list(setting).map_err(|error| refused(&error))?;
            listed.into_iter().map(|TimedPicture { file, time }| (file, Some(time))).collect()
        } else {
            vec![(setting.to_path_buf(), None)]
        };
        let (video, size) = (frame.video_size(), frame.processing_size());
        let mut waiting = Vec::with_capacity(files.len());
        for (file, time) in files {
            let load = || picture::load(&file, video, size, frame.image.device());
            let picture = work.run("edit", load)?.map_err(|error| refused(&error))?;
            waiting.push(Waiting { file, time, picture });
        }
        Ok(Self { setting: setting.into(), size: frame.image.size(), waiting, before: None })
    }

    /// Whether these are the pictures of `setting` for frames like `frame`.
    pub fn fits(&self, setting: &Path, frame: &Source) -> bool {
        self.setting == setting && self.size == frame.image.size()
    }

    /// Takes out the pictures of these frames, by a frame's index. Warns of one that lies elsewhere than its frame, and
    /// where two are of one frame, of which the later one is taken.
    pub fn take(&mut self, frames: &[Source], warnings: &mut Vec<String>) -> BTreeMap<usize, EditedPicture> {
        let times: Vec<u64> = frames.iter().map(|frame| frame.stream_time).collect();
        let mut bound: BTreeMap<usize, (PathBuf, EditedPicture)> = BTreeMap::new();
        let mut later = Vec::new();
        for waiting in self.waiting.drain(..) {
            let Some(index) = waiting.time.map_or(Some(0), |time| frame_at(&times, self.before, time)) else {
                later.push(waiting);
                continue;
            };
            if let Some((earlier, _)) = bound.insert(index, (waiting.file.clone(), waiting.picture)) {
                let (earlier, taken) = (earlier.display(), waiting.file.display());
                warnings
                    .push(format!("edited-frame: {earlier} and {taken} are of one frame; {taken} is taken"));
            }
        }
        self.waiting = later;
        self.before = times.last().copied();
        warnings.extend(bound.iter().filter_map(|(&index, (file, picture))| {
            let source = &frames[index].image;
            let agreement = outline_agreement(source, &picture.upon(source));
            (agreement < ALIGNED).then(|| lies_elsewhere(file, agreement))
        }));
        bound.into_iter().map(|(index, (_, picture))| (index, picture)).collect()
    }
}

fn lies_elsewhere(file: &Path, agreement: f64) -> String {
    format!(
        "edited-frame: the outlines of {} do not lie where its frame has them (agreement {agreement:.2}, looks have 0.4 \
         and more). The edit is carried along the frame's own motion, so keep things where they are; a picture of \
         another frame is named by that frame's time",
        file.display()
    )
}

/// Which of the frames at `times` shows at `time`, to a millisecond; `before`: the time of the frame before them.
/// How long the last one shows is told by the distance to its neighbour; a time that turns out to lie between two
/// batches is the next frame's.
fn frame_at(times: &[u64], before: Option<u64>, time: u64) -> Option<usize> {
    let time = time.saturating_add(ROUNDING);
    let neighbour = |index: usize| match index {
        0 => before,
        _ => Some(times[index - 1]),
    };
    let shows_for = |index: usize| {
        let next = times.get(index + 1).copied().or_else(|| neighbour(index));
        next.map_or(ROUNDING + 1, |next| next.abs_diff(times[index]))
    };
    let shows = |&index: &usize| time >= times[index] && time - times[index] < shows_for(index);
    let missed = before.is_some_and(|before| before < time && time < times[0]);
    (0..times.len()).find(shows).or(missed.then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(times: &[u64], before: Option<u64>, time: u64) -> Option<usize> {
        let times: Vec<u64> = times.iter().map(|time| time * MS).collect();
        frame_at(&times, before.map(|time| time * MS), time * MS)
    }

    #[test]
    fn a_time_is_of_the_frame_that_shows_then() {
        let frames = [0, 40, 80];
        for (time, expected) in
            [(0, Some(0)), (40, Some(1)), (60, Some(1)), (119, None), (118, Some(2)), (200, None)]
        {
            assert_eq!(at(&frames, None, time), expected, "{time}");
        }
        assert_eq!(at(&[1000, 3000], None, 2000), Some(0), "a frame that shows for long");
        assert_eq!(at(&[1000, 1040], None, 990), None, "before the stream");
        assert_eq!(at(&[80, 40, 0], None, 50), Some(1), "played backwards");
    }

    #[test]
    fn a_time_that_was_rounded_to_milliseconds_hits_its_own_frame() {
        let ntsc: Vec<u64> = (0..100).map(|index| index * 1_001_000_000 / 24).collect();
        for (index, &time) in ntsc.iter().enumerate() {
            let rounded = (time + MS / 2) / MS * MS;
            assert_eq!(frame_at(&ntsc, None, rounded), Some(index), "{rounded}");
        }
    }

    #[test]
    fn where_a_batch_ends_changes_no_binding() {
        let times: Vec<u64> = (0..20).map(|index| index * 40).collect();
        for time in 1..780 {
            let whole = at(&times, None, time);
            for split in 2..18 {
                let (first, second) = times.split_at(split);
                let found =
                    at(first, None, time).or_else(|| Some(split + at(second, Some(first[split - 1]), time)?));
                assert_eq!(found, whole, "{time} ms, batches part at {split}");
            }
        }
        assert_eq!(at(&[0], None, 20), None, "of a single frame nobody knows how long it shows");
        assert_eq!(at(&[40, 80], Some(0), 20), Some(0), "so the next one takes it");
    }
}

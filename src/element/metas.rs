//! What an edited frame tells of itself: the custom meta `flowvid`, for tests and overlays.
//!
//! The metas that a frame brings with it (timecode, captions, regions of interest and so on) stay on its
//! carrier, see `frames`.

use std::sync::Once;

use gst::{ClockTime, meta::CustomMeta};

use crate::engine::EditedFrame;

/// Name of the custom meta and of its structure.
pub const NAME: &str = "flowvid";

/// Where in the stream's editing a frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameNote {
    /// Counted from 0.
    pub batch: u64,
    /// Counted from 0.
    pub shot: u64,
    /// Diffused, not interpolated.
    pub keyframe: bool,
    /// Stream time of the seed frame, the previous batch's last; none in a shot's first batch.
    pub seed_time: Option<ClockTime>,
}

/// Writes `note` on a frame, in place of one that another element wrote.
///
/// # Errors
/// If GStreamer has no such meta.
pub fn attach(buffer: &mut gst::BufferRef, note: &FrameNote) -> Result<(), glib::BoolError> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        if !CustomMeta::is_registered(NAME) {
            CustomMeta::register_simple(NAME);
        }
    });
    if CustomMeta::from_buffer(buffer, NAME).is_err() {
        CustomMeta::add(buffer, NAME)?;
    }
    let mut meta = CustomMeta::from_mut_buffer(buffer, NAME)?;
    let structure = meta.mut_structure();
    structure.set("batch", note.batch);
    structure.set("shot", note.shot);
    structure.set("keyframe", note.keyframe);
    structure.set("seed-time", note.seed_time);
    Ok(())
}

/// Counts batches and shots, and remembers the seed frame.
#[derive(Debug, Default)]
pub struct History {
    batches: u64,
    shots: u64,
    seed_time: Option<ClockTime>,
}

impl History {
    /// How many batches there were.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// The notes of the next batch: what the engine said of each frame, with the frame's stream time.
    pub fn batch<'a>(
        &mut self,
        frames: impl Iterator<Item = (&'a EditedFrame, ClockTime)>,
    ) -> Vec<FrameNote> {
        let batch = self.batches;
        self.batches += 1;
        let mut last = None;
        let notes = frames
            .map(|(frame, time)| {
                last = Some(time);
                if frame.starts_shot {
                    self.shots += 1;
                    self.seed_time = None;
                }
                let (shot, keyframe) = (self.shots.saturating_sub(1), frame.keyframe);
                FrameNote { batch, shot, keyframe, seed_time: self.seed_time }
            })
            .collect();
        self.seed_time = last;
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(starts: &[bool]) -> Vec<EditedFrame> {
        let frame = |(index, &starts_shot): (usize, &bool)| EditedFrame {
            picture: None,
            keyframe: index % 2 == 0,
            starts_shot,
        };
        starts.iter().enumerate().map(frame).collect()
    }

    #[test]
    fn a_note_takes_the_place_of_another_element_s() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::new();
        let buffer = buffer.make_mut();
        for batch in [3, 4] {
            attach(buffer, &FrameNote { batch, shot: 0, keyframe: true, seed_time: None }).unwrap();
        }
        let batches: Vec<_> = buffer
            .iter_meta::<gst::Meta>()
            .filter_map(|meta| meta.try_as_custom_meta()?.structure().get::<u64>("batch").ok())
            .collect();
        assert_eq!(batches, [4]);
    }

    #[test]
    fn a_batch_is_seeded_by_the_one_before_until_a_shot_begins() {
        let mut history = History::default();
        let mut time = 0;
        let mut notes = |starts: &[bool]| -> Vec<_> {
            let edited = frames(starts);
            let timed = edited.iter().map(|frame| {
                time += 1;
                (frame, ClockTime::from_seconds(time))
            });
            let seconds = |note: &FrameNote| note.seed_time.map(ClockTime::seconds);
            history.batch(timed).iter().map(|note| (note.batch, note.shot, seconds(note))).collect()
        };
        assert_eq!(notes(&[true, false]), [(0, 0, None), (0, 0, None)]);
        assert_eq!(notes(&[false, true, false]), [(1, 0, Some(2)), (1, 1, None), (1, 1, None)]);
        assert_eq!(notes(&[false]), [(2, 1, Some(5))]);
        assert_eq!(notes(&[true]), [(3, 2, None)]);
    }
}

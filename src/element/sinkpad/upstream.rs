//! What upstream's thread remembers from frame to frame.

use std::sync::Arc;

use gst::ClockTime;

use crate::element::caps::Format;

/// What upstream's thread remembers.
#[derive(Debug, Default)]
pub struct Upstream {
    pub(super) format: Option<Arc<Format>>,
    segment: gst::FormattedSegment<ClockTime>,
    pub(super) last_pts: Option<ClockTime>,
    /// An event said that the next frame begins a shot.
    pub(super) shot_announced: bool,
    frames: u64,
    /// A frame that was not let in told of a loss.
    loss_untold: bool,
    /// The user knows that a batch was called off.
    pub(super) told_of_call_off: bool,
    /// EOS came: no more frames will carry an error back to upstream.
    pub(in crate::element) ended: bool,
}

impl Upstream {
    /// After a flush only the format is still true.
    pub(super) fn forget(&mut self) {
        *self = Self { format: self.format.take(), ..Default::default() };
    }

    /// Whether the segment shows any of the frame, as sinks and encoders decide it: with its duration, or with one
    /// by the caps' rate where it has none. What a frame that is not let in said of losses, the next one says.
    pub(super) fn lets_in(&mut self, buffer: &mut gst::Buffer) -> bool {
        if buffer.pts().is_some() && self.shown_from(buffer).is_none() {
            self.loss_untold |= tells_of_loss(buffer);
            return false;
        }
        if std::mem::take(&mut self.loss_untold) {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        true
    }

    /// Where the part of the frame begins that the segment shows.
    fn shown_from(&self, buffer: &gst::BufferRef) -> Option<ClockTime> {
        let begin = buffer.pts()?;
        let duration = buffer.duration().or_else(|| self.format.as_ref()?.frame_duration());
        let end = duration.and_then(|duration| begin.checked_add(duration));
        self.segment.clip(begin, end)?.0
    }

    /// The frame's place in the stream and on the clock; none without a timestamp. What begins before the segment
    /// is there from the segment's start on.
    pub(super) fn times(&self, buffer: &gst::BufferRef) -> (Option<ClockTime>, Option<ClockTime>) {
        let from = self.shown_from(buffer);
        (self.segment.to_stream_time(from), self.segment.to_running_time(from))
    }

    /// The frames before this one: what tells one from the other where there is no stream time.
    pub(super) fn count(&mut self) -> u64 {
        self.frames += 1;
        self.frames - 1
    }

    /// Whether frames are missing before this one. Backwards, decoders say so of each group of pictures that
    /// they turn round; if it goes on where the one before ended, nothing is missing.
    pub(super) fn lost_track(&self, buffer: &gst::BufferRef) -> bool {
        let goes_on = || {
            let (duration, later) = (buffer.duration()?.nseconds(), self.last_pts?.nseconds());
            let end = buffer.pts()?.nseconds().saturating_add(duration);
            Some(end.abs_diff(later) <= duration / 2)
        };
        tells_of_loss(buffer) && !(self.segment.rate() < 0.0 && goes_on().unwrap_or(false))
    }

    /// Frames leap from key unit to key unit, so motion cannot be followed.
    pub(super) fn shows_key_units_only(&self) -> bool {
        self.segment.flags().contains(gst::SegmentFlags::TRICKMODE_KEY_UNITS)
    }

    /// Takes a new segment; true if it goes on with the one before.
    pub(super) fn enter(&mut self, segment: &gst::FormattedSegment<ClockTime>) -> bool {
        let mut before = std::mem::replace(&mut self.segment, segment.clone());
        before.set_position(segment.position());
        before == *segment && self.frames > 0
    }
}

fn tells_of_loss(buffer: &gst::BufferRef) -> bool {
    buffer.flags().intersects(gst::BufferFlags::DISCONT | gst::BufferFlags::RESYNC)
}

//! How long a frame stays in the element, in exact integer arithmetic.

use std::collections::VecDeque;

use gst::ClockTime;
use gst::prelude::*;

/// Answer to a LATENCY query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Upstream is live.
    pub live: bool,
    /// The longest time that a frame is held.
    pub min: ClockTime,
    /// How much can be buffered; `None`: without limit.
    pub max: Option<ClockTime>,
}

/// What holds frames up in this element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// Frames in a full batch.
    pub batch_frames: u64,
    /// Frames that both queues and the batch in work take together.
    pub capacity: u64,
    /// One frame.
    pub frame: FrameTime,
    /// Wall time that a batch takes.
    pub processing: ClockTime,
}

/// The duration of one frame, as the caps' frame rate tells it or, without one, as measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameTime {
    /// Frames per second, numerator and denominator, both above zero.
    Rate(u64, u64),
    /// Variable frame rate: the last frame's duration.
    Measured(ClockTime),
}

/// Taken for a variable frame rate until two frames were seen.
const UNKNOWN_RATE: FrameTime = FrameTime::Rate(25, 1);

impl FrameTime {
    /// From the caps' `framerate`; where it is 0/1, from the distance of the last two frames.
    pub fn new(rate: gst::Fraction, measured: Option<ClockTime>) -> Self {
        match (rate.numer(), rate.denom()) {
            (numer, denom) if numer > 0 && denom > 0 => Self::Rate(numer as u64, denom as u64),
            _ => measured.filter(|time| !time.is_zero()).map_or(UNKNOWN_RATE, Self::Measured),
        }
    }

    /// The duration of `frames` frames, rounded up only once: a latency must not be told too short.
    pub fn of(self, frames: u64) -> ClockTime {
        match self {
            Self::Rate(numer, denom) => {
                ClockTime::SECOND.mul_div_ceil(frames.saturating_mul(denom), numer).unwrap_or(ClockTime::MAX)
            }
            Self::Measured(time) => ClockTime::from_nseconds(
                time.nseconds().saturating_mul(frames).min(ClockTime::MAX.nseconds()),
            ),
        }
    }
}

/// What the element answers where upstream answers `upstream`. Non-live pipelines do not wait, so
/// nothing is added there.
pub fn reported(upstream: Latency, delay: &Delay) -> Latency {
    if !upstream.live {
        return upstream;
    }
    let own = delay.frame.of(delay.batch_frames).saturating_add(delay.processing);
    let min = upstream.min.saturating_add(own);
    // A maximum below the minimum would make the whole pipeline's latency impossible.
    let buffered = delay.frame.of(delay.capacity).max(own);
    Latency { live: true, min, max: upstream.max.map(|max| max.saturating_add(buffered).max(min)) }
}

/// The wall time of recent batches: what nearly all of them stay under.
#[derive(Debug, Default)]
pub struct ProcessingTime {
    recent: VecDeque<ClockTime>,
    reported: ClockTime,
}

const REMEMBERED_BATCHES: usize = 32;

impl ProcessingTime {
    /// What is reported at present.
    pub fn reported(&self) -> ClockTime {
        self.reported
    }

    /// Takes a batch's wall time; answers whether the pipeline must hear of a greater latency, which it
    /// does only when the 95th percentile grew by more than a fifth and by more than `noticeable`.
    pub fn record(&mut self, wall: ClockTime, noticeable: ClockTime) -> bool {
        self.recent.push_back(wall);
        if self.recent.len() > REMEMBERED_BATCHES {
            self.recent.pop_front();
        }
        let mut sorted: Vec<_> = self.recent.iter().copied().collect();
        sorted.sort();
        let percentile = sorted[(sorted.len() * 95).div_ceil(100) - 1];
        let threshold = (self.reported + self.reported / 5).max(self.reported + noticeable);
        let grew = percentile > threshold;
        if grew {
            self.reported = percentile;
        }
        grew
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(value: u64) -> ClockTime {
        ClockTime::from_mseconds(value)
    }

    #[test]
    fn frame_times_are_exact() {
        let rate = |numer, denom| FrameTime::new(gst::Fraction::new(numer, denom), None);
        for (time, frames, nanoseconds) in [
            (rate(25, 1), 61, 2_440_000_000),
            (rate(30000, 1001), 61, 2_035_366_667), // 2035366666.67
            (rate(30000, 1001), 30_000, 1_001_000_000_000),
            (rate(24000, 1001), 1, 41_708_334),
            (rate(1, 1), 1, 1_000_000_000),
            (rate(240, 1), 1, 4_166_667), // whole seconds would make this nothing
            (rate(0, 1), 5, 200_000_000), // 25 per second until known
            (FrameTime::new(gst::Fraction::new(0, 1), Some(millis(10))), 7, 70_000_000),
        ] {
            assert_eq!(time.of(frames).nseconds(), nanoseconds, "{frames} frames of {time:?}");
        }
    }

    #[test]
    fn only_live_upstreams_are_delayed() {
        let delay = |processing| Delay {
            batch_frames: 5,
            capacity: 15,
            frame: FrameTime::Rate(25, 1),
            processing: millis(processing),
        };
        let latency = |live, min, max: Option<u64>| Latency { live, min: millis(min), max: max.map(millis) };
        for (upstream, processing, expected) in [
            (latency(false, 0, None), 0, latency(false, 0, None)),
            (latency(false, 7, Some(9)), 50, latency(false, 7, Some(9))),
            (latency(true, 40, None), 0, latency(true, 240, None)),
            (latency(true, 40, Some(40)), 100, latency(true, 340, Some(640))),
            (latency(true, 40, Some(40)), 2000, latency(true, 2240, Some(2240))),
        ] {
            assert_eq!(reported(upstream, &delay(processing)), expected, "{upstream:?}, {processing} ms");
        }
    }

    #[test]
    fn the_pipeline_hears_of_growth_only() {
        let mut time = ProcessingTime::default();
        let heard: Vec<bool> =
            [5, 100, 110, 119, 121, 90, 300].map(|wall| time.record(millis(wall), millis(10))).into();
        assert_eq!(heard, [false, true, false, false, true, false, true]);
        assert_eq!(time.reported(), millis(300));
    }
}

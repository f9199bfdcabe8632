//! How long a frame stays in the element, in exact integer arithmetic.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use gst::{ClockTime, prelude::*};

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
    /// Frames that both queues take together before one is lost or upstream waits.
    pub capacity: u64,
    /// One frame; none before caps.
    pub frame: Option<FrameTime>,
    /// Time that a batch takes.
    pub processing: ClockTime,
    /// A batch is closed this long after its first frame came.
    pub batch_timeout: Option<ClockTime>,
    /// Frames are dropped where there is no room.
    pub leaky: bool,
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
pub const UNKNOWN_RATE: FrameTime = FrameTime::Rate(25, 1);

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
/// nothing is added there; nor before caps, when nothing is known.
pub fn reported(upstream: Latency, delay: &Delay) -> Latency {
    let Some(frame) = delay.frame.filter(|_| upstream.live) else { return upstream };
    let batch = frame.of(delay.batch_frames);
    // A frame that comes as the engine begins waits until it is done, however short the timeout.
    let collecting = delay.batch_timeout.map_or(batch, |timeout| timeout.max(delay.processing).min(batch));
    let own = collecting.saturating_add(delay.processing);
    let min = upstream.min.saturating_add(own);
    // While the engine works frames leave the output queue, and none follows until it is done.
    let room = frame.of(delay.capacity).saturating_sub(delay.processing).max(own);
    let max = match upstream.max {
        Some(max) if delay.leaky => Some(max.min(room)),
        Some(max) => Some(max.saturating_add(room)),
        None => Some(room).filter(|_| delay.leaky),
    };
    // A maximum below the minimum would make the whole pipeline's latency impossible.
    Latency { live: true, min, max: max.map(|max| max.max(min)) }
}

/// The last values of a time that varies.
#[derive(Debug, Default)]
struct Recent(VecDeque<ClockTime>);

const REMEMBERED: usize = 32;

impl Recent {
    fn push(&mut self, time: ClockTime) {
        self.0.push_back(time);
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    /// What `percent` of the values stay under, or are.
    fn percentile(&self, percent: usize) -> ClockTime {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort();
        sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// Whether the pipeline must hear of `now` where it knows of `told`: only of what grew by more than a
/// fifth and by more than `noticeable`, for a new latency interrupts every sink.
fn grew(told: ClockTime, now: ClockTime, noticeable: ClockTime) -> bool {
    now > told.saturating_add((told / 5).max(noticeable))
}

/// The time of a frame as the caps or, without a rate there, the timestamps tell it.
#[derive(Debug, Default)]
pub struct FrameTimes {
    rate: Option<gst::Fraction>,
    distances: Recent,
    told: Option<ClockTime>,
}

impl FrameTimes {
    /// From the caps of the frames to come.
    pub fn set_rate(&mut self, rate: gst::Fraction) {
        *self = Self { rate: Some(rate), ..Self::default() };
    }

    /// None before caps; 25 frames a second where there is no rate and no two frames were seen.
    pub fn get(&self) -> Option<FrameTime> {
        self.rate.map(|rate| FrameTime::new(rate, self.told))
    }

    /// Takes the distance of two frames; whether the pipeline must hear of it. The median, since one pause
    /// says nothing of the rate.
    pub fn record(&mut self, distance: ClockTime) -> bool {
        if self.rate.is_none_or(|rate| rate.numer() > 0) || distance.is_zero() {
            return false;
        }
        self.distances.push(distance);
        let median = self.distances.percentile(50);
        let news = self.told.is_none_or(|told| grew(told, median, ClockTime::ZERO));
        if news {
            self.told = Some(median);
        }
        news
    }
}

/// What a batch's time means for the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    Fine,
    /// The latency has grown.
    Grew,
    /// It takes longer than the user said; told once.
    OverFixed(ClockTime),
}

/// The time of recent batches: what nearly all of them stay under.
#[derive(Debug, Default)]
pub struct ProcessingTime {
    fixed: Option<ClockTime>,
    recent: Recent,
    told: ClockTime,
}

impl ProcessingTime {
    /// Measured, or `fixed` by the user.
    pub fn new(fixed: Option<ClockTime>) -> Self {
        Self { fixed, told: fixed.unwrap_or_default(), ..Self::default() }
    }

    /// What is reported at present.
    pub fn reported(&self) -> ClockTime {
        self.fixed.unwrap_or(self.told)
    }

    /// Takes a batch's time. What counts is the 95th percentile of the last batches.
    pub fn record(&mut self, time: ClockTime, noticeable: ClockTime) -> Verdict {
        self.recent.push(time);
        let percentile = self.recent.percentile(95);
        if !grew(self.told, percentile, noticeable) {
            return Verdict::Fine;
        }
        match self.fixed {
            None => {
                self.told = percentile;
                Verdict::Grew
            }
            Some(_) => {
                self.told = ClockTime::MAX; // once is enough
                Verdict::OverFixed(percentile)
            }
        }
    }
}

/// Measures a batch: on the pipeline's clock, which is what latencies are counted in, and without one on
/// the machine's.
#[derive(Debug)]
pub struct Stopwatch {
    clock: Option<(gst::Clock, ClockTime)>,
    begun: Instant,
}

impl Stopwatch {
    /// Starts; `clock` is the element's.
    pub fn start(clock: Option<gst::Clock>) -> Self {
        let clock = clock.map(|clock| {
            let now = clock.time();
            (clock, now)
        });
        Self { clock, begun: Instant::now() }
    }

    /// Since the start, on the machine's clock.
    pub fn wall(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Since the start, on the pipeline's clock.
    pub fn elapsed(&self) -> ClockTime {
        match &self.clock {
            Some((clock, begun)) => clock.time().saturating_sub(*begun),
            None => ClockTime::from_nseconds(self.wall().as_nanos() as u64),
        }
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
        let delay = Delay {
            batch_frames: 5,
            capacity: 15,
            frame: Some(FrameTime::Rate(25, 1)),
            processing: ClockTime::ZERO,
            batch_timeout: None,
            leaky: false,
        };
        let takes = |processing| Delay { processing: millis(processing), ..delay };
        let before_caps = Delay { frame: None, ..takes(100) };
        let closed_after =
            |timeout, processing| Delay { batch_timeout: Some(millis(timeout)), ..takes(processing) };
        let leaky = |processing| Delay { leaky: true, ..takes(processing) };
        let latency = |live, min, max: Option<u64>| Latency { live, min: millis(min), max: max.map(millis) };
        for (upstream, delay, expected) in [
            (latency(false, 0, None), delay, latency(false, 0, None)),
            (latency(false, 7, Some(9)), takes(50), latency(false, 7, Some(9))),
            (latency(true, 40, Some(60)), before_caps, latency(true, 40, Some(60))),
            (latency(true, 40, None), delay, latency(true, 240, None)),
            (latency(true, 40, Some(40)), takes(100), latency(true, 340, Some(540))),
            (latency(true, 40, Some(40)), takes(2000), latency(true, 2240, Some(2240))),
            (latency(true, 40, None), closed_after(60, 0), latency(true, 100, None)),
            (latency(true, 40, None), closed_after(60, 90), latency(true, 220, None)),
            (latency(true, 40, None), closed_after(900, 90), latency(true, 330, None)),
            (latency(true, 40, None), leaky(100), latency(true, 340, Some(500))),
            (latency(true, 40, Some(400)), leaky(100), latency(true, 340, Some(400))),
            (latency(true, 40, Some(40)), leaky(100), latency(true, 340, Some(340))),
        ] {
            assert_eq!(reported(upstream, &delay), expected, "{upstream:?}, {delay:?}");
        }
    }

    #[test]
    fn the_pipeline_hears_of_growth_only() {
        let mut time = ProcessingTime::default();
        let heard = [5, 100, 110, 119, 121, 90, 300].map(|batch| time.record(millis(batch), millis(10)));
        use Verdict::{Fine, Grew};
        assert_eq!(heard, [Fine, Grew, Fine, Fine, Grew, Fine, Grew]);
        assert_eq!(time.reported(), millis(300));
    }

    #[test]
    fn a_fixed_processing_time_stays_and_is_told_wrong_once() {
        let mut time = ProcessingTime::new(Some(millis(100)));
        let heard = [90, 115, 300, 900].map(|batch| time.record(millis(batch), millis(10)));
        assert_eq!(heard, [Verdict::Fine, Verdict::Fine, Verdict::OverFixed(millis(300)), Verdict::Fine]);
        assert_eq!(time.reported(), millis(100));
    }

    #[test]
    fn a_variable_rate_is_the_median_and_only_grows() {
        let mut times = FrameTimes::default();
        assert_eq!((times.record(millis(9)), times.get()), (false, None));
        times.set_rate(gst::Fraction::new(0, 1));
        assert_eq!(times.get(), Some(UNKNOWN_RATE));
        let heard = [20, 20, 9000, 22, 30, 30, 30, 5].map(|distance| times.record(millis(distance)));
        assert_eq!(heard, [true, false, false, false, false, false, true, false]);
        assert_eq!(times.get(), Some(FrameTime::Measured(millis(30))));
        times.set_rate(gst::Fraction::new(25, 1));
        assert_eq!((times.record(millis(500)), times.get()), (false, Some(FrameTime::Rate(25, 1))));
    }
}

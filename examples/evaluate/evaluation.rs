//! Videos measured together, frame by frame.

use gstflowvid::{
    conditions::{
        cuts::{self, HISTORY},
        flow::FlowPair,
    },
    engine::processing_size,
};
use tch::Tensor;

use crate::{
    metrics::{FAR, Meter, MotionFinder, Numbered, Place, View},
    window::Window,
};

/// As the element's `cut-threshold`.
const CUT_THRESHOLD: f64 = 0.25;

/// Height and width to measure at, as the engine's own: the longer side is `longest`, but no more than the video's.
///
/// - `video`: height and width
pub fn working_size(video: (i64, i64), longest: usize) -> (i64, i64) {
    processing_size((video.1 as usize, video.0 as usize), longest)
}

/// Where shots begin.
#[derive(Debug)]
pub struct Cuts {
    told: Option<Vec<usize>>,
    /// The frames from `first` on, which decide about the cuts to come.
    thumbnails: Vec<Tensor>,
    first: usize,
    found: Vec<usize>,
}

impl Cuts {
    /// By what the engine goes by.
    pub fn detected() -> Self {
        Self { told: None, thumbnails: vec![], first: 0, found: vec![] }
    }

    /// With these frames and no others.
    pub fn told(cuts: Vec<usize>) -> Self {
        Self { told: Some(cuts), ..Self::detected() }
    }

    fn push(&mut self, frame: &Tensor) {
        if self.told.is_none() {
            self.thumbnails.push(cuts::thumbnail(frame));
        }
    }

    /// Whether a shot begins with `frame`: asked of each frame but the first, in order, when the [`HISTORY`] - 1 frames
    /// behind it are pushed or there are no more.
    fn begins(&mut self, frame: usize) -> bool {
        let begins = match &self.told {
            Some(cuts) => cuts.contains(&frame),
            None => cuts::is_cut(&self.thumbnails, frame - self.first, CUT_THRESHOLD),
        };
        if begins {
            self.found.push(frame);
        }
        let old = (frame + 1).saturating_sub(self.first + HISTORY).min(self.thumbnails.len());
        self.thumbnails.drain(..old);
        self.first += old;
        begins
    }
}

/// Measures videos beside the first of them, the source, with memory that does not grow with their length.
pub struct Evaluation<F> {
    size: (i64, i64),
    cuts: Cuts,
    finder: MotionFinder<F>,
    windows: Vec<Window>,
    meters: Vec<Meter>,
    pushed: usize,
    measured: usize,
    /// The next frame to be measured begins a shot.
    starts_shot: bool,
}

impl<F: FnMut(Numbered, Numbered) -> FlowPair> Evaluation<F> {
    /// - `size`: height and width to measure at
    /// - `flow`: between frames of the source
    pub fn new(videos: usize, size: (i64, i64), cuts: Cuts, flow: F) -> Self {
        Self {
            size,
            cuts,
            finder: MotionFinder::new(flow),
            windows: (0..videos).map(|_| Window::default()).collect(),
            meters: (0..videos).map(|_| Meter::default()).collect(),
            pushed: 0,
            measured: 0,
            starts_shot: true,
        }
    }

    /// The next frame of each video, `[1, 3, H, W]`, 0..1.
    pub fn push(&mut self, frames: &[Tensor]) {
        for (window, frame) in self.windows.iter_mut().zip(frames) {
            window.push(View::new(frame, self.size, self.pushed));
        }
        self.cuts.push(&self.windows[0][self.pushed].picture);
        self.pushed += 1;
        while self.measured + HISTORY < self.pushed {
            self.measure();
        }
    }

    /// Measures what is left; answers with a meter for each video, and the first frame of each shot but the first.
    pub fn finish(mut self) -> (Vec<Meter>, Vec<usize>) {
        while self.measured < self.pushed {
            self.measure();
        }
        (self.meters, self.cuts.found)
    }

    fn measure(&mut self) {
        let frame = self.measured;
        let ends_shot = frame + 1 == self.pushed || self.cuts.begins(frame + 1);
        if self.starts_shot {
            self.windows.iter_mut().for_each(|window| window.hold(frame));
        }
        let place = Place { starts_shot: self.starts_shot, ends_shot };
        let sights = self.finder.step(&self.windows[0], frame, place);
        for (meter, window) in self.meters.iter_mut().zip(&self.windows) {
            meter.add(&sights, &self.windows[0], window);
        }
        (self.starts_shot, self.measured) = (ends_shot, frame + 1);
        self.windows.iter_mut().for_each(|window| window.forget_before(self.measured.saturating_sub(FAR)));
    }

    #[cfg(test)]
    pub fn frames_held(&self) -> usize {
        self.windows.iter().map(Window::len).max().unwrap_or_default() + self.cuts.thumbnails.len()
    }
}

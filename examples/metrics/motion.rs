//! What of the source's motion the measures need, frame by frame.

use gstflowvid::conditions::{
    flow::{FlowEstimator, FlowPair},
    gmflow::Features,
    occlusion::{Thresholds, confidence},
    warp::{Border, Sampling, warp},
};
use tch::Tensor;

use super::Views;

/// Frames between a frame and the one that it is compared with over a distance.
pub const FAR: usize = 16;
/// Pixels seen with more confidence than this are compared.
const SEEN: f64 = 0.9;
/// Pixels seen with less count as not shown at all.
const HIDDEN: f64 = 0.5;
/// From one frame to the next of those that are compared with frames far away, which is what takes time.
const STEP: usize = 8;
/// Of so many frames the features are kept: of all that a frame and the next ones are matched with.
const KEPT: usize = 6;

/// Whether a frame is compared with frames that are not its neighbours.
pub fn is_judged(frame: usize) -> bool {
    frame.is_multiple_of(STEP)
}

/// A source frame with its number.
pub type Numbered<'a> = (usize, &'a Tensor);

/// What a frame shows of another one.
#[derive(Debug)]
pub struct Sight {
    pub frame: usize,
    other: usize,
    to: Tensor, // [1, 2, H, W]
    /// Pixels of the frame that the other shows beyond doubt, `[1, 1, H, W]`, bool.
    pub seen: Tensor,
    /// Those that it does not show.
    pub hidden: Tensor,
}

impl Sight {
    /// - `to`, `from`: the motion from frame to other and back
    fn of(frame: Numbered, other: Numbered, to: &Tensor, from: &Tensor) -> Self {
        let confidence = confidence(to, from, frame.1, other.1, &Thresholds::default());
        let (seen, hidden) = (confidence.gt(SEEN), confidence.lt(HIDDEN));
        Self { frame: frame.0, other: other.0, to: to.shallow_clone(), seen, hidden }
    }

    /// The other frame of `video`, brought onto this one.
    pub fn carry(&self, video: &(impl Views + ?Sized)) -> Tensor {
        warp(&video[self.other].picture, &self.to, Sampling::Bicubic, Border::Replicate)
    }
}

/// What a frame shows of others of its shot; `None` where there is no such frame, or where it is not looked for.
#[derive(Debug)]
pub struct Sights {
    pub frame: usize,
    /// The shot's first frame.
    pub shot: usize,
    pub before: Option<Sight>,
    pub after: Option<Sight>,
    /// [`FAR`] frames before.
    pub far: Option<Sight>,
    /// The shot's first frame.
    pub anchor: Option<Sight>,
}

/// Where a frame stands in its shot.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub starts_shot: bool,
    pub ends_shot: bool,
}

/// Looks for the motion of one source frame after the other. Between neighbours it is estimated once and used by both.
pub struct MotionFinder<F> {
    flow: F,
    shot: usize,
    before: Option<Sight>,
}

impl<F: FnMut(Numbered, Numbered) -> FlowPair> MotionFinder<F> {
    /// - `flow`: from a frame to another
    pub fn new(flow: F) -> Self {
        Self { flow, shot: 0, before: None }
    }

    /// The next frame's. Of `sources` it takes the frame itself, the next one, the shot's first and the one [`FAR`]
    /// before.
    pub fn step(&mut self, sources: &(impl Views + ?Sized), frame: usize, place: Place) -> Sights {
        if place.starts_shot {
            (self.shot, self.before) = (frame, None);
        }
        let (before, shot) = (self.before.take(), self.shot);
        let after = (!place.ends_shot).then(|| self.look_ahead(sources, frame));
        let is_far = is_judged(frame) && frame >= shot + FAR;
        let is_behind = is_judged(frame) && frame > shot;
        let far = is_far.then(|| self.look(sources, frame, frame - FAR));
        let anchor = is_behind.then(|| self.look(sources, frame, shot));
        Sights { frame, shot, before, after, far, anchor }
    }

    fn look(&mut self, sources: &(impl Views + ?Sized), frame: usize, other: usize) -> Sight {
        let (frame, other) = ((frame, &sources[frame].picture), (other, &sources[other].picture));
        let flow = (self.flow)(frame, other);
        Sight::of(frame, other, &flow.to, &flow.from)
    }

    fn look_ahead(&mut self, sources: &(impl Views + ?Sized), frame: usize) -> Sight {
        let (frame, next) = ((frame, &sources[frame].picture), (frame + 1, &sources[frame + 1].picture));
        let flow = (self.flow)(frame, next);
        self.before = Some(Sight::of(next, frame, &flow.from, &flow.to));
        Sight::of(frame, next, &flow.to, &flow.from)
    }

    /// All frames of a source that has no cut.
    pub fn whole(mut self, sources: &(impl Views + ?Sized), frames: usize) -> Vec<Sights> {
        let place = |frame: usize| Place { starts_shot: frame == 0, ends_shot: frame + 1 == frames };
        (0..frames).map(|frame| self.step(sources, frame, place(frame))).collect()
    }
}

/// The engine's own estimator, but each pair on its own, without tracking.
pub struct Estimator<'a> {
    flow: &'a FlowEstimator,
    /// The one used last is the last.
    features: Vec<(usize, Features)>,
}

impl<'a> Estimator<'a> {
    pub fn new(flow: &'a FlowEstimator) -> Self {
        Self { flow, features: vec![] }
    }

    pub fn pair(&mut self, frame: Numbered, other: Numbered) -> FlowPair {
        if frame.0.abs_diff(other.0) == 1 {
            return self.flow.near(frame.1, other.1);
        }
        self.take_up(frame);
        self.take_up(other);
        let [.., features, others] = &self.features[..] else { unreachable!("both were taken up") };
        self.flow.matched((frame.1, &features.1), (other.1, &others.1))
    }

    /// Puts a frame's features last.
    fn take_up(&mut self, (number, frame): Numbered) {
        let known = self.features.iter().position(|(known, _)| *known == number);
        let features = match known {
            Some(index) => self.features.remove(index).1,
            None => self.flow.features(frame),
        };
        self.features.push((number, features));
        self.features.drain(..self.features.len().saturating_sub(KEPT));
    }
}

pub mod mask {
    use gstflowvid::conditions::filters::dilate;
    use tch::{Kind, Tensor};

    /// Two pixels to either side of an area's border, bool.
    pub fn border(area: &Tensor) -> Tensor {
        let (inside, outside) = (area.to_kind(Kind::Float), area.logical_not().to_kind(Kind::Float));
        (dilate(&inside) * dilate(&outside)).gt(0.5)
    }
}

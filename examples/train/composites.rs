//! What the engine would know of a scene: flows as they really err, masks, warped edits and proposals.

use tch::{Device, Kind, Tensor};

use crate::{
    edits::Edit,
    pictures::Pictures,
    random::{Random, smooth_noise},
    scenes::{KEYFRAMES, PAIRS, Scene},
};
use gstflowvid::{
    conditions::{
        canny::{Hysteresis, canny},
        filters::gaussian,
        lucas_kanade::Refinement,
        occlusion::{Thresholds, confidence},
        warp::{Border, Sampling, warp},
    },
    diffusion::{ControlCondition, PictureConditions},
    editors::looks::Looks,
    engine::unknown_edit::{Composite, Proposer, WarpedEdit},
};

/// The share of clips of which only a part is edited, and that of them whose colours alone are.
const LOCAL: f64 = 0.4;
const RECOLOURED: f64 = 0.6;
/// The share of clips with more holes than their motion makes.
const TORN: f64 = 0.3;

/// Clips with all that steers them and what they should become; `n = clips * KEYFRAMES`.
pub struct Clips {
    /// `[n, 3, side, side]`, 0..1
    pub source: Tensor,
    pub conditions: PictureConditions,
    /// `[n, 3, side, side]`, 0..1
    pub edited: Tensor,
    /// One a keyframe.
    pub prompts: Vec<String>,
}

/// How clips are drawn.
pub struct Source<'a> {
    pub pictures: &'a Pictures,
    pub looks: &'a Looks,
    /// Words that a prompt may hold.
    pub words: &'a [String],
    pub side: i64,
    pub held_out: bool,
    pub device: Device,
}

impl Source<'_> {
    pub fn draw(&self, random: &mut Random, clips: usize) -> Clips {
        let _no_grad = tch::no_grad_guard();
        let (drawn, prompts): (Vec<[Tensor; 4]>, Vec<String>) =
            (0..clips).map(|_| self.draw_one(random)).unzip();
        let stack = |part: usize| Tensor::cat(&drawn.iter().map(|clip| &clip[part]).collect::<Vec<_>>(), 0);
        let source = stack(0);
        let edited = stack(1);
        let first = edited.unflatten(0, [-1, KEYFRAMES]).narrow(1, 0, 1); // [clips, 1, 3, side, side]
        let first = first.expand([-1, KEYFRAMES, -1, -1, -1], false).flatten(0, 1);
        let conditions = PictureConditions {
            composite: stack(2),
            confidence: stack(3),
            first,
            control: vec![(ControlCondition::Canny, canny(&source, Hysteresis::default()))],
        };
        let prompts = prompts.into_iter().flat_map(|prompt| vec![prompt; KEYFRAMES as usize]).collect();
        Clips { source, conditions, edited, prompts }
    }

    /// Source, true edit, composite and confidence of a clip's keyframes; and its prompt.
    fn draw_one(&self, random: &mut Random) -> ([Tensor; 4], String) {
        let local = random.chance(LOCAL);
        let edit = if local && random.chance(RECOLOURED) {
            Edit::recolour(random, self.looks)
        } else {
            Edit::draw(random, self.looks, self.held_out)
        };
        let scene = Scene::draw(random, self.pictures, (&edit, local), self.side, self.device);
        let sight = Sight::of(random, &scene);
        let known = !local && random.chance(0.55);
        let at = |index: i64| scene.edited.narrow(0, index, 1);
        let proposer = (!known).then(|| Proposer::from_edit(&scene.source.narrow(0, 0, 1), &at(0)));
        let mut composites = vec![at(0)];
        let mut confidences = vec![at(0).narrow(1, 0, 1).ones_like()];
        for keyframe in 1..KEYFRAMES {
            let composite = sight.composite(keyframe, &composites);
            let source = scene.source.narrow(0, keyframe, 1);
            let proposal = match &proposer {
                Some(proposer) => proposer.propose(self.looks, &source, &composite, None).edit,
                None => match_color(&edit.apply(&source), &composite.picture(), &composite.confidence),
            };
            composites.push(composite.filled(&proposal).clamp(0.0, 1.0));
            confidences.push(composite.confidence);
        }
        let edited = scene.edited.shallow_clone();
        let clip = [scene.source, edited, Tensor::cat(&composites, 0), Tensor::cat(&confidences, 0)];
        (clip, self.prompt(random, &edit))
    }

    /// The edit's own words, none, or some that say nothing of the picture: the composite shows the look, and
    /// a prompt of any words must not disturb it.
    fn prompt(&self, random: &mut Random, edit: &Edit) -> String {
        if random.chance(0.4) {
            return edit.words();
        }
        (0..random.below(5))
            .map(|_| self.words[random.below(self.words.len())].as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// How the pairs of keyframes seem to see each other.
struct Sight {
    flow: Tensor,       // [PAIRS, 2, side, side]
    confidence: Tensor, // [PAIRS / 2, 1, side, side]
    wear: f64,
}

impl Sight {
    fn of(random: &mut Random, scene: &Scene) -> Self {
        let pick = |side: fn((i64, i64)) -> i64| {
            let index = Tensor::from_slice(&PAIRS.map(side)).to_device(scene.source.device());
            scene.source.index_select(0, &index)
        };
        let (from, to) = (pick(|pair| pair.0), pick(|pair| pair.1));
        let flow = degraded(random, &scene.flow, &from, &to);
        let half = |maps: &Tensor, start: i64| maps.narrow(0, start, 3);
        let seen = confidence(
            &half(&flow, 0),
            &half(&flow, 3),
            &half(&from, 0),
            &half(&to, 0),
            &Thresholds::default(),
        );
        let seen = if random.chance(TORN) { seen * more_holes(random, &flow) } else { seen };
        let wear = if random.chance(0.35) { random.within(0.35, 0.8) } else { 0.0 };
        Self { flow, confidence: seen, wear }
    }

    /// The warped edits of keyframe 1 (of the anchor) or 2 (of the anchor, then of keyframe 1).
    fn composite(&self, keyframe: i64, edits: &[Tensor]) -> Composite {
        let pairs = if keyframe == 1 { 0..1 } else { 1..3 };
        let warped = |pair: i64| {
            let edit = &edits[PAIRS[pair as usize].1 as usize];
            let warped = warp(edit, &self.flow.narrow(0, pair, 1), Sampling::Bicubic, Border::Replicate);
            let warped = if self.wear > 0.0 { gaussian(&warped, self.wear) } else { warped };
            let confidence = self.confidence.narrow(0, pair, 1);
            WarpedEdit { picture: warped.clamp(0.0, 1.0), mask: None, confidence }
        };
        Composite::of(&pairs.map(warped).collect::<Vec<_>>())
    }
}

/// An estimator's errors: borders blurred, drift, and in half of the clips what Lucas-Kanade makes of that.
fn degraded(random: &mut Random, flow: &Tensor, from: &Tensor, to: &Tensor) -> Tensor {
    let size = flow.size();
    let blurred =
        if random.chance(0.7) { gaussian(flow, random.within(0.8, 3.0)) } else { flow.shallow_clone() };
    let drift = smooth_noise([size[0], 2, size[2], size[3]], random.within(6.0, 20.0), flow.device());
    let drifted = blurred + drift * random.within(0.0, 0.7);
    if random.chance(0.5) { Refinement::default().refine(from, to, &drifted) } else { drifted }
}

/// 1 but for some soft patches, `[PAIRS / 2, 1, side, side]`.
fn more_holes(random: &mut Random, flow: &Tensor) -> Tensor {
    let size = flow.size();
    let noise = smooth_noise([3, 1, size[2], size[3]], random.within(8.0, 20.0), flow.device());
    gaussian(&noise.lt(random.within(0.8, 2.0)).to_kind(Kind::Float), 1.0)
}

/// Gain 0.8..1.25 and offset up to 0.1 a channel, so that `picture` has the colours that `seen` has.
fn match_color(picture: &Tensor, seen: &Tensor, confidence: &Tensor) -> Tensor {
    let weight = confidence / confidence.sum(Kind::Float).clamp_min(1.0);
    let over = |maps: &Tensor| (maps * &weight).sum_dim_intlist([2, 3].as_slice(), true, Kind::Float);
    let (own, wanted) = (over(picture), over(seen));
    let spread = |maps: &Tensor, mean: &Tensor| over(&(maps - mean).square()).sqrt();
    let gain = (spread(seen, &wanted) + 0.01) / (spread(picture, &own) + 0.01);
    let gain = gain.clamp(0.8, 1.25);
    let offset = (wanted - &own * &gain).clamp(-0.1, 0.1);
    picture * gain + offset
}

//! How exact the flow and the occlusion mask are, and what a keyframe's flow costs: tables in markdown.
//!
//! ```sh
//! cargo run --release --example flow_accuracy
//! cargo run --release --example flow_accuracy -- FOLDER_OF_FRAMES ...
//! ```
//!
//! Without folders: synthetic motion whose flow and occlusion are known. With folders (pictures in order):
//! the ways to a keyframe's flow, on every fourth picture.

use std::{fs, path::Path, time::Instant};

#[path = "../tests/common/mod.rs"]
mod common;
mod pictures;

use clap::Parser;
use common::{
    model,
    motion::{Accuracy, Scene, scenes},
};
use gstflowvid::{
    conditions::{
        filters::resize,
        flow::{CLEAR, FlowEstimator, FlowPair, TRACKED},
        gmflow::{Features, GmFlow},
        lucas_kanade::Refinement,
        occlusion::{Thresholds, confidence, visible_fraction},
        warp::{Border, Sampling, warp},
    },
    torch::Placement,
    weights::load,
};
use pictures::tensors;
use tch::{Kind, Tensor};

#[derive(Parser)]
struct Arguments {
    /// Folders of pictures
    folders: Vec<String>,
    /// Keyframes a folder
    #[arg(long, default_value_t = 8)]
    keyframes: usize,
    /// Pictures passed over at each folder's begin
    #[arg(long, default_value_t = 36)]
    skip: usize,
}

const INTERVAL: usize = 4;
/// Height and width at which real pictures are compared.
const SIZE: (i64, i64) = (256, 448);
/// Pixels seen with more confidence than this are compared.
const SEEN: f64 = 0.9;
/// Near-first takes the near match where it sees so much of the frame.
const NEAR: f64 = 0.85;

struct Estimators {
    gmflow: GmFlow,
    flow: FlowEstimator,
}

type Estimate = fn(&Estimators, &Tensor, &Tensor) -> FlowPair;

/// The first is the frame, the second the reference.
const DIRECT: [(&str, Estimate); 6] = [
    ("GMFlow coarse", |e, a, b| e.gmflow(a, b, GmFlow::coarse)),
    ("GMFlow whole", |e, a, b| e.gmflow(a, b, GmFlow::forward)),
    ("coarse + LK (far)", |e, a, b| e.flow.far(a, b)),
    ("whole + LK", |e, a, b| refined(a, b, &e.gmflow(a, b, GmFlow::forward), &Refinement::default())),
    ("half-size coarse + LK", Estimators::half),
    ("LK pyramid (near)", |e, a, b| e.flow.near(a, b)),
];
const STEPS: [(&str, Estimate); 2] =
    [("far, tracked", |e, a, b| e.flow.far(a, b)), ("near, tracked", |e, a, b| e.flow.near(a, b))];

fn main() -> anyhow::Result<()> {
    let (arguments, _no_grad) = (Arguments::parse(), tch::no_grad_guard());
    let network = || load(&model("gmflow"), Placement::cpu(), GmFlow::new);
    let estimators = Estimators { gmflow: network()?, flow: FlowEstimator::new(network()?) };
    if arguments.folders.is_empty() {
        estimators.synthetic();
    }
    for folder in &arguments.folders {
        let frames = frames(Path::new(folder), &arguments)?;
        println!("\n{folder}: {} keyframes\n", frames.len() - 1);
        estimators.keyframes(&frames);
    }
    Ok(())
}

impl Estimators {
    fn gmflow(
        &self,
        frame: &Tensor,
        reference: &Tensor,
        stage: fn(&GmFlow, &Features, &Features) -> (Tensor, Tensor),
    ) -> FlowPair {
        let (to, from) = stage(&self.gmflow, &self.gmflow.features(frame), &self.gmflow.features(reference));
        FlowPair { to, from }
    }

    fn half(&self, frame: &Tensor, reference: &Tensor) -> FlowPair {
        let [own, other] = [frame, reference]
            .map(|image| self.flow.half_features(image).expect("the scenes are large enough"));
        self.flow.matched((frame, &own), (reference, &other))
    }

    /// To the frame at time 0 in four steps.
    fn tracked(&self, scene: &Scene, step: Estimate) -> FlowPair {
        let frames: Vec<Tensor> = (0..=4).map(|index| scene.frame(f64::from(index) / 4.0)).collect();
        let first = step(self, &frames[1], &frames[0]);
        (2..=4).fold(first, |known, index| {
            let to_between = step(self, &frames[index], &frames[index - 1]);
            self.flow.tracked(&known, &to_between, &frames[index], &frames[0])
        })
    }

    fn synthetic(&self) {
        let names = DIRECT.iter().chain(&STEPS).map(|(name, _)| *name).collect::<Vec<_>>();
        let rows: Vec<_> = scenes().iter().map(|(name, scene)| (*name, self.accuracies(scene))).collect();
        println!("End-point error on visible pixels, mean / median, pixels:\n");
        print_table(&names, &rows, |accuracy| format!("{:.2} / {:.2}", accuracy.mean, accuracy.median));
        println!("\nOcclusion mask (confidence under .5), precision / recall, per cent:\n");
        print_table(&names, &rows, |accuracy| match accuracy.hidden {
            0.0 => "-".into(),
            _ => format!("{:.0} / {:.0}", accuracy.precision * 100.0, accuracy.recall * 100.0),
        });
        println!("\nVisible pixels that the mask calls hidden, per cent:\n");
        print_table(&names, &rows, |accuracy| format!("{:.1}", accuracy.false_alarm * 100.0));
    }

    fn accuracies(&self, scene: &Scene) -> Vec<Accuracy> {
        let (frame, reference, truth) = (scene.frame(1.0), scene.frame(0.0), scene.truth(1.0, 0.0));
        let direct = DIRECT.iter().map(|(_, estimate)| estimate(self, &frame, &reference));
        let tracked = STEPS.iter().map(|(_, step)| self.tracked(scene, *step));
        let judge = |pair: FlowPair| {
            let seen = confidence(&pair.to, &pair.from, &frame, &reference, &Thresholds::default());
            Accuracy::of(&pair.to, &seen, &truth)
        };
        direct.chain(tracked).map(judge).collect()
    }

    /// The ways to a keyframe's flow, alternating keyframe by keyframe.
    fn keyframes(&self, frames: &[Tensor]) {
        let mut tallies = WAYS.map(|(_, way)| Tally::new(way, frames.len()));
        for index in 1..frames.len() {
            for tally in &mut tallies {
                tally.add(self, frames, index);
            }
        }
        println!("| way | processor s | fastest s | previous seen | error | anchor seen | error | either |");
        println!("|---|---|---|---|---|---|---|---|");
        for ((name, _), tally) in WAYS.iter().zip(&tallies) {
            tally.print(name, frames.len() - 1);
        }
    }
}

/// How the flow to the previous keyframe and to the anchor is found.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Both by the whole network alone, called anew for each pair, as FlowVid would.
    WholeCalls,
    /// Both by its coarse stage and LK, called anew for each pair.
    CoarseCalls,
    /// As `CoarseCalls`, but with features made once a frame.
    Matched,
    /// The previous one so; the anchor tracked, or matched where tracking has lost it.
    Tracked,
    /// As `Tracked`, but the previous one by LK alone where that sees enough.
    NearFirst,
    /// As `Tracked`, but each match at half size first, and at full size where that sees little: as the engine does.
    HalfFirst,
    /// Both by GMFlow at half size.
    Half,
}

const WAYS: [(&str, Way); 7] = [
    ("two calls of the whole GMFlow", Way::WholeCalls),
    ("two calls of its coarse stage", Way::CoarseCalls),
    ("two GMFlow matches", Way::Matched),
    ("one GMFlow match, tracking", Way::Tracked),
    ("near first, tracking", Way::NearFirst),
    ("half size first, tracking", Way::HalfFirst),
    ("two half-size GMFlow matches", Way::Half),
];

/// What one way gave, summed over keyframes.
struct Tally {
    way: Way,
    features: Vec<Option<Features>>,
    half_features: Vec<Option<Features>>,
    to_anchor: Option<FlowPair>,
    processor: f64,
    fastest: f64,
    /// Share of the frame that is seen and its mean error there (0..255): previous keyframe, anchor.
    references: [(f64, f64); 2],
    /// Share of the frame that one or the other sees.
    either: f64,
}

impl Tally {
    fn new(way: Way, frames: usize) -> Self {
        Self {
            way,
            features: (0..frames).map(|_| None).collect(),
            half_features: (0..frames).map(|_| None).collect(),
            to_anchor: None,
            processor: 0.0,
            fastest: f64::INFINITY,
            references: [(0.0, 0.0); 2],
            either: 0.0,
        }
    }

    fn add(&mut self, e: &Estimators, frames: &[Tensor], index: usize) {
        let (processor, begun) = (processor_seconds(), Instant::now());
        let to_previous = self.find_previous(e, frames, index);
        let to_anchor = self.find_anchor(e, frames, index, &to_previous);
        self.fastest = self.fastest.min(begun.elapsed().as_secs_f64());
        self.processor += processor_seconds() - processor;
        let previous = Residual::of(&to_previous, &frames[index], &frames[index - 1]);
        let anchor = Residual::of(&to_anchor, &frames[index], &frames[0]);
        for (sums, found) in self.references.iter_mut().zip([&previous, &anchor]) {
            *sums = (sums.0 + visible_fraction(&found.confidence), sums.1 + found.error);
        }
        self.either += visible_fraction(&previous.confidence.maximum(&anchor.confidence));
        self.to_anchor = Some(to_anchor);
    }

    fn find_previous(&mut self, e: &Estimators, frames: &[Tensor], index: usize) -> FlowPair {
        let (frame, previous) = (&frames[index], &frames[index - 1]);
        match self.way {
            Way::WholeCalls => e.gmflow(frame, previous, GmFlow::forward),
            Way::CoarseCalls => e.flow.far(frame, previous),
            Way::Half => e.half(frame, previous),
            Way::NearFirst => {
                let near = e.flow.near(frame, previous);
                if seen(&near, frame, previous) < NEAR {
                    self.matched(e, frames, index, index - 1)
                } else {
                    near
                }
            }
            Way::HalfFirst => self.half_first(e, frames, index, index - 1),
            Way::Matched | Way::Tracked => self.matched(e, frames, index, index - 1),
        }
    }

    fn find_anchor(
        &mut self,
        e: &Estimators,
        frames: &[Tensor],
        index: usize,
        to_previous: &FlowPair,
    ) -> FlowPair {
        let (frame, anchor) = (&frames[index], &frames[0]);
        match (&self.to_anchor, self.way) {
            (_, Way::WholeCalls) => e.gmflow(frame, anchor, GmFlow::forward),
            (_, Way::CoarseCalls) => e.flow.far(frame, anchor),
            (_, Way::Half) => e.half(frame, anchor),
            (Some(known), Way::Tracked | Way::NearFirst | Way::HalfFirst) => {
                let tracked = e.flow.tracked(known, to_previous, frame, anchor);
                if seen(&tracked, frame, anchor) >= TRACKED {
                    tracked
                } else {
                    self.matched(e, frames, index, 0)
                }
            }
            (None, Way::HalfFirst) => self.half_first(e, frames, index, 0),
            _ => self.matched(e, frames, index, 0),
        }
    }

    fn half_first(&mut self, e: &Estimators, frames: &[Tensor], frame: usize, other: usize) -> FlowPair {
        let make = |image: &Tensor| e.flow.half_features(image).expect("the pictures are large enough");
        let half = matched(&e.flow, &mut self.half_features, (frames, frame, other), make);
        let share = seen(&half, &frames[frame], &frames[other]);
        if share >= CLEAR {
            return half;
        }
        let whole = self.matched(e, frames, frame, other);
        if seen(&whole, &frames[frame], &frames[other]) > share { whole } else { half }
    }

    fn matched(&mut self, e: &Estimators, frames: &[Tensor], frame: usize, other: usize) -> FlowPair {
        matched(&e.flow, &mut self.features, (frames, frame, other), |image| e.flow.features(image))
    }

    fn print(&self, name: &str, keyframes: usize) {
        let mean = |sum: f64| sum / keyframes as f64;
        let [previous, anchor] = self.references.map(|(share, error)| (mean(share), mean(error)));
        println!(
            "| {name} | {:.2} | {:.2} | {:.3} | {:.2} | {:.3} | {:.2} | {:.3} |",
            mean(self.processor),
            self.fastest,
            previous.0,
            previous.1,
            anchor.0,
            anchor.1,
            mean(self.either)
        );
    }
}

/// From one of `frames` to another, by features that are made once a frame.
fn matched(
    flow: &FlowEstimator,
    known: &mut [Option<Features>],
    (frames, frame, other): (&[Tensor], usize, usize),
    make: impl Fn(&Tensor) -> Features,
) -> FlowPair {
    for index in [frame, other] {
        known[index].get_or_insert_with(|| make(&frames[index]));
    }
    let with_features = |index: usize| (&frames[index], known[index].as_ref().expect("just made"));
    flow.matched(with_features(frame), with_features(other))
}

/// A reference warped onto a frame.
struct Residual {
    confidence: Tensor,
    /// Mean absolute difference (0..255) on the pixels that are seen.
    error: f64,
}

impl Residual {
    fn of(pair: &FlowPair, frame: &Tensor, reference: &Tensor) -> Self {
        let confidence = confidence(&pair.to, &pair.from, frame, reference, &Thresholds::default());
        let carried = warp(reference, &pair.to, Sampling::Bilinear, Border::Replicate);
        let error = (frame - carried).abs().mean_dim([1].as_slice(), true, Kind::Float) * 255.0;
        let error = error.masked_select(&confidence.gt(SEEN)).mean(Kind::Double).double_value(&[]);
        Self { confidence, error }
    }
}

fn seen(pair: &FlowPair, frame: &Tensor, reference: &Tensor) -> f64 {
    visible_fraction(&confidence(&pair.to, &pair.from, frame, reference, &Thresholds::default()))
}

fn refined(frame: &Tensor, reference: &Tensor, pair: &FlowPair, refinement: &Refinement) -> FlowPair {
    FlowPair {
        to: refinement.refine(frame, reference, &pair.to),
        from: refinement.refine(reference, frame, &pair.from),
    }
}

fn print_table(names: &[&str], rows: &[(&str, Vec<Accuracy>)], cell: impl Fn(&Accuracy) -> String) {
    println!("| | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for (name, accuracies) in rows {
        println!("| {name} | {} |", accuracies.iter().map(&cell).collect::<Vec<_>>().join(" | "));
    }
}

/// What this process has used so far, user and system; others' load does not count.
fn processor_seconds() -> f64 {
    let status = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = status.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn frames(folder: &Path, arguments: &Arguments) -> anyhow::Result<Vec<Tensor>> {
    let files = pictures::files(folder)?;
    let chosen = files.iter().skip(arguments.skip).step_by(INTERVAL).take(arguments.keyframes + 1);
    let frames = chosen.map(|file| picture(file)).collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(frames.len() > 1, "{} holds too few pictures", folder.display());
    Ok(frames)
}

/// `[1, 3, 256, 448]`, 0..1.
fn picture(file: &Path) -> anyhow::Result<Tensor> {
    let image = pictures::read(file)?;
    Ok(resize(&tensors::from_image(&image), SIZE))
}

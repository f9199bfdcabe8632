//! A large random family of edits: functions from a picture to its edit, the same for every frame of a clip.

use tch::{Kind, Tensor};

use crate::random::Random;
use gstflowvid::{
    conditions::filters::{gaussian, luma, mean, scharr},
    editors::looks::Looks,
};

/// The procedural looks of the model's own editor. The first two are held out with [`HELD_OUT`]; looks of the
/// painterly network are no part of the training, since its licence is hedged.
const LOOKS: [&str; 22] = [
    "pencil",
    "oil",
    "charcoal",
    "ink",
    "blueprint",
    "watercolour",
    "pastel",
    "clay",
    "cartoon",
    "comic",
    "poster",
    "winter",
    "autumn",
    "sunset",
    "night",
    "neon",
    "infrared",
    "dream",
    "vintage",
    "noir",
    "cyanotype",
    "thermal",
];
const HELD_OUT_LOOKS: usize = 2;

/// What an edit begins with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kin {
    Look(&'static str),
    Color,
    Network,
    Sketch,
    Glow,
    Paint,
    Sharpen,
    Relief,
    Hatching,
}

const TRAINING: [Kin; 7] =
    [Kin::Color, Kin::Color, Kin::Network, Kin::Sketch, Kin::Glow, Kin::Paint, Kin::Sharpen];
/// Validation sees only them and the held-out looks, training never.
const HELD_OUT: [Kin; 2] = [Kin::Relief, Kin::Hatching];

impl Kin {
    fn draw(random: &mut Random, held_out: bool) -> Self {
        let look = random.chance(0.45);
        let (looks, others) = if held_out {
            (&LOOKS[..HELD_OUT_LOOKS], HELD_OUT.as_slice())
        } else {
            (&LOOKS[HELD_OUT_LOOKS..], TRAINING.as_slice())
        };
        if look { Self::Look(looks[random.below(looks.len())]) } else { others[random.below(others.len())] }
    }
}

/// The first look that the training asks for and `looks` lacks.
pub fn missing_look(looks: &Looks) -> Option<&'static str> {
    LOOKS.into_iter().find(|name| looks.named(name).is_none())
}

type Step = Box<dyn Fn(&Tensor) -> Tensor>;

/// One edit of the family.
pub struct Edit<'a> {
    kin: Kin,
    looks: &'a Looks,
    steps: Vec<Step>,
    /// Only pixels of about this colour are edited.
    only: Option<([f64; 3], f64)>,
}

impl<'a> Edit<'a> {
    pub fn draw(random: &mut Random, looks: &'a Looks, held_out: bool) -> Self {
        let kin = Kin::draw(random, held_out);
        let mut steps: Vec<Step> = first_step(kin, random).into_iter().collect();
        let is_look = matches!(kin, Kin::Look(_));
        let more = if is_look && random.chance(0.6) { 0 } else { random.below(3) };
        steps.extend((0..more).map(|_| color_step(random)));
        let only = random.chance(0.15).then(|| (random.color(0.1, 0.9), random.within(0.15, 0.35)));
        Self { kin, looks, steps, only }
    }

    /// One that changes colours alone.
    pub fn recolour(random: &mut Random, looks: &'a Looks) -> Self {
        let steps = (0..1 + random.below(2)).map(|_| color_step(random)).collect();
        Self { kin: Kin::Color, looks, steps, only: None }
    }

    /// What a prompt for it would say; empty for an edit that has no name.
    pub fn words(&self) -> String {
        if let Kin::Look(name) = self.kin { name.into() } else { String::new() }
    }

    /// - `pictures`: `[n, 3, H, W]`, 0..1
    pub fn apply(&self, pictures: &Tensor) -> Tensor {
        let begun = match self.kin {
            Kin::Look(name) => {
                let look = self.looks.named(name).expect("checked when the run started");
                self.looks.apply(&look, pictures, 1.0, None)
            }
            _ => pictures.shallow_clone(),
        };
        let edited = self.steps.iter().fold(begun, |picture, step| step(&picture));
        let edited = edited.clamp(0.0, 1.0);
        match self.only {
            None => edited,
            Some((color, width)) => {
                let distance = (gaussian(pictures, 1.0) - rgb(pictures, color)).square();
                let distance = distance.sum_dim_intlist([1].as_slice(), true, Kind::Float);
                let share = (distance / (-2.0 * width * width)).exp();
                pictures + share * (edited - pictures)
            }
        }
    }
}

fn first_step(kin: Kin, random: &mut Random) -> Option<Step> {
    let step = match kin {
        Kin::Look(_) => return None,
        Kin::Color => color_step(random),
        Kin::Network => network(random),
        Kin::Sketch => sketch(random),
        Kin::Glow => glow(random),
        Kin::Paint => paint(random),
        Kin::Sharpen => sharpen(random),
        Kin::Relief => relief(random),
        Kin::Hatching => hatching(random),
    };
    Some(step)
}

/// A colour as `[1, 3, 1, 1]`.
fn rgb(like: &Tensor, color: [f64; 3]) -> Tensor {
    Tensor::from_slice(&color).to_device(like.device()).to_kind(Kind::Float).view([1, 3, 1, 1])
}

fn mix(first: &Tensor, second: &Tensor, share: f64) -> Tensor {
    first * (1.0 - share) + second * share
}

/// Three random instance-normed convolutions: textures that no rule describes.
fn network(random: &mut Random) -> Step {
    let kernels = [[6, 3, 5], [6, 6, 3], [3, 6, 3]].map(|[out, into, side]| {
        Tensor::randn([out, into, side, side], (Kind::Float, tch::Device::Cpu)) / (into * side * side) as f64
    });
    let [share, scale] = [random.within(0.3, 1.0), random.within(0.12, 0.28)];
    let center = random.color(0.35, 0.65);
    let rectified = random.chance(0.5);
    Box::new(move |picture| {
        let mut hidden = picture - 0.5;
        for (index, kernel) in kernels.iter().enumerate() {
            let pad = kernel.size()[2] / 2;
            let padded = hidden.replication_pad2d([pad; 4]);
            hidden =
                padded.conv2d(&kernel.to_device(picture.device()), None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
            let deviation = hidden.std_dim([2, 3].as_slice(), true, true) + 0.02;
            hidden = (&hidden - hidden.mean_dim([2, 3].as_slice(), true, Kind::Float)) / deviation;
            if index < 2 {
                hidden = if rectified { hidden.leaky_relu() } else { (hidden * 2.0).sin() };
            }
        }
        mix(picture, &(hidden * scale + rgb(picture, center)), share)
    })
}

fn sketch(random: &mut Random) -> Step {
    let fine = random.within(0.6, 1.5);
    let coarse = fine * random.within(1.5, 3.5);
    let [threshold, gain, tone] =
        [random.within(-0.01, 0.02), random.within(8.0, 40.0), random.within(0.0, 0.7)];
    let [ink, paper] = [random.color(0.0, 0.35), random.color(0.7, 1.0)];
    let kept = if random.chance(0.35) { random.within(0.2, 0.7) } else { 0.0 };
    Box::new(move |picture| {
        let grey = luma(picture);
        let dark = gaussian(&grey, coarse) - gaussian(&grey, fine);
        let line = 1.0 - ((dark - threshold) * gain).clamp(0.0, 1.0);
        let shade = (gaussian(&grey, 2.0) * 1.2 + 0.05).clamp(0.0, 1.0);
        let value = line * (shade * tone + (1.0 - tone));
        let drawn = rgb(picture, ink) + value * (rgb(picture, paper) - rgb(picture, ink));
        &drawn * (1.0 - kept) + &drawn * picture * (1.5 * kept)
    })
}

fn glow(random: &mut Random) -> Step {
    let [sigma, gain, spread] = [random.within(0.6, 1.6), random.within(3.0, 9.0), random.within(2.0, 5.0)];
    let [first, second, ground] = [random.color(0.0, 1.0), random.color(0.0, 1.0), random.color(0.0, 0.6)];
    Box::new(move |picture| {
        let grey = luma(picture);
        let (x, y) = scharr(&gaussian(&grey, sigma));
        let edge = (x.hypot(&y) * gain - 0.05).clamp(0.0, 1.0);
        let turn = ((y.atan2(&x) * 2.0).sin() + 1.0) * 0.5;
        let light = edge * (&turn * rgb(picture, first) + (1.0 - &turn) * rgb(picture, second));
        grey * rgb(picture, ground) + gaussian(&light, spread) * 0.7 + light
    })
}

/// Flat strokes: of shifted windows the calm ones count.
fn paint(random: &mut Random) -> Step {
    let radius = 1 + random.below(4) as i64;
    let relief = random.within(-0.8, 0.8);
    Box::new(move |picture| {
        let grey = luma(picture);
        let moments = mean(&Tensor::cat(&[picture, &grey, &grey.square()], 1), radius + 1 + radius % 2);
        let padded = moments.replication_pad2d([radius; 4]);
        let size = picture.size();
        let (mut sum, mut total) = (picture.zeros_like(), grey.zeros_like());
        for (dx, dy) in [(0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)] {
            let window =
                padded.narrow(2, radius + dy * radius, size[2]).narrow(3, radius + dx * radius, size[3]);
            let variance = (window.narrow(1, 4, 1) - window.narrow(1, 3, 1).square()).clamp_min(0.0);
            let weight = (variance + 1e-4).pow_tensor_scalar(-2) * 1e-8;
            sum += window.narrow(1, 0, 3) * &weight;
            total += weight;
        }
        let flat = sum / (total + 1e-12);
        let height = luma(&flat);
        &flat + (&height - height.roll([1, 1], [2, 3])) * relief
    })
}

fn sharpen(random: &mut Random) -> Step {
    let [sigma, gain] = [random.within(0.8, 3.0), random.within(-1.0, 2.5)];
    Box::new(move |picture| picture + (picture - gaussian(picture, sigma)) * gain)
}

fn relief(random: &mut Random) -> Step {
    let [sigma, depth, kept] = [random.within(0.7, 1.8), random.within(1.5, 4.0), random.within(0.2, 0.9)];
    let angle = random.within(0.0, std::f64::consts::TAU);
    let clay = random.color(0.4, 0.75);
    Box::new(move |picture| {
        let (x, y) = scharr(&gaussian(&luma(picture), sigma));
        let lit = (x * angle.cos() + y * angle.sin()) * depth;
        mix(&(rgb(picture, clay) + picture * 0.0), picture, kept) + lit
    })
}

fn hatching(random: &mut Random) -> Step {
    let [fine, gain, light] = [random.within(0.8, 1.4), random.within(10.0, 30.0), random.within(0.4, 0.9)];
    let [ink, paper] = [random.color(0.0, 0.3), random.color(0.75, 1.0)];
    Box::new(move |picture| {
        let grey = luma(picture);
        // lines along the picture's own level sets: they move with what they are drawn on
        let lines = ((gaussian(&grey, fine) * 40.0).sin() * 0.5 + 0.5) * (light - &grey).clamp(0.0, 1.0);
        let value = 1.0 - (lines * gain / 10.0).clamp(0.0, 1.0);
        rgb(picture, ink) + value * (rgb(picture, paper) - rgb(picture, ink))
    })
}

fn color_step(random: &mut Random) -> Step {
    match random.below(5) {
        0 => matrix(random),
        1 => gradient_map(random),
        2 => saturation(random),
        3 => posterised(random),
        _ => curve(random),
    }
}

fn matrix(random: &mut Random) -> Step {
    let spread = random.within(0.05, 0.4);
    let own = random.within(0.5, 1.2);
    let matrix = Tensor::randn([3, 3], (Kind::Float, tch::Device::Cpu)) * spread
        + Tensor::eye(3, (Kind::Float, tch::Device::Cpu)) * own;
    let offset = random.color(0.35, 0.65);
    Box::new(move |picture| {
        let kernel = matrix.to_device(picture.device()).view([3, 3, 1, 1]);
        (picture - 0.5).conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1) + rgb(picture, offset)
    })
}

/// Tones to colours, linear between stops.
fn gradient_map(random: &mut Random) -> Step {
    let mut stops: Vec<[f64; 3]> = (0..2 + random.below(4)).map(|_| random.color(0.0, 1.0)).collect();
    if random.chance(0.7) {
        stops.sort_by(|a, b| a.iter().sum::<f64>().total_cmp(&b.iter().sum::<f64>()));
    }
    let share = random.within(0.4, 1.0);
    Box::new(move |picture| {
        let tone = luma(picture).clamp(0.0, 1.0) * (stops.len() - 1) as f64;
        let mapped = stops.windows(2).enumerate().fold(rgb(picture, stops[0]), |color, (index, pair)| {
            let step: [f64; 3] = std::array::from_fn(|channel| pair[1][channel] - pair[0][channel]);
            color + (&tone - index as f64).clamp(0.0, 1.0) * rgb(picture, step)
        });
        mix(picture, &mapped, share)
    })
}

fn saturation(random: &mut Random) -> Step {
    let factor = random.within(0.0, 2.0);
    Box::new(move |picture| {
        let grey = luma(picture);
        &grey + (picture - &grey) * factor
    })
}

/// Steps with soft flanks.
fn posterised(random: &mut Random) -> Step {
    let levels = 3.0 + random.below(4) as f64;
    let sigma = random.within(0.5, 1.5);
    Box::new(move |picture| {
        let scaled = gaussian(picture, sigma).clamp(0.0, 1.0) * levels;
        let floor = scaled.floor();
        (&floor + ((scaled - &floor - 0.5) * 4.0 + 0.5).clamp(0.0, 1.0)) / levels
    })
}

fn curve(random: &mut Random) -> Step {
    let [power, gain, offset] = [random.within(0.5, 1.9), random.within(0.7, 1.2), random.within(-0.1, 0.2)];
    let inverted = random.chance(0.12);
    Box::new(move |picture| {
        let bent = picture.clamp(1e-3, 1.0).pow_tensor_scalar(power) * gain + offset;
        if inverted { 1.0 - bent } else { bent }
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use gstflowvid::{
        torch::Placement,
        weights::{ModelFolder, search_path},
    };

    pub fn looks() -> Looks {
        let folder = ModelFolder::find("nano", &search_path(None)).unwrap();
        Looks::load(&folder, Placement::cpu()).unwrap()
    }

    #[test]
    fn every_look_of_the_family_exists() {
        assert_eq!(missing_look(&looks()), None);
    }

    #[test]
    fn an_edit_is_the_same_for_every_frame() {
        let looks = looks();
        for seed in 0..12 {
            let edit = Edit::draw(&mut Random::at(seed, 0), &looks, seed % 2 == 0);
            let picture = Tensor::rand([1, 3, 32, 48], (Kind::Float, tch::Device::Cpu));
            let edited = edit.apply(&picture);
            assert!((edit.apply(&picture) - &edited).abs().max().double_value(&[]) < 1e-6, "seed {seed}");
            assert!(edited.min().double_value(&[]) >= 0.0 && edited.max().double_value(&[]) <= 1.0);
        }
    }
}

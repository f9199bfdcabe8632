//! Objects that an edit recolours: plain to see in the first frame, then they move, turn, pass behind a post and come
//! back. What is recoloured is painted over real frames, so its truth is known everywhere. The object's pattern is its own,
//! its colours are the background's: no map of colours can explain an edit that leaves the background as it is.

use clap::ValueEnum;
use gstflowvid::conditions::{
    filters::gaussian,
    warp::{Border, Sampling, target_coordinates, warp},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use tch::{Kind, Tensor};

use crate::shot::{Edited, Shot};

/// What is painted.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Object {
    /// A ball that rolls: new texture comes over its rim.
    Ball,
    /// A flat piece, cut from another part of the frame, that turns in the picture's plane and grows.
    Piece,
    /// An upright drum that turns.
    Drum,
}

/// Radius over the picture's height.
const RADIUS: f64 = 0.2;
/// Keyframes from one end of the path to the other.
const HALF_WAY: f64 = 10.0;
/// Radians that a ball or drum turns a keyframe, and a flat piece.
const ROLL: f64 = 0.16;
const TURN: f64 = 0.07;
/// Growth of the flat piece a keyframe.
const GROWTH: f64 = 0.012;
/// Side of the square whose mean is a colour of the background, pixels.
const AROUND: i64 = 17;
/// Sigma of the pattern's grains, pixels.
const GRAIN: f64 = 3.0;
const SEED: u64 = 11;
/// Radians that hues are turned by.
const HUE: f64 = 2.4;
/// So that what is grey is recoloured too.
const TINT: [f32; 3] = [1.35, 0.8, 0.6];
/// Half the post's width over the picture's height, enough to hide all of the object; and how bright the post is.
const POST: f64 = 0.24;
const SHADE: f64 = 0.6;

impl Object {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ball => "ball",
            Self::Piece => "flat piece",
            Self::Drum => "drum",
        }
    }

    /// Where each position of the object, in radii from its middle, lies on its texture, in the same unit, and how far
    /// inside its outline it is; `turned`: radians.
    fn surface(self, x: &Tensor, y: &Tensor, turned: f64) -> (Tensor, Tensor, Tensor) {
        match self {
            Self::Ball => {
                let half = (y.square() * -1.0 + 1.0).clamp_min(1e-3).sqrt();
                let around = (x / half).clamp(-1.0, 1.0).asin() + turned;
                (around, y.clamp(-1.0, 1.0).asin(), x.hypot(y) * -1.0 + 1.0)
            }
            Self::Piece => {
                let (sin, cos) = turned.sin_cos();
                let (u, v) = (x * cos + y * sin, y * cos - x * sin);
                let rim = (v.atan2(&u) * 5.0).cos() * 0.2 + 0.9;
                let inside = rim - u.hypot(&v);
                (u, v, inside)
            }
            Self::Drum => {
                let around = x.clamp(-1.0, 1.0).asin() + turned;
                let [beside, below] = [x.abs() * -1.0 + 1.0, y.abs() * -1.0 + 1.2];
                (around, y.shallow_clone(), beside.minimum(&below))
            }
        }
    }

    /// What the object is covered with, `[1, 3, H, W]`, 0..1, from the colours of `frame`.
    fn texture(self, frame: &Tensor) -> Tensor {
        let [light, dark] = [[0.8, 0.75], [0.3, 0.75]].map(|at| colour_at(frame, at));
        let (x, y) = positions(frame);
        let share = match self {
            Self::Ball => (blotches(frame) * 2.0).tanh() * 0.5 + 0.5,
            Self::Drum => ((x * 0.35 + y * 0.2).sin() * 3.0 + blotches(frame)).tanh() * 0.5 + 0.5,
            Self::Piece => return frame.flip([3]),
        };
        &dark + (light - &dark) * share
    }

    fn turned(self, keyframe: f64) -> f64 {
        keyframe * if matches!(self, Self::Piece) { TURN } else { ROLL }
    }

    fn size(self, keyframe: f64) -> f64 {
        if matches!(self, Self::Piece) { 1.0 + GROWTH * keyframe } else { 1.0 }
    }
}

/// The shot with `object` in it, and its edit: the object recoloured. Judged are the pixels that show the object.
pub fn paint(object: Object, shot: &Shot) -> Edited {
    let mut edited = Edited { sources: vec![], truth: vec![], judged: None };
    let mut judged = vec![];
    let texture = object.texture(&shot.keyframes[0]);
    for (number, frame) in shot.keyframes.iter().enumerate() {
        let (picture, alpha) = place(object, &texture, number as f64);
        let painted =
            |over: &Tensor| behind_post(frame, &(frame + &alpha * (over - frame)), &shot.keyframes[0]);
        edited.sources.push(painted(&picture));
        edited.truth.push(painted(&recoloured(&picture)));
        judged.push(alpha.gt(0.5).logical_and(&post(frame).logical_not()));
    }
    edited.judged = Some(judged);
    edited
}

/// The object alone, `[1, 3, H, W]`, and where it is, `[1, 1, H, W]`, 0..1.
fn place(object: Object, texture: &Tensor, keyframe: f64) -> (Tensor, Tensor) {
    let [.., height, width] = texture.size()[..] else { unreachable!("a picture is 4-dimensional") };
    let (height, width) = (height as f64, width as f64);
    let radius = RADIUS * height * object.size(keyframe);
    let phase = std::f64::consts::PI * keyframe / HALF_WAY;
    let middle = (width * (0.5 - 0.27 * phase.cos()), height * (0.55 + 0.05 * phase.sin()));
    let (x, y) = positions(texture);
    let [across, down] = [(&x - middle.0) / radius, (&y - middle.1) / radius];
    let (u, v, inside) = object.surface(&across, &down, object.turned(keyframe));
    let own = RADIUS * height;
    let flow = Tensor::cat(&[u * own + 0.4 * width - x, v * own + 0.6 * height - y], 1);
    let picture = warp(texture, &flow, Sampling::Bicubic, Border::Replicate).clamp(0.0, 1.0);
    (picture, (inside * radius + 0.5).clamp(0.0, 1.0))
}

/// How far each pixel is to the right and down, `[1, 1, H, W]` each.
fn positions(picture: &Tensor) -> (Tensor, Tensor) {
    let places = target_coordinates(&picture.narrow(1, 0, 2).zeros_like());
    (places.narrow(1, 0, 1), places.narrow(1, 1, 1))
}

/// The mean colour around a place, over width and height, `[1, 3, 1, 1]`.
fn colour_at(frame: &Tensor, [x, y]: [f64; 2]) -> Tensor {
    let [.., height, width] = frame.size()[..] else { unreachable!("a picture is 4-dimensional") };
    let start = |length: i64, share: f64| (length as f64 * share) as i64 - AROUND / 2;
    let part = frame.narrow(2, start(height, y), AROUND).narrow(3, start(width, x), AROUND);
    part.mean_dim([2, 3].as_slice(), true, Kind::Float)
}

/// Noise of unit deviation in grains of some eight pixels, the same every time, `[1, 1, H, W]`.
fn blotches(frame: &Tensor) -> Tensor {
    let size = frame.size();
    let (rows, columns) = (size[2], size[3]);
    let random = ChaCha8Rng::seed_from_u64(SEED);
    let noise: Vec<f32> = StandardNormal.sample_iter(random).take((rows * columns) as usize).collect();
    let smooth = gaussian(&Tensor::from_slice(&noise).view([1, 1, rows, columns]), GRAIN);
    &smooth / smooth.std(true)
}

/// Hues turned around the grey axis, then tinted.
fn recoloured(picture: &Tensor) -> Tensor {
    let (sin, cos) = HUE.sin_cos();
    let (same, next) = ((1.0 + 2.0 * cos) / 3.0, (1.0 - cos) / 3.0);
    let root = sin / 3f64.sqrt();
    let rows =
        [same, next - root, next + root, next + root, same, next - root, next - root, next + root, same];
    let turn = Tensor::from_slice(&rows).view([3, 3]).to_kind(Kind::Float);
    let turned = turn.matmul(&picture.flatten(2, 3)).view_as(picture);
    (turned * Tensor::from_slice(&TINT).view([1, 3, 1, 1])).clamp(0.0, 1.0)
}

/// `picture` with the post before it, which has the texture of another part of `first`.
fn behind_post(frame: &Tensor, picture: &Tensor, first: &Tensor) -> Tensor {
    let wood = first.flip([3]) * SHADE;
    wood.where_self(&post(frame), picture)
}

/// Where the post stands, `[1, 1, H, W]`.
fn post(frame: &Tensor) -> Tensor {
    let [.., height, width] = frame.size()[..] else { unreachable!("a picture is 4-dimensional") };
    let (x, _) = positions(frame);
    (x - 0.5 * width as f64).abs().lt(POST * height as f64)
}

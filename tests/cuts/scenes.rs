//! Sequences made of real frames, with a cut or with what only looks like one.

use gstflowvid::conditions::filters::resize;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use tch::{Kind, Tensor};

use crate::footage;

/// What the cameras of all sequences see, height and width; the processing size's aspect.
pub const SIZE: (i64, i64) = (128, 224);
/// First frames of bikes.mp4's shots.
const BIKES: [i64; 6] = [0, 30, 76, 137, 187, 242];

/// A sequence of frames, `[1, 3, H, W]` each, 0..1.
pub struct Scene {
    /// What it shows, as the table's row.
    pub kind: &'static str,
    pub frames: Vec<Tensor>,
    /// Where a shot begins.
    pub cut: Option<usize>,
}

/// A shot of a clip.
struct Shot {
    clip: usize,
    /// `[n, 3, H, W]`, u8
    frames: Tensor,
}

impl Shot {
    fn length(&self) -> i64 {
        self.frames.size()[0]
    }

    /// A frame as it is, `[1, 3, H, W]`, 0..1.
    fn at(&self, index: i64) -> Tensor {
        self.frames.narrow(0, index, 1).to_kind(Kind::Float) / 255.0
    }

    fn whole(&self, index: i64) -> Tensor {
        resize(&self.at(index), SIZE)
    }
}

/// The camera's window, as shares of the frame: left, top, side.
#[derive(Clone, Copy)]
struct Window(f64, f64, f64);

impl Window {
    fn of(self, frame: &Tensor) -> Tensor {
        let [.., height, width] = frame.size()[..] else { unreachable!("an image is 4-dimensional") };
        let span = |start: f64, length: i64| {
            let side = ((self.2 * length as f64) as i64).max(8);
            (((start * length as f64) as i64).clamp(0, length - side), side)
        };
        let ((x, w), (y, h)) = (span(self.0, width), span(self.1, height));
        resize(&frame.narrow(2, y, h).narrow(3, x, w), SIZE)
    }
}

/// All scenes; `seed` decides which frames they are made of.
pub fn all(seed: u64) -> Vec<Scene> {
    let mut studio = Studio::open(seed);
    let mut scenes = Vec::new();
    studio.cuts(&mut scenes);
    studio.flashes(&mut scenes);
    studio.fades(&mut scenes);
    studio.camera(&mut scenes);
    studio.plain(&mut scenes);
    scenes
}

struct Studio {
    shots: Vec<Shot>,
    random: ChaCha8Rng,
}

impl Studio {
    fn open(seed: u64) -> Self {
        let bikes = footage::frames("bikes.mp4");
        let ends = BIKES.iter().skip(1).copied().chain([bikes.size()[0]]);
        let mut shots: Vec<Shot> = BIKES
            .iter()
            .zip(ends)
            .map(|(&first, end)| Shot { clip: 0, frames: bikes.narrow(0, first, end - first) })
            .collect();
        for (clip, name) in [(1, "bigbuckbunny.mp4"), (2, "carphone_pristine.mp4")] {
            shots.push(Shot { clip, frames: footage::frames(name) });
        }
        Self { shots, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// `length` successive frames of a shot, from a random one on.
    fn stretch(&mut self, shot: usize, length: i64, step: i64) -> Vec<i64> {
        let last = (self.shots[shot].length() - (length - 1) * step).max(1);
        let first = self.below(last);
        (0..length).map(|index| (first + index * step).min(self.shots[shot].length() - 1)).collect()
    }

    /// 0..`end`
    fn below(&mut self, end: i64) -> i64 {
        (self.random.next_u64() % end as u64) as i64
    }

    fn whole(&mut self, shot: usize, length: i64) -> Vec<Tensor> {
        let indices = self.stretch(shot, length, 1);
        indices.into_iter().map(|index| self.shots[shot].whole(index)).collect()
    }

    fn cuts(&mut self, scenes: &mut Vec<Scene>) {
        let mut pairs: Vec<(usize, usize)> = (0..self.shots.len())
            .flat_map(|a| (0..self.shots.len()).map(move |b| (a, b)))
            .filter(|(a, b)| a != b)
            .collect();
        pairs.sort_by_cached_key(|_| self.random.next_u64());
        let between = |scene: &(usize, usize), shots: &[Shot]| shots[scene.0].clip != shots[scene.1].clip;
        let (other, same): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|pair| between(pair, &self.shots));
        for (kind, pairs) in
            [("cut to another clip", &other[..20]), ("cut to another shot of the clip", &same[..20])]
        {
            for &(a, b) in pairs {
                let length = 4 + self.below(3);
                let mut frames = self.whole(a, length);
                frames.extend(self.whole(b, 6));
                scenes.push(Scene { kind, frames, cut: Some(length as usize) });
            }
        }
        for shot in 1..BIKES.len() {
            let before = &self.shots[shot - 1];
            let last = (before.length() - 6..before.length()).map(|index| before.whole(index));
            let frames = last.chain((0..6).map(|index| self.shots[shot].whole(index))).collect();
            scenes.push(Scene { kind: "cut of the clip's own", frames, cut: Some(6) });
        }
        for round in 0..12 {
            let shot = [3, 6, 7, 1][round % 4];
            let (left, right) = (Window(0.0, 0.1, 0.45), Window(0.55, 0.45, 0.45));
            let (a, b) = if round % 2 == 0 { (left, right) } else { (right, left) };
            let indices = self.stretch(shot, 12, 1);
            let look = |(at, index): (usize, &i64)| {
                let window = if at < 6 { a } else { b };
                window.of(&self.shots[shot].at(*index))
            };
            let frames = indices.iter().enumerate().map(look).collect();
            scenes.push(Scene { kind: "cut to another view of the scene", frames, cut: Some(6) });
        }
    }

    fn flashes(&mut self, scenes: &mut Vec<Scene>) {
        for round in 0..16 {
            let mut frames = self.whole(round % 8, 12);
            let (begin, length) = (5, 1 + round % 3);
            let strength: f64 = [0.35, 0.6, 0.85, 1.0][round / 4];
            for (step, frame) in frames[begin..begin + length].iter_mut().enumerate() {
                let left = strength * 0.75f64.powi(step as i32);
                *frame = (&*frame * (1.0 + left) + left * 0.7).clamp(0.0, 1.0);
            }
            scenes.push(Scene { kind: "flash", frames, cut: None });
        }
    }

    fn fades(&mut self, scenes: &mut Vec<Scene>) {
        for round in 0..16 {
            let length = [8, 12, 20, 25][round % 4];
            let frames = self.whole(round % 8, length + 6);
            let target = if round % 3 == 2 { 1.0 } else { 0.0 };
            let faded = |(at, frame): (usize, &Tensor)| {
                let share = ((at as f64 - 3.0) / length as f64).clamp(0.0, 1.0);
                let share = if round % 2 == 0 { share } else { 1.0 - share };
                frame * (1.0 - share) + target * share
            };
            let frames = frames.iter().enumerate().map(faded).collect();
            scenes.push(Scene { kind: "fade to or from black or white", frames, cut: None });
        }
        for round in 0..10 {
            let length = [10, 15, 25][round % 3];
            let (a, b) = (round % 8, (round * 3 + 1) % 8);
            let (from, to) = (self.whole(a, length + 6), self.whole(b, length + 6));
            let mixed = |(at, (from, to)): (usize, (&Tensor, &Tensor))| {
                let share = ((at as f64 - 3.0) / length as f64).clamp(0.0, 1.0);
                from * (1.0 - share) + to * share
            };
            let frames = from.iter().zip(&to).enumerate().map(mixed).collect();
            scenes.push(Scene { kind: "dissolve", frames, cut: None });
        }
        for round in 0..8 {
            let gain = [0.5, 0.7, 1.4, 1.8][round % 4];
            let lit = |(at, frame): (usize, &Tensor)| {
                if at < 6 { frame.shallow_clone() } else { (frame * gain).clamp(0.0, 1.0) }
            };
            let frames = self.whole(round, 12).iter().enumerate().map(lit).collect();
            scenes.push(Scene { kind: "light switched", frames, cut: None });
        }
    }

    /// A virtual camera over real frames: `path` gives its window over time, whose exposure lasts half a
    /// frame.
    fn shoot(&mut self, shot: usize, length: i64, path: impl Fn(f64) -> Window) -> Vec<Tensor> {
        let indices = self.stretch(shot, length, 1);
        let expose = |(at, index): (usize, &i64)| {
            let frame = self.shots[shot].at(*index);
            let blur = (0..5).map(|sub| path(at as f64 + f64::from(sub) / 10.0).of(&frame));
            Tensor::stack(&blur.collect::<Vec<_>>(), 0).mean_dim([0].as_slice(), false, Kind::Float)
        };
        indices.iter().enumerate().map(expose).collect()
    }

    fn camera(&mut self, scenes: &mut Vec<Scene>) {
        for round in 0..16 {
            let shot = [6, 1, 3, 7, 2, 6, 4, 0][round % 8];
            // The window is `side` wide and swings over the rest within `steps` frames, slow at both ends.
            let (side, steps): (f64, f64) = ([0.4, 0.5][round % 2], [4.0, 5.0, 6.0, 8.0][round / 4]);
            let swing = move |time: f64| {
                let share = ((time - 3.0) / steps).clamp(0.0, 1.0);
                let eased = share * share * (3.0 - 2.0 * share);
                (1.0 - side) * if round % 4 < 2 { eased } else { 1.0 - eased }
            };
            let frames = self.shoot(shot, 14, move |time| Window(swing(time), 0.3, side));
            scenes.push(Scene { kind: "whip pan", frames, cut: None });
        }
        for round in 0..8 {
            let rate: f64 = [0.92, 0.88, 0.85, 0.8][round % 4];
            let zoom = move |time: f64| {
                let side = f64::max(rate.powf((time - 2.0).max(0.0)), 0.3);
                Window((1.0 - side) / 2.0, (1.0 - side) / 2.0, side)
            };
            let frames = self.shoot(round, 10, zoom);
            scenes.push(Scene { kind: "crash zoom", frames, cut: None });
        }
        for round in 0..8 {
            let shakes: Vec<(f64, f64)> =
                (0..13).map(|_| (self.below(100) as f64 / 500.0, self.below(100) as f64 / 500.0)).collect();
            let hold = move |time: f64| {
                let (x, y) = shakes[time as usize];
                Window(x, y, 0.8)
            };
            let frames = self.shoot(round, 12, hold);
            scenes.push(Scene { kind: "shaken camera", frames, cut: None });
        }
    }

    fn plain(&mut self, scenes: &mut Vec<Scene>) {
        for shot in 0..8 {
            let frames = self.whole(shot, self.shots[shot].length().min(60));
            scenes.push(Scene { kind: "a shot as it is", frames, cut: None });
            let indices = self.stretch(shot, 10, 3);
            let frames = indices.into_iter().map(|index| self.shots[shot].whole(index)).collect();
            scenes.push(Scene { kind: "every third frame", frames, cut: None });
        }
    }
}

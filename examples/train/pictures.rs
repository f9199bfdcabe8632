//! The pictures that scenes are made of: photographs and paintings from packages, and our own patterns.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rand_chacha::rand_core::RngCore;
use tch::{Device, Kind, Tensor};

use crate::random::{Random, smooth_noise};
use gstflowvid::conditions::filters::resize;

/// Pictures with a shorter side than this are icons.
const LEAST_SIDE: u32 = 176;
/// Larger ones are reduced: crops then show things, not skin.
const MOST_SIDE: i64 = 480;
/// The share of scenes' layers that is a pattern of our own.
const PATTERNS: f64 = 0.12;

/// All pictures, `[1, 3, H, W]` each, 0..1, on the CPU.
pub struct Pictures(Vec<Tensor>);

impl Pictures {
    /// Reads a folder; its last eighth (by name) is the held-out part.
    pub fn read(folder: &Path) -> anyhow::Result<(Self, Self)> {
        let entries = std::fs::read_dir(folder)
            .with_context(|| format!("{}: run scripts/training_data.py first", folder.display()))?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        let pictures: Vec<Tensor> = files.iter().filter_map(|file| read(file)).collect();
        if pictures.len() < 16 {
            bail!("{}: only {} pictures, 16 are needed", folder.display(), pictures.len());
        }
        let (held_out, training) =
            pictures.into_iter().enumerate().partition::<Vec<_>, _>(|(index, _)| index % 8 == 5);
        let only =
            |pictures: Vec<(usize, Tensor)>| Self(pictures.into_iter().map(|(_, picture)| picture).collect());
        Ok((only(training), only(held_out)))
    }

    /// Random patterns of ours, for tests.
    #[cfg(test)]
    pub fn patterns(count: u64) -> Self {
        let new = |index| pattern(&mut Random::at(1, index), 200, Device::Cpu);
        Self((0..count).map(new).collect())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A square of `side` pixels out of a picture or of a pattern, some mirrored or in another tone:
    /// `[1, 3, side, side]`, 0..1.
    pub fn crop(&self, random: &mut Random, side: i64, device: Device) -> Tensor {
        if random.chance(PATTERNS) {
            return pattern(random, side, device);
        }
        let picture = &self.0[random.below(self.0.len())];
        let size = picture.size();
        let zoom = random.within(1.0, 2.2).min(size[2].min(size[3]) as f64 / side as f64).max(1.0);
        let taken = (side as f64 * zoom) as i64;
        let start = |length: i64, random: &mut Random| random.below((length - taken + 1) as usize) as i64;
        let (top, left) = (start(size[2], random), start(size[3], random));
        let crop = picture.narrow(2, top, taken).narrow(3, left, taken).to_device(device);
        let crop = resize(&crop, (side, side)).clamp(0.0, 1.0);
        let crop = if random.chance(0.5) { crop.flip([3]) } else { crop };
        crop.pow_tensor_scalar(random.within(0.75, 1.35))
    }
}

/// `None` for what is no picture, is too small or is a cut-out.
fn read(file: &Path) -> Option<Tensor> {
    let picture = image::open(file).ok()?;
    let cut_out = picture.color().has_alpha() && picture.to_rgba8().pixels().any(|pixel| pixel.0[3] < 250);
    if cut_out || picture.width().min(picture.height()) < LEAST_SIDE {
        return None;
    }
    let picture = picture.to_rgb8();
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let tensor = Tensor::from_slice(picture.as_raw()).view([1, height, width, 3]).permute([0, 3, 1, 2]);
    let tensor = tensor.to_kind(Kind::Float) / 255.0;
    let scale = MOST_SIDE as f64 / width.min(height) as f64;
    let side = |length: i64| (length as f64 * scale).round() as i64;
    let size = if scale < 1.0 { (side(height), side(width)) } else { (height, width) };
    let smallest = 200.0 / size.0.min(size.1) as f64;
    let grown = |length: i64| (length as f64 * smallest.max(1.0)).ceil() as i64;
    Some(resize(&tensor, (grown(size.0), grown(size.1))).clamp(0.0, 1.0).contiguous())
}

/// Coloured noise of three sizes, some of it hard-edged: patches and speckle.
fn pattern(random: &mut Random, side: i64, device: Device) -> Tensor {
    let mut picture = Tensor::zeros([1, 3, side, side], (Kind::Float, device)) + 0.5;
    for scale in [24.0, 8.0, 2.5] {
        let noise = smooth_noise([1, 3, side, side], scale, device);
        let noise = if random.chance(0.4) { noise.sign() } else { noise };
        picture += noise * random.within(0.02, 0.16);
    }
    picture.clamp(0.0, 1.0)
}

/// Reseeds tch's own generator from ours.
pub fn reseed(random: &mut Random) {
    tch::manual_seed((random.0.next_u64() >> 1) as i64);
}

//! One training loss, and one-step sampling as the engine does it.

use tch::{Kind, Tensor};

use crate::{
    adversary::{Adversary, Shown},
    composites::Clips,
    random::Random,
    scenes::KEYFRAMES,
};
use gstflowvid::{
    conditions::filters::gaussian,
    diffusion::{DiffusionModel, KeyframeMemory, StepTime},
};

/// Of the training samples this share starts from pure noise: one step is the default.
const PURE_NOISE: f64 = 0.85;
/// The others start from one of the later timesteps of a schedule of four steps. At earlier ones the target is
/// nearly all noise, whose gradient drowned the rest when it was tried.
const TIMESTEPS: [i64; 2] = [749, 499];
/// Weights of the picture's absolute error and of its gradients' beside the v-prediction's square. Larger ones
/// hold an untrained network at zero: most of the composite is right already.
const PICTURE: f64 = 1.0;
const GRADIENT: f64 = 1.0;
/// Weight of how far the picture's texture is too weak or too strong around each pixel of holes and seams.
const ENERGY: f64 = 4.0;
/// Weight of being found out there.
const ADVERSARY: f64 = 0.02;
/// Sigmas of the bands whose energy is compared, and of their surroundings, in pixels.
const BANDS: [(f64, f64); 2] = [(0.0, 0.8), (0.8, 2.0)];
const AROUND: f64 = 2.5;
/// Weight of the anchor, which the composite already shows.
const ANCHOR: f64 = 0.1;

/// What the network makes of a noisy sample.
struct Step {
    /// `[n, 3, H, W]`, about 0..1
    picture: Tensor,
    velocity: Tensor,
    noise: Tensor,
}

fn denoise(model: &DiffusionModel, clips: &Clips, original: &Tensor, timesteps: &Tensor) -> Step {
    let conditions = model.encode_conditions(&clips.conditions);
    let prompts: Vec<&str> = clips.prompts.iter().map(String::as_str).collect();
    let text = model.encode_prompts(&prompts);
    let noise = original.randn_like();
    let sample = model.scheduler().noise_schedule().add_noise(original, &noise, timesteps);
    let memory = &mut KeyframeMemory::new(KEYFRAMES);
    let velocity =
        model.denoise(&sample, StepTime::alone(timesteps), &text, &conditions, memory).model_output();
    let level = model.scheduler().noise_schedule().noise_level(timesteps);
    let clean = &level.alpha * sample - &level.sigma * &velocity;
    Step { picture: model.decode_upon(&clean, &clips.conditions.composite), velocity, noise }
}

/// v-prediction's square; the decoded picture's absolute error, that of its gradients and of its bands' energy; and what
/// the adversary makes of it, who then learns from it.
pub fn loss(
    model: &DiffusionModel,
    clips: &Clips,
    random: &mut Random,
    (adversary, learning_rate): (&mut Adversary, f64),
) -> Tensor {
    let original = model.encode_pictures(&clips.edited);
    let last = model.scheduler().noise_schedule().num_train_timesteps() as i64 - 1;
    let clip_count = original.size()[0] / KEYFRAMES;
    let timesteps: Vec<i64> = (0..clip_count)
        .flat_map(|_| {
            let timestep = if random.chance(PURE_NOISE) { last } else { TIMESTEPS[random.below(2)] };
            [timestep; KEYFRAMES as usize]
        })
        .collect();
    let timesteps = Tensor::from_slice(&timesteps).to_device(original.device());
    let step = denoise(model, clips, &original, &timesteps);
    let velocity = model.scheduler().noise_schedule().velocity(&original, &step.noise, &timesteps);
    let total = each((step.velocity - velocity).square()) + picture_missed(&step.picture, &clips.edited);
    let mut weights = [1.0f32; KEYFRAMES as usize];
    weights[0] = ANCHOR as f32;
    let weights = Tensor::from_slice(&weights).to_device(total.device());
    let area = gaussian(&(1.0 - &clips.conditions.confidence), AROUND);
    let shown = Shown { source: &clips.source, area: &area };
    adversary.learn(&step.picture, &clips.edited, &shown, learning_rate);
    (total.view([-1, KEYFRAMES]) * weights).mean(Kind::Float)
        + energy_missed(&step.picture, &clips.edited, &area) * ENERGY
        + adversary.loss(&step.picture, &shown) * ADVERSARY
}

/// Absolute error of the picture and of its gradients, `[n]`.
fn picture_missed(picture: &Tensor, truth: &Tensor) -> Tensor {
    let missed = picture - truth;
    let across = |dim: i64| {
        let length = missed.size()[dim as usize] - 1;
        each((missed.narrow(dim, 1, length) - missed.narrow(dim, 0, length)).abs())
    };
    each(missed.abs()) * PICTURE + (across(2) + across(3)) * GRADIENT
}

/// `[n]`.
fn each(maps: Tensor) -> Tensor {
    maps.mean_dim([1, 2, 3].as_slice(), false, Kind::Float)
}

/// How far the deviation of both bands around each pixel is from the truth's, where `area` is high.
fn energy_missed(picture: &Tensor, truth: &Tensor, area: &Tensor) -> Tensor {
    let strength = |picture: &Tensor, (fine, coarse): (f64, f64)| {
        let finer = if fine > 0.0 { gaussian(picture, fine) } else { picture.shallow_clone() };
        let energy = (finer - gaussian(picture, coarse)).square().mean_dim([1].as_slice(), true, Kind::Float);
        (gaussian(&energy, AROUND) + 1e-6).sqrt()
    };
    let missed = BANDS.map(|band| (strength(picture, band) - strength(truth, band)).abs());
    let [fine, coarse] = missed.map(|missed| (missed * area).sum(Kind::Float));
    (fine + coarse) / area.sum(Kind::Float).clamp_min(1.0)
}

/// What the engine makes of the clips with one step: `[n, 3, H, W]`, 0..1.
pub fn one_step(model: &DiffusionModel, clips: &Clips) -> Tensor {
    let original = model.encode_pictures(&clips.edited);
    let last = model.scheduler().noise_schedule().num_train_timesteps() as i64 - 1;
    let timesteps = Tensor::full([original.size()[0]], last, (Kind::Int64, original.device()));
    // at the last timestep nothing is left of the original
    denoise(model, clips, &original, &timesteps).picture.clamp(0.0, 1.0)
}

//! Keyframes that an image model draws from warped edits, beside the same loop written on diffusers 0.36.0
//! (tests/parity/soft_warp): latents after each step, fp32, a random model of Stable Diffusion 1.5's layout.

mod common;
#[path = "../examples/random_model/folder.rs"]
mod folder;

use std::{collections::BTreeMap, convert::Infallible, env, fs};

use common::{Fixture, project, random_tensor};
use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use gstflowvid::{
    conditions::inpaint::inpaint_condition,
    diffusion::{
        AnchorMemory, CallSizes, ControlCondition, DiffusionModel, PictureConditions, Sampling,
        SamplingInput, SamplingOptions, noise,
    },
    torch::Placement,
    weights::ModelFolder,
};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

const SEED: u64 = 5;
const SIZE: [i64; 2] = [64, 96];
const LATENT: [i64; 3] = [4, 8, 12];
/// Of a shot's first frame.
const BEGAN: u64 = 1_000_000_000;
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    scheduler: String,
    steps: usize,
    strength: f64,
    guidance_scale: f64,
    flow_trust: f64,
}

impl Case {
    fn options(&self) -> SamplingOptions {
        SamplingOptions {
            prompt: "a castle".into(),
            negative_prompt: "blurry".into(),
            num_inference_steps: self.steps,
            guidance_scale: self.guidance_scale,
            strength: self.strength,
            flow_trust: self.flow_trust,
            seed: SEED,
        }
    }
}

fn cases() -> BTreeMap<String, Case> {
    let text = fs::read_to_string(project("tests/parity/soft_warp/cases.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn model(scheduler: &str) -> DiffusionModel {
    let root = tempfile::tempdir().unwrap();
    let scheduler = match scheduler {
        "LCMScheduler" => SchedulerKind::Lcm,
        _ => SchedulerKind::Ddim,
    };
    let random =
        RandomModel { size: Size::Tiny, vae: Autoencoder::Kl, scheduler, seed: SEED, kind: Kind::Float };
    random.write(&root.path().join("tiny")).unwrap();
    DiffusionModel::load(&ModelFolder::find("tiny", &[root.path().into()]).unwrap(), Placement::cpu())
        .unwrap()
}

fn picture(name: &str, channels: i64) -> Tensor {
    random_tensor(SEED, name, &[3, channels, SIZE[0], SIZE[1]]) * 0.5 + 0.5
}

/// Three keyframes, of which the first is finished; the others have a hole.
fn batch(name: &str) -> PictureConditions {
    let confidence = picture(&format!("{name}.confidence"), 1) * 0.4 + 0.6;
    let _ = confidence.narrow(2, 16, 24).narrow(3, 24, 40).fill_(0.1);
    let _ = confidence.narrow(0, 0, 1).fill_(1.0);
    let composite = picture(&format!("{name}.composite"), 3);
    let edges = picture(&format!("{name}.edges"), 3).gt(0.8).to_kind(Kind::Float);
    let inpaint = inpaint_condition(&composite, &confidence);
    PictureConditions {
        first: composite.narrow(0, 0, 1),
        composite,
        confidence,
        control: vec![(ControlCondition::Canny, edges), (ControlCondition::Inpaint, inpaint)],
    }
}

/// Latents after each step, `[steps, keyframes, 4, h, w]`, finished ones left out; and what was seen of the first.
fn run(
    model: &DiffusionModel,
    options: &SamplingOptions,
    pictures: &PictureConditions,
    anchor: Option<&AnchorMemory>,
    keyframes: i64,
) -> (Tensor, Option<AnchorMemory>) {
    let _no_grad = tch::no_grad_guard();
    let check = || Ok::<(), Infallible>(());
    let stream_times = &vec![BEGAN; pictures.keyframes() as usize];
    let calls = CallSizes { keyframes, pictures: 2 };
    let input = SamplingInput { pictures, stream_times, finished: 1, anchor, calls };
    let mut sampling = Sampling::begin(model, &input, options, check).unwrap();
    let mut latents = Vec::new();
    while sampling.step(check).unwrap() {
        latents.push(sampling.latents().narrow(0, 1, pictures.keyframes() - 1));
    }
    (Tensor::stack(&latents, 0), sampling.into_anchor_memory())
}

#[test]
fn the_fixtures_noise_is_the_shots() {
    let _ = Placement::cpu();
    let draws: Vec<Tensor> = (0..4).map(|draw| noise(SEED, draw, &[BEGAN], LATENT, Device::Cpu)).collect();
    let draws = Tensor::stack(&draws, 0);
    let file = project("tests/parity/soft_warp/noise.safetensors");
    if env::var_os("UPDATE_NOISE").is_some() {
        Tensor::write_safetensors(&[("noise", &draws)], &file).unwrap();
    }
    assert_eq!(Tensor::read_safetensors(file).unwrap()[0].1, draws);
}

/// A shot's first batch; one that also sees the anchor, from what the first remembers of it; one whose seed frame was
/// promoted.
#[test]
fn latents_after_every_step_match() {
    let fixture = Fixture::open("soft_warp");
    for (name, case) in cases() {
        let (model, options) = (model(&case.scheduler), case.options());
        let expected = |part: &str| fixture.tensor(&format!("{name}.{part}"));
        let (begun, anchor) = run(&model, &options, &batch("begun"), None, 3);
        common::assert_relative(&format!("{name}, begun"), &begun, &expected("begun"), TOLERANCE);
        let (later, none) = run(&model, &options, &batch("later"), anchor.as_ref(), 3);
        assert!(none.is_none());
        let expected_later = expected("later").narrow(1, 0, 2);
        common::assert_relative(&format!("{name}, later"), &later, &expected_later, TOLERANCE);
        let (promoted, _) = run(&model, &options, &batch("later"), None, 3);
        common::assert_relative(&format!("{name}, promoted"), &promoted, &expected("promoted"), TOLERANCE);
        let difference = (later - promoted).abs().max().double_value(&[]);
        assert!(difference > 1e-3, "{name}: the anchor changes no more than {difference}");
    }
}

/// The anchor from memory, the keyframe with its seed frame alone; and between fourteen others, in calls of any size.
#[test]
fn a_keyframe_alone_is_drawn_as_in_a_batch_of_sixteen() {
    let (model, options) = (model("DDIMScheduler"), cases()["half"].options());
    let (_, anchor) = run(&model, &options, &batch("begun"), None, 3);
    let sixteen = {
        let parts = ["a", "b", "c", "d", "e", "f"].map(batch);
        let cat = |part: &dyn Fn(&PictureConditions) -> Tensor| {
            Tensor::cat(&parts.iter().map(part).collect::<Vec<_>>(), 0).narrow(0, 0, 16)
        };
        let control = |index: usize| cat(&|part| part.control[index].1.shallow_clone());
        PictureConditions {
            composite: cat(&|part| part.composite.shallow_clone()),
            confidence: cat(&|part| part.confidence.shallow_clone()),
            first: parts[0].first.shallow_clone(),
            control: vec![(ControlCondition::Canny, control(0)), (ControlCondition::Inpaint, control(1))],
        }
    };
    let (alone, _) = run(&model, &options, &sixteen.narrow(0, 2), anchor.as_ref(), 1);
    for most in [1, 5, 16] {
        let (inside, _) = run(&model, &options, &sixteen, anchor.as_ref(), most);
        let what = format!("{most} a call");
        common::assert_relative(&what, &inside.narrow(1, 0, 1), &alone, 1e-4);
    }
}

/// A clip that stands still, trusted wholly: each keyframe is the anchor's edit, through the autoencoder and back.
#[test]
fn what_is_trusted_wholly_is_not_drawn_again() {
    for scheduler in ["DDIMScheduler", "LCMScheduler"] {
        let model = model(scheduler);
        let options = SamplingOptions { flow_trust: 1.0, ..cases()["half"].options() };
        let begun = batch("begun");
        let same = |tensor: &Tensor| tensor.narrow(0, 0, 1).expand_as(tensor);
        let still = PictureConditions {
            composite: same(&begun.composite),
            confidence: begun.confidence.ones_like(),
            first: begun.first.shallow_clone(),
            control: begun.control.iter().map(|(condition, picture)| (*condition, same(picture))).collect(),
        };
        let (latents, _) = run(&model, &options, &still, None, 3);
        let _no_grad = tch::no_grad_guard();
        let drawn = model.decode_latents(&latents.get(-1));
        let round_trip = model.decode_latents(&model.encode_pictures(&still.first));
        common::assert_relative(scheduler, &drawn, &round_trip.expand_as(&drawn), 1e-5);
    }
}

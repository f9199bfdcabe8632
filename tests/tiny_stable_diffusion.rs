//! A folder of Stable Diffusion 1.5's layout, tiny and random (`examples/random_model`): it loads as it is, and prompt,
//! seed and scheduler decide the pictures.

mod common;
#[path = "../examples/random_model/folder.rs"]
mod folder;

use std::sync::Arc;

use common::{change_json, request};
use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use gstflowvid::{
    diffusion::{ControlCondition, DiffusionModel, PictureConditions},
    engine::{
        CancelToken, EditParameters, EditedFrame, EngineError, Frame, KeyframeConditions, Picture,
        Propagator, Samples, open,
    },
    torch::Placement,
    weights::ModelFolder,
};
use tch::{Device, Kind, Tensor};

const TINY: RandomModel = RandomModel {
    size: Size::Tiny,
    vae: Autoencoder::Kl,
    scheduler: SchedulerKind::Pndm,
    seed: 1,
    kind: Kind::Half,
};

fn written(model: RandomModel) -> (tempfile::TempDir, ModelFolder) {
    let root = tempfile::tempdir().unwrap();
    let folder = model.write(&root.path().join("tiny")).unwrap();
    (root, folder)
}

fn propagator(model: RandomModel) -> Propagator {
    let (_root, folder) = written(model);
    Propagator::load(&folder, Placement::cpu()).unwrap()
}

/// Three keyframes of 64 x 96.
fn conditions() -> KeyframeConditions {
    let _ = Placement::cpu();
    let ramp = Tensor::arange(3 * 3 * 64 * 96, (Kind::Float, Device::Cpu)).view([3, 3, 64, 96]);
    let picture = (ramp * 0.013).sin() * 0.5 + 0.5;
    let pictures = PictureConditions {
        confidence: picture.narrow(1, 0, 1),
        first: picture.narrow(0, 0, 1),
        control: vec![(ControlCondition::Canny, picture.shallow_clone())],
        composite: picture,
    };
    KeyframeConditions { pictures, finished: 1, anchor: None, stream_times: vec![0, 160, 320] }
}

fn parameters(prompt: &str) -> EditParameters {
    EditParameters {
        prompt: prompt.into(),
        num_inference_steps: 3,
        guidance_scale: 2.0,
        ..Default::default()
    }
}

fn diffuse(propagator: &Propagator, parameters: &EditParameters) -> Tensor {
    propagator.diffuse(&conditions(), parameters, &CancelToken::new()).unwrap().pictures
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn prompt_and_seed_decide_every_byte_with_each_scheduler() {
    use SchedulerKind::*;
    let mut seen: Vec<Tensor> = Vec::new();
    for scheduler in [Pndm, Ddim, Lcm, Euler, DpmSolver] {
        let propagator = propagator(RandomModel { scheduler, ..TINY });
        let once = diffuse(&propagator, &parameters("a castle"));
        assert_eq!(once.size(), [3, 3, 64, 96]);
        assert!(once.std(true).double_value(&[]) > 0.05, "{scheduler:?}");
        assert_eq!(difference(&once, &diffuse(&propagator, &parameters("a castle"))), 0.0, "{scheduler:?}");
        let other_prompt = diffuse(&propagator, &parameters("a forest"));
        let other_seed = diffuse(&propagator, &EditParameters { seed: 1, ..parameters("a castle") });
        assert!(difference(&once, &other_prompt) > 1e-4, "{scheduler:?}: prompt");
        assert!(difference(&once, &other_seed) > 1e-2, "{scheduler:?}: seed");
        // The tiny folder's PNDM and DDIM share one schedule.
        let known = seen.iter().filter(|before| difference(before, &once) < 1e-6).count();
        assert_eq!(known, usize::from(scheduler == Ddim), "{scheduler:?}");
        seen.push(once);
    }
}

#[test]
fn a_consistency_model_has_no_more_steps_than_it_was_distilled_on() {
    let propagator =
        propagator(RandomModel { scheduler: SchedulerKind::Lcm, vae: Autoencoder::Tiny, ..TINY });
    let many = EditParameters { num_inference_steps: 51, ..parameters("a castle") };
    let error = propagator.diffuse(&conditions(), &many, &CancelToken::new()).unwrap_err();
    assert!(matches!(&error, EngineError::Settings(text) if text.contains("50 steps")), "{error}");
}

fn hidden_states(model: &DiffusionModel, prompts: &[&str]) -> Tensor {
    model.encode_prompts(prompts).hidden_states().shallow_clone()
}

#[test]
fn a_prompt_of_any_length_counts_to_its_last_word() {
    let (_root, folder) = written(TINY);
    let model = DiffusionModel::load(&folder, Placement::cpu()).unwrap();
    let _no_grad = tch::no_grad_guard();
    let long = "many words ".repeat(20); // a token a letter
    let [short, one, other] = ["few words".to_owned(), format!("{long}end"), format!("{long}eng")]
        .map(|p| hidden_states(&model, &[&p]));
    assert_eq!(short.size(), [1, 77, 32]);
    assert_eq!(one.size(), [1, 3 * 77, 32]);
    assert!(difference(&one, &other) > 1e-3);
    assert_eq!(difference(&one.narrow(1, 0, 77), &other.narrow(1, 0, 77)), 0.0);
    let both = hidden_states(&model, &["few words", &format!("{long}end")]);
    assert!(difference(&both.narrow(0, 1, 1), &one) < 1e-5);
    assert!(difference(&both.narrow(0, 0, 1).narrow(1, 0, 77), &short) < 1e-5);
}

#[test]
fn a_weighted_word_counts_more_and_the_mean_stays() {
    let (_root, folder) = written(TINY);
    let model = DiffusionModel::load(&folder, Placement::cpu()).unwrap();
    let _no_grad = tch::no_grad_guard();
    let [plain, one, weighed] = ["a red castle", "a (red:1) castle", "a (red:1.5) castle"]
        .map(|prompt| hidden_states(&model, &[prompt]));
    assert_eq!(difference(&plain, &one), 0.0);
    let mean = |tensor: &Tensor| tensor.mean(Kind::Float).double_value(&[]);
    assert!((mean(&plain) - mean(&weighed)).abs() < 1e-6);
    // begin, a, then red
    let at = |tensor: &Tensor, token: i64| tensor.narrow(1, token, 1) / tensor.narrow(1, 1, 1);
    assert!(
        difference(&(at(&plain, 2) * 1.5), &at(&weighed, 2))
            < 1e-3 * at(&weighed, 2).abs().max().double_value(&[])
    );
}

/// Nothing is trusted, nothing is finished: the source alone, as far as the strength leaves it.
#[test]
fn the_first_frame_is_drawn_from_the_source_by_prompt_and_strength() {
    let propagator = propagator(TINY);
    let source = conditions().pictures.composite.narrow(0, 0, 1);
    let edit = |prompt: &str, strength: f64, control: &[(ControlCondition, Tensor)]| {
        let parameters = EditParameters { strength, ..parameters(prompt) };
        let control = control.iter().map(|(kind, picture)| (*kind, picture.shallow_clone())).collect();
        propagator.edit(&source, control, 0, &parameters, &CancelToken::new()).unwrap()
    };
    let castle = edit("a castle", 1.0, &[]);
    assert_eq!(castle.size(), source.size());
    assert_eq!(difference(&castle, &edit("a castle", 1.0, &[])), 0.0);
    assert!(difference(&castle, &edit("a forest", 1.0, &[])) > 1e-4);
    assert!(difference(&castle, &edit("a castle", 0.5, &[])) > 1e-2);
    assert_eq!(difference(&edit("a castle", 0.0, &[]), &source), 0.0);
    let edges = (ControlCondition::Canny, source.shallow_clone());
    assert!(difference(&castle, &edit("a castle", 1.0, &[edges])) > 1e-4, "ControlNet sees nothing");
}

#[test]
fn the_same_seed_writes_the_same_files() {
    let bytes = |model: RandomModel| {
        let (_root, folder) = written(model);
        std::fs::read(folder.path().join("unet/diffusion_pytorch_model.safetensors")).unwrap()
    };
    assert!(bytes(TINY) == bytes(TINY));
    assert!(bytes(TINY) != bytes(RandomModel { seed: 2, ..TINY }));
}

/// Smooth waves, `index` frames further.
fn frame(index: usize) -> Frame {
    let (width, height) = (128, 96);
    let sample = |i: usize| {
        let (x, y) = ((i / 3 % width + 2 * index) as f64, (i / 3 / width) as f64);
        (127.5 + 90.0 * (x * 0.11 + (i % 3) as f64).sin() * (y * 0.17).cos()) as u8
    };
    let samples = Samples::U8((0..width * height * 3).map(sample).collect());
    Frame {
        picture: Arc::new(Picture { width, height, samples }),
        stream_time: index as u64 * 40_000_000,
        starts_shot: false,
    }
}

/// A later batch knows the anchor from the first one; where the settings changed since, it is shown it anew. Both are
/// one shot, edited once.
#[test]
fn later_batches_see_the_shots_anchor() {
    let (_root, folder) = written(RandomModel { scheduler: SchedulerKind::Ddim, ..TINY });
    let request = request(&format!("{}/", folder.path().display()));
    let given = EditParameters {
        batch_size: 3,
        keyframe_interval: 1,
        num_inference_steps: 2,
        processing_size: 128,
        ..parameters("a castle")
    };
    let second_batch = |steps: usize| {
        let mut engine = open(&request, &CancelToken::new()).unwrap();
        let first = engine.process((0..3).map(frame).collect(), &given, &CancelToken::new()).unwrap();
        assert_eq!(first.frames.iter().filter(|frame| frame.starts_shot).count(), 1);
        let later = EditParameters { num_inference_steps: steps, ..given.clone() };
        let second = engine.process((3..5).map(frame).collect(), &later, &CancelToken::new()).unwrap();
        assert!(second.frames.iter().all(|frame| frame.keyframe && !frame.starts_shot));
        assert!(second.timings.iter().all(|(stage, _)| *stage != "edit"), "the anchor is not edited again");
        let picture = |frame: &EditedFrame| frame.picture.clone().expect("an edited picture").samples;
        second.frames.iter().map(picture).collect::<Vec<_>>()
    };
    let known = second_batch(2);
    assert!(known == second_batch(2), "another run, other bytes");
    assert!(known != second_batch(3), "steps change nothing");
}

#[test]
fn a_controlnet_that_nobody_knows_is_asked_about() {
    let (root, folder) = written(TINY);
    change_json(&root.path().join("tiny/model_index.json"), |index| {
        index["flowvid"]["controlnets"].as_object_mut().unwrap().remove("controlnet_1");
    });
    let error = DiffusionModel::load(&folder, Placement::cpu()).unwrap_err().to_string();
    assert!(error.contains("controlnet_1") && error.contains("inpaint"), "{error}");
    change_json(&root.path().join("tiny/controlnet_1/config.json"), |config| {
        config["_name_or_path"] = "control_v11p_sd15_inpaint".into();
    });
    let model = DiffusionModel::load(&folder, Placement::cpu()).unwrap();
    let known: Vec<_> = model.control_conditions().collect();
    assert_eq!(known, [ControlCondition::Canny, ControlCondition::Inpaint]);
}

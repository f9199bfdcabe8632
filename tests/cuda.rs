//! What only a card can show. Where there is none these tests are ignored, and counted so.

mod common;
#[path = "../examples/random_model/folder.rs"]
mod folder;

use std::sync::Arc;

use common::request;
use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use gstflowvid::{
    diffusion::{ControlCondition, DiffusionModel, KeyframeMemory, PictureConditions, StepTime},
    engine::{
        CancelToken, EditParameters, Frame, KeyframeConditions, ModelRequest, Picture, Propagator, Samples,
        open,
    },
    torch::{Placement, card_memory},
    weights::ModelFolder,
};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

/// Relative, in half precision.
const HALF: f64 = 5e-3;

fn on_card(dtype: &str) -> Placement {
    Placement::resolve("cuda", dtype).unwrap()
}

fn written(size: Size) -> (TempDir, ModelFolder) {
    let root = TempDir::new().unwrap();
    let (vae, scheduler, kind) = (Autoencoder::Kl, SchedulerKind::Ddim, Kind::Half);
    let folder = RandomModel { size, vae, scheduler, seed: 1, kind }.write(root.path()).unwrap();
    (root, folder)
}

/// Smooth pictures that differ, `[n, channels, side, side]`, 0..1.
fn pictures(n: i64, channels: i64, side: i64) -> Tensor {
    let ramp = Tensor::arange(n * channels * side * side, (Kind::Float, Device::Cpu));
    (ramp * 0.0137).sin().view([n, channels, side, side]) * 0.5 + 0.5
}

fn conditions(keyframes: i64, side: i64, device: Device) -> PictureConditions {
    let picture = |channels| pictures(keyframes, channels, side).to_device(device);
    PictureConditions {
        composite: picture(3),
        confidence: picture(1),
        first: picture(3).narrow(0, 0, 1),
        control: [ControlCondition::Canny, ControlCondition::Inpaint]
            .map(|condition| (condition, picture(3)))
            .into(),
    }
}

/// ‖a - b‖ / ‖b‖.
fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    let found = found.to_device(Device::Cpu).to_kind(Kind::Double);
    let expected = expected.to_kind(Kind::Double);
    ((found - &expected).norm() / expected.norm()).double_value(&[])
}

/// Text, latents, one step's output and the decoded picture.
fn outputs(folder: &ModelFolder, placement: Placement, side: i64) -> [(&'static str, Tensor); 4] {
    let _no_grad = tch::no_grad_guard();
    let model = DiffusionModel::load(folder, placement).unwrap();
    let text = model.encode_prompts(&["a castle"]);
    let given = conditions(2, side, placement.device);
    let encoded = model.encode_conditions(&given);
    let latents = model.encode_pictures(&given.composite);
    let timesteps = Tensor::full(2, 499, (Kind::Int64, placement.device));
    let memory = &mut KeyframeMemory::new(2);
    let denoised = model.denoise(&latents, StepTime::alone(&timesteps), &text, &encoded, memory);
    let picture = model.decode_latents(&latents);
    [
        ("text encoder", text.hidden_states().shallow_clone()),
        ("autoencoder, encode", latents),
        ("UNet and ControlNets", denoised.output),
        ("autoencoder, decode", picture),
    ]
}

fn assert_alike(folder: &ModelFolder, side: i64, placement: Placement, tolerance: f64) {
    let expected = outputs(folder, Placement::cpu(), side);
    for ((name, found), (_, expected)) in outputs(folder, placement, side).into_iter().zip(expected) {
        let error = relative(&found, &expected);
        println!("{name}: {error:.1e}");
        assert!(error < tolerance, "{name}: {error}"); // false for NaN as well
    }
}

/// The comparison itself, where there is no card.
#[test]
fn on_a_cpu_the_networks_equal_themselves() {
    let (_root, folder) = written(Size::Tiny);
    assert_alike(&folder, 64, Placement::cpu(), 1e-6);
}

#[test]
#[cfg_attr(not(cuda_device), ignore = "there is no CUDA device")]
fn in_full_precision_the_networks_equal_the_cpus() {
    let (_root, folder) = written(Size::Tiny);
    assert_alike(&folder, 128, on_card("f32"), 1e-3);
}

#[test]
#[cfg_attr(not(cuda_device), ignore = "there is no CUDA device")]
fn in_half_precision_full_size_networks_equal_the_cpus() {
    let (_root, folder) = written(Size::Full);
    assert_alike(&folder, 256, on_card("f16"), HALF);
}

/// All of the card but what the limit leaves is taken by others, and the batch still runs.
#[test]
#[cfg_attr(not(cuda_device), ignore = "there is no CUDA device")]
fn a_batch_of_sixteen_fits_into_what_its_memory_limit_says() {
    const SIDE: i64 = 512;
    let (_root, folder) = written(Size::Full);
    let placement = on_card("f16");
    let propagator = Propagator::load(&folder, placement).unwrap();
    let model = DiffusionModel::load(&folder, Placement::cpu()).unwrap();
    let weights = model.weights_bytes(&folder).unwrap() / 2; // the CPU's are in full precision
    drop(model);
    let limit = 8 << 30;
    let others = card_memory(placement.device).unwrap() - limit;
    let _others = Tensor::empty(others as i64, (Kind::Uint8, placement.device));
    let pictures = conditions(16, SIDE, placement.device);
    let given = KeyframeConditions { pictures, finished: 1, anchor: None, stream_times: (0..16).collect() };
    let parameters = EditParameters {
        prompt: "a castle".into(),
        num_inference_steps: 20,
        memory_limit: limit - (3 << 29),
        ..Default::default()
    };
    assert!(weights < parameters.memory_limit);
    let diffused = propagator.diffuse(&given, &parameters, &CancelToken::new()).unwrap();
    assert!(diffused.pictures.isfinite().all().int64_value(&[]) == 1);
}

#[test]
#[cfg_attr(not(cuda_device), ignore = "there is no CUDA device")]
fn the_embedded_model_edits_alike_on_a_card() {
    let frame = |index: usize| {
        let sample = |at: usize| (((at / 3 % 256 + 2 * index) * 3) ^ (at / 3 / 256)) as u8;
        let samples = Samples::U8((0..256 * 144 * 3).map(sample).collect());
        let picture = Arc::new(Picture { width: 256, height: 144, samples });
        Frame { picture, stream_time: index as u64 * 40_000_000, starts_shot: false }
    };
    let parameters =
        EditParameters { prompt: "a pencil sketch".into(), batch_size: 4, ..EditParameters::default() };
    let edited = |device: &str| {
        let ModelRequest::FlowVid { model, preset, plugin_folder, .. } = request("nano") else {
            unreachable!()
        };
        let (device, dtype) = (device.into(), "f32".into());
        let request = ModelRequest::FlowVid { model, preset, device, dtype, plugin_folder };
        let mut engine = open(&request, &CancelToken::new()).unwrap();
        let batch = engine.process((0..13).map(frame).collect(), &parameters, &CancelToken::new()).unwrap();
        batch.frames
    };
    for (index, (card, cpu)) in edited("cuda").iter().zip(edited("cpu")).enumerate() {
        let [card, cpu] = [card, &cpu].map(|frame| match &frame.picture.as_ref().unwrap().samples {
            Samples::U8(samples) => samples.clone(),
            Samples::U16(_) => unreachable!("eight bits went in"),
        });
        let apart = card.iter().zip(&cpu).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
        assert!(apart / (card.len() as f64) < 1.0, "frame {index}");
    }
}

//! UNet, ControlNet, autoencoder and text encoder against diffusers 0.36.0 and transformers 5.24.0 (torch 2.11.0),
//! fp32, random weights in every parameter; made by `tests/parity/diffusion/make.py`.

mod common;

use std::fs;

use common::{Fixture, assert_relative, project, random_tensor, seen};
use gstflowvid::{
    diffusion::{
        ClipTextConfig, ClipTextModel, ControlNetConfig, ControlNetModel, ControlNetResiduals,
        KeyframeMemory, UNet2DConditionModel, UNetConfig, Vae,
    },
    torch::Placement,
};
use serde::de::DeserializeOwned;
use tch::{
    Tensor,
    nn::{Path, VarStore},
};

const FIXTURE: &str = "diffusion";
const SEED: u64 = 7;
const TOLERANCE: f64 = 1e-4;

fn json(file: &str) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(project(file)).unwrap()).unwrap()
}

/// A config of `networks.json`, or of the embedded model.
fn config<C: DeserializeOwned>(name: &str) -> C {
    let value = match name.strip_prefix("nano/") {
        Some(component) => json(&format!("models/nano/{component}/config.json")),
        None => json("tests/parity/diffusion/networks.json")[name].clone(),
    };
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A network with the fixture's weights, and its store.
fn filled<C: DeserializeOwned, M>(name: &str, new: impl FnOnce(&Path, &C) -> M) -> (VarStore, M) {
    common::filled(&config(name), SEED, new)
}

fn random(name: &str, shape: &[i64]) -> Tensor {
    random_tensor(SEED, name, shape)
}

struct Inputs {
    sample: Tensor,
    timesteps: Tensor,
    text: Tensor,
}

fn inputs(name: &str, sample: [i64; 4], text: [i64; 2]) -> Inputs {
    let timesteps: Vec<i64> = (0..sample[0]).map(|index| (997 - 311 * index).rem_euclid(1000)).collect();
    Inputs {
        sample: random(&format!("{name}.sample"), &sample) * 1.7,
        timesteps: Tensor::from_slice(&timesteps),
        text: random(&format!("{name}.text"), &[sample[0], text[0], text[1]]) * 1.7,
    }
}

fn nano_inputs() -> (Inputs, Tensor) {
    (inputs("nano", [6, 73, 16, 24], [16, 96]), random("nano.hint", &[6, 3, 64, 96]) / 2 + 0.5)
}

fn control(controlnet: &ControlNetModel, inputs: &Inputs, hint: &Tensor) -> ControlNetResiduals {
    let embedding = controlnet.embed_condition(hint);
    controlnet.forward(&inputs.sample, &inputs.timesteps, &seen(&inputs.text), &embedding, 1.0)
}

fn denoise(
    unet: &UNet2DConditionModel,
    inputs: &Inputs,
    residuals: Option<&ControlNetResiduals>,
    keyframes: i64,
) -> Tensor {
    let memory = &mut KeyframeMemory::new(keyframes);
    unet.forward(&inputs.sample, &inputs.timesteps, &seen(&inputs.text), residuals, memory)
}

fn assert_pair(name: &str, [controlnet, unet]: [&str; 2], inputs: &Inputs, hint: &Tensor, keyframes: i64) {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (_store, controlnet) = filled(controlnet, ControlNetModel::new);
    let (_store, unet) = filled(unet, UNet2DConditionModel::new);
    let residuals = control(&controlnet, inputs, hint);
    for (index, residual) in residuals.down.iter().enumerate() {
        let key = format!("{name}.down.{index}");
        let thin = [1, 2, 3].iter().fold(residual.shallow_clone(), |x, &dim| x.slice(dim, 0, None, 2));
        assert_relative(&key, &thin, &fixture.tensor(&key), TOLERANCE);
    }
    assert_relative(name, &residuals.mid, &fixture.tensor(&format!("{name}.mid")), TOLERANCE);
    let output = denoise(&unet, inputs, Some(&residuals), keyframes);
    assert_relative(name, &output, &fixture.tensor(&format!("{name}.output")), TOLERANCE);
}

#[test]
fn the_embedded_models_networks_match_over_two_batches_of_three_keyframes() {
    let (inputs, hint) = nano_inputs();
    assert_pair("nano", ["nano/controlnet", "nano/unet"], &inputs, &hint, 3);
}

#[test]
fn stable_diffusion_15s_kind_of_networks_match_at_an_odd_size() {
    let inputs = inputs("sd15", [2, 4, 24, 40], [77, 64]);
    let hint = random("sd15.hint", &[2, 3, 192, 320]) / 2 + 0.5;
    assert_pair("sd15", ["sd15_controlnet", "sd15"], &inputs, &hint, 1);
}

#[test]
fn linear_projections_head_lists_and_sizes_that_do_not_halve_match() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (_store, unet) = filled("sd21", UNet2DConditionModel::new);
    let output = denoise(&unet, &inputs("sd21", [4, 4, 10, 14], [9, 48]), None, 4);
    assert_relative("sd21", &output, &fixture.tensor("sd21.output"), TOLERANCE);
}

#[test]
fn text_encoders_match() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    for (name, key) in [("nano/text_encoder", "nano_text.output"), ("clip", "clip.output")] {
        let ClipTextConfig { max_position_embeddings: length, vocab_size, .. } = config(name);
        let (_store, encoder) = filled(name, ClipTextModel::new);
        let tokens: Vec<i64> = (0..2 * length).map(|index| (index * 37 + 11) % vocab_size).collect();
        let output = encoder.forward(&Tensor::from_slice(&tokens).view([2, length]));
        assert_relative(key, &output, &fixture.tensor(key), TOLERANCE);
    }
}

#[test]
fn the_autoencoder_matches_both_ways() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (_store, vae) = filled("kl", Vae::new);
    let pictures = random("kl.pictures", &[1, 3, 24, 40]) * 0.5 + 0.5; // the fixture's are -1..1
    let mean = vae.encode(&pictures) / 0.18215;
    assert_relative("kl mean", &mean, &fixture.tensor("kl.mean"), TOLERANCE);
    let decoded = vae.decode(&random("kl.given", &[1, 4, 6, 10])) * 2.0 - 1.0;
    assert_relative("kl decoded", &decoded, &fixture.tensor("kl.decoded"), TOLERANCE);
}

/// The comparison sees each kind of layer: with one tensor changed by a hundredth, parity is lost.
#[test]
fn one_changed_tensor_of_any_kind_breaks_the_match() {
    let (inputs, hint) = nano_inputs();
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (_store, controlnet) = filled("nano/controlnet", ControlNetModel::new);
    let residuals = control(&controlnet, &inputs, &hint);
    let (store, unet) = filled("nano/unet", UNet2DConditionModel::new);
    let expected = fixture.tensor("nano.output");
    for key in [
        "conv_in.weight",
        "time_embedding.linear_2.bias",
        "down_blocks.0.resnets.0.time_emb_proj.weight",
        "down_blocks.0.downsamplers.0.conv.weight",
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k.weight",
        "down_blocks.2.attentions.0.norm.weight",
        "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight",
        "mid_block.attentions.0.transformer_blocks.0.norm1.bias",
        "up_blocks.0.attentions.1.transformer_blocks.0.ff.net.0.proj.weight",
        "up_blocks.0.upsamplers.0.conv.weight",
        "up_blocks.1.attentions.0.proj_out.weight",
        "up_blocks.2.resnets.1.conv_shortcut.weight",
        "conv_norm_out.weight",
    ] {
        let mut variable = store.variables().remove(key).unwrap_or_else(|| panic!("no {key}"));
        let original = variable.copy();
        variable.copy_(&(&original + original.abs().max() * 0.05));
        let difference = denoise(&unet, &inputs, Some(&residuals), 3) - &expected;
        let relative = (difference.abs().max() / expected.abs().max()).double_value(&[]);
        assert!(relative > TOLERANCE, "{key}: changed, and the error is still {relative:.1e}");
        variable.copy_(&original);
    }
}

/// A batch that comes in several calls sees what it would see in one.
#[test]
fn keyframes_in_several_calls_match_one_call() {
    let _no_grad = tch::no_grad_guard();
    for name in ["nano/unet", "sd21"] {
        let (_store, unet) = filled(name, UNet2DConditionModel::new);
        let (channels, text) = if name == "sd21" { (4, [9, 48]) } else { (73, [16, 96]) };
        let whole = inputs("calls", [16, channels, 8, 12], text);
        let expected = denoise(&unet, &whole, None, 16);
        let memory = &mut KeyframeMemory::new(0);
        let parts: Vec<Tensor> = [(0, 4), (4, 4), (8, 1), (9, 7)]
            .iter()
            .map(|&(start, length)| {
                memory.next_call(length);
                let part = |tensor: &Tensor| tensor.narrow(0, start, length);
                let text = seen(&part(&whole.text));
                unet.forward(&part(&whole.sample), &part(&whole.timesteps), &text, None, memory)
            })
            .collect();
        assert_relative(name, &Tensor::cat(&parts, 0), &expected, 1e-5);
        assert!(expected.std(true).double_value(&[]) > 0.1);
    }
}

/// Stable Diffusion 1.5's own configs, as its folder has them.
#[test]
fn stable_diffusion_15s_configs_construct() {
    let store = VarStore::new(Placement::cpu().device);
    let unet = r#"{"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu",
        "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280], "center_input_sample": false,
        "cross_attention_dim": 768, "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D", "DownBlock2D"], "downsample_padding": 1, "flip_sin_to_cos": true,
        "freq_shift": 0, "in_channels": 4, "layers_per_block": 2, "mid_block_scale_factor": 1,
        "norm_eps": 1e-05, "norm_num_groups": 32, "out_channels": 4, "sample_size": 64, "up_block_types":
        ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]}"#;
    UNet2DConditionModel::new(&store.root(), &serde_json::from_str::<UNetConfig>(unet).unwrap());
    let parameters = |store: &VarStore| store.variables().values().map(Tensor::numel).sum::<usize>();
    assert_eq!(parameters(&store), 859_520_964); // as published
    let store = VarStore::new(Placement::cpu().device);
    let controlnet: ControlNetConfig = serde_json::from_str(unet).unwrap();
    ControlNetModel::new(&store.root(), &controlnet);
    assert_eq!(parameters(&store), 361_279_120); // diffusers' ControlNetModel of this config
    let store = VarStore::new(Placement::cpu().device);
    let vae = r#"{"_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [128, 256, 512, 512],
        "in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32}"#;
    Vae::new(&store.root(), &serde_json::from_str(vae).unwrap());
    assert_eq!(parameters(&store), 83_653_863);
    let refused = unet.replace(r#""center_input_sample": false"#, r#""center_input_sample": true"#);
    assert!(serde_json::from_str::<UNetConfig>(&refused).is_err());
}

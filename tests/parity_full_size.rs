//! Stable Diffusion 1.5's networks in their own sizes, and TAESD, against diffusers 0.36.0 and transformers 5.24.0 (torch
//! 2.11.0), fp32, random weights in every parameter; made by `tests/parity/full_size/make.py`.

mod common;

use std::fs;

use common::{Fixture, assert_relative, project, random_tensor, seen};
use gstflowvid::diffusion::{ClipTextModel, ControlNetModel, KeyframeMemory, UNet2DConditionModel, Vae};
use serde::de::DeserializeOwned;
use tch::{
    Tensor,
    nn::{Path, VarStore},
};

const FIXTURE: &str = "full_size";
const SEED: u64 = 7;
const TOLERANCE: f64 = 1e-4;
/// Keyframes, height and width of the latents.
const SIZES: [(&str, [i64; 3]); 2] = [("wide", [1, 24, 40]), ("odd", [2, 20, 28])];

/// A network of `networks.json` with the fixture's weights; the store keeps them.
fn filled<C: DeserializeOwned, M>(name: &str, new: impl FnOnce(&Path, &C) -> M) -> (VarStore, M) {
    let text = fs::read_to_string(project("tests/parity/full_size/networks.json")).unwrap();
    let configs: serde_json::Value = serde_json::from_str(&text).unwrap();
    let config: C = serde_json::from_value(configs[name].clone()).unwrap();
    let (mut store, network) = common::filled(&config, SEED, new);
    store.freeze();
    (store, network)
}

fn random(name: &str, shape: &[i64]) -> Tensor {
    random_tensor(SEED, name, shape)
}

struct Inputs {
    sample: Tensor,
    timesteps: Tensor,
    text: Tensor,
    hint: Tensor,
}

fn inputs(name: &str, [n, h, w]: [i64; 3]) -> Inputs {
    let timesteps: Vec<i64> = (0..n).map(|index| (997 - 311 * index).rem_euclid(1000)).collect();
    Inputs {
        sample: random(&format!("{name}.sample"), &[n, 4, h, w]) * 1.7,
        timesteps: Tensor::from_slice(&timesteps),
        text: random(&format!("{name}.text"), &[n, 77, 768]) * 1.7,
        hint: random(&format!("{name}.hint"), &[n, 3, 8 * h, 8 * w]) / 2 + 0.5,
    }
}

/// One after the other: the UNet alone takes 3.4 GB.
#[test]
fn unet_and_controlnet_match() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let given = SIZES.map(|(name, size)| (name, inputs(name, size)));
    let residuals = {
        let (_store, controlnet) = filled("controlnet", ControlNetModel::new);
        given.each_ref().map(|(name, Inputs { sample, timesteps, text, hint })| {
            let embedding = controlnet.embed_condition(hint);
            let residuals = controlnet.forward(sample, timesteps, &seen(text), &embedding, 1.0);
            let thin = residuals.mid.slice(1, 0, None, 16);
            assert_relative(
                &format!("{name}.mid"),
                &thin,
                &fixture.tensor(&format!("{name}.mid")),
                TOLERANCE,
            );
            residuals
        })
    };
    let (_store, unet) = filled("unet", UNet2DConditionModel::new);
    for ((name, Inputs { sample, timesteps, text, .. }), residuals) in given.iter().zip(&residuals) {
        let memory = &mut KeyframeMemory::new(1);
        let output = unet.forward(sample, timesteps, &seen(text), Some(residuals), memory);
        let key = format!("{name}.output");
        assert_relative(&key, &output, &fixture.tensor(&key), TOLERANCE);
    }
}

#[test]
fn the_text_encoder_matches() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (_store, encoder) = filled("text_encoder", ClipTextModel::new);
    let tokens: Vec<i64> = (0..2 * 77).map(|index| (index * 3907 + 11) % 49408).collect();
    let output = encoder.forward(&Tensor::from_slice(&tokens).view([2, 77]));
    assert_relative("text", &output.slice(2, 0, None, 4), &fixture.tensor("text.output"), TOLERANCE);
}

#[test]
fn the_autoencoders_match_both_ways() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    for (network, scale, encoded) in [("kl", 0.18215, "mean"), ("tiny", 1.0, "latents")] {
        let (_store, vae) = filled(network, Vae::new);
        assert_eq!(vae.scale_factor(), 8);
        for (size, h, w) in [("wide", 6, 10), ("odd", 9, 5)] {
            let pictures = random(&format!("{size}.pictures"), &[1, 3, 8 * h, 8 * w]) * 0.5 + 0.5;
            let key = format!("{size}.{network}.{encoded}");
            assert_relative(&key, &(vae.encode(&pictures) / scale), &fixture.tensor(&key), TOLERANCE);
            let latents = random(&format!("{size}.latents"), &[1, 4, h, w]) * 1.7;
            let key = format!("{size}.{network}.decoded");
            let decoded = vae.decode(&latents).slice(2, 0, None, 2).slice(3, 0, None, 2) * 2.0 - 1.0;
            assert_relative(&key, &decoded, &fixture.tensor(&key), TOLERANCE);
        }
    }
}

/// The comparison sees TAESD's layers, too.
#[test]
fn one_changed_tensor_breaks_the_match() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (store, vae) = filled("tiny", Vae::new);
    let latents = random("wide.latents", &[1, 4, 6, 10]) * 1.7;
    let expected = fixture.tensor("wide.tiny.decoded");
    for key in ["decoder.layers.0.bias", "decoder.layers.6.weight", "decoder.layers.8.conv.2.weight"] {
        let mut variable = store.variables().remove(key).unwrap_or_else(|| panic!("no {key}"));
        let original = variable.copy();
        variable.copy_(&(&original + original.abs().max() * 0.05));
        let decoded = vae.decode(&latents).slice(2, 0, None, 2).slice(3, 0, None, 2) * 2.0 - 1.0;
        let relative = ((decoded - &expected).abs().max() / expected.abs().max()).double_value(&[]);
        assert!(relative > TOLERANCE, "{key}: changed, and the error is still {relative:.1e}");
        variable.copy_(&original);
    }
}

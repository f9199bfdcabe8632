//! Depth Anything V2 small against transformers 4.57.6 (torch 2.11.0), fp32, attention "eager", random weights in every
//! parameter; made by `tests/parity/depth/make.py`.

mod common;

use std::{collections::BTreeSet, fs};

use common::{Fixture, assert_relative, project, random_tensor};
use gstflowvid::{
    conditions::depth::{Config, DepthAnything},
    torch::Placement,
    weights::{Component, load, save},
};
use tch::{Kind, Tensor, nn::VarStore};

const FIXTURE: &str = "depth";
const SEED: u64 = 7;
const TOLERANCE: f64 = 1e-4;
/// Height and width, multiples of 14; none is square, and half of the patches are an odd number.
const SIZES: [(&str, [i64; 2]); 2] = [("wide", [98, 154]), ("tall", [182, 126])];

fn filled() -> (VarStore, DepthAnything) {
    let text = fs::read_to_string(project("tests/parity/depth/config.json")).unwrap();
    let config: Config = serde_json::from_str(&text).unwrap();
    let (mut store, network) = common::filled(&config, SEED, DepthAnything::new);
    store.freeze();
    (store, network)
}

fn pictures(name: &str, [height, width]: [i64; 2]) -> Tensor {
    random_tensor(SEED, &format!("{name}.pixel_values"), &[2, 3, height, width]) * 1.7
}

/// What the fixture has of it.
fn thin(depth: &Tensor) -> Tensor {
    depth.squeeze_dim(1).slice(1, 0, None, 2).slice(2, 0, None, 2)
}

#[test]
fn depth_matches_at_sizes_that_are_not_square() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (_store, network) = filled();
    for (name, size) in SIZES {
        let depth = network.forward(&pictures(name, size));
        assert_relative(name, &thin(&depth), &fixture.tensor(name), TOLERANCE);
    }
}

#[test]
fn the_networks_keys_are_the_references() {
    let keys = fs::read_to_string(project("tests/parity/depth/keys.txt")).unwrap();
    let expected: BTreeSet<String> = keys.lines().map(str::to_owned).collect();
    let (store, _network) = filled();
    let found: BTreeSet<String> = store.variables().into_keys().collect();
    assert_eq!(found, expected);
}

/// A folder as transformers writes it loads by the one way that all networks load by.
#[test]
fn a_folder_in_transformers_layout_loads() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let folder = tempfile::tempdir().unwrap();
    fs::copy(project("tests/parity/depth/config.json"), folder.path().join("config.json")).unwrap();
    let tensors: Vec<(String, Tensor)> = filled().0.variables().into_iter().collect();
    save(&tensors, &folder.path().join("model.safetensors"), Kind::Float).unwrap();
    let component = Component::open(folder.path().into()).unwrap();
    let network = load(&component, Placement::cpu(), DepthAnything::new).unwrap();
    let depth = network.forward(&pictures("wide", SIZES[0].1));
    assert_relative("loaded", &thin(&depth), &fixture.tensor("wide"), TOLERANCE);
}

/// The comparison sees each kind of layer: with one tensor's numbers moved by one place, parity is lost. (What is added
/// to or multiplied with all of a token, a layer norm takes away again.)
#[test]
fn one_changed_tensor_of_any_kind_breaks_the_match() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (store, network) = filled();
    let (given, expected) = (pictures("tall", SIZES[1].1), fixture.tensor("tall"));
    for key in [
        "backbone.embeddings.cls_token",
        "backbone.embeddings.position_embeddings",
        "backbone.embeddings.patch_embeddings.projection.weight",
        "backbone.encoder.layer.0.norm1.weight",
        "backbone.encoder.layer.3.attention.attention.key.weight",
        "backbone.encoder.layer.5.attention.output.dense.bias",
        "backbone.encoder.layer.7.layer_scale1.lambda1",
        "backbone.encoder.layer.8.mlp.fc2.weight",
        "backbone.encoder.layer.11.layer_scale2.lambda1",
        "backbone.layernorm.bias",
        "neck.reassemble_stage.layers.0.resize.weight",
        "neck.reassemble_stage.layers.3.resize.weight",
        "neck.reassemble_stage.layers.2.projection.weight",
        "neck.convs.1.weight",
        "neck.fusion_stage.layers.0.residual_layer2.convolution2.weight",
        "neck.fusion_stage.layers.2.residual_layer1.convolution1.bias",
        "neck.fusion_stage.layers.3.projection.weight",
        "head.conv1.weight",
        "head.conv3.weight",
    ] {
        let mut variable = store.variables().remove(key).unwrap_or_else(|| panic!("no {key}"));
        let original = variable.copy();
        variable.copy_(&original.flatten(0, -1).roll([1], [0]).view_as(&original));
        let difference = thin(&network.forward(&given)) - &expected;
        let relative = (difference.abs().max() / expected.abs().max()).double_value(&[]);
        assert!(relative > TOLERANCE, "{key}: moved, and the error is still {relative:.1e}");
        variable.copy_(&original);
    }
}

//! CLIP, by which `examples/evaluate` tells Tem-Con and Pro-Ali, against transformers 4.57.6 (torch 2.11.0), fp32, attention
//! "eager", random weights in every parameter; and its way to bring pictures to the network's size against
//! CLIPImageProcessor (pillow 11.3.0). Made by `tests/parity/clip/make.py`.

#[path = "../examples/evaluate/clip/mod.rs"]
mod clip;
mod common;

use std::{collections::BTreeSet, fs};

use clip::{Clip, ClipConfig, Preprocessor, Scorer};
use common::{Fixture, assert_relative, project, random_tensor};
use gstflowvid::{diffusion::Tokenizer, weights::save};
use image::RgbImage;
use tch::{Kind, Tensor, nn::VarStore};

const FIXTURE: &str = "clip";
const SEED: u64 = 7;
const TOLERANCE: f64 = 1e-4;
const PICTURES: [&str; 4] = ["wide", "tall", "small", "square"];
const PROMPTS: [&str; 2] = ["a pencil sketch", "the sailor (in the rain), [drawn at night]"];
/// Two code values of 255, over the smallest deviation that colours are normalised by: torch's weights of a resized byte
/// have fewer bits than PIL's, so that a value may be rounded the other way, in each direction once.
const TWO_CODE_VALUES: f64 = 2.001 / 255.0 / 0.26130258;
/// At most this share of the values may.
const RARELY: f64 = 0.01;

fn config() -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(project("tests/parity/clip/config.json")).unwrap()).unwrap()
}

fn filled(config: serde_json::Value) -> (VarStore, Clip) {
    let config: ClipConfig = serde_json::from_value(config).unwrap();
    let (mut store, network) = common::filled(&config, SEED, Clip::new);
    store.freeze();
    (store, network)
}

fn pixel_values() -> Tensor {
    random_tensor(SEED, "pixel_values", &[2, 3, 40, 40]) * 1.7
}

fn tokens() -> Tensor {
    let tokenizer = Tokenizer::open(&project("tests/parity/tokenizer")).unwrap();
    let escaped =
        |prompt: &str| prompt.replace('(', "\\(").replace(')', "\\)").replace('[', "\\[").replace(']', "\\]");
    let tokens = PROMPTS.map(|prompt| tokenizer.encode(&escaped(prompt)).remove(0).tokens);
    Tensor::from_slice2(&tokens)
}

fn picture(fixture: &Fixture, name: &str) -> RgbImage {
    let rows = fixture.tensor(&format!("{name}.picture")); // [height, width, 3], bytes
    let (height, width) = (rows.size()[0] as u32, rows.size()[1] as u32);
    RgbImage::from_raw(width, height, Vec::<u8>::try_from(rows.flatten(0, -1)).unwrap()).unwrap()
}

#[test]
fn both_halves_match() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (_store, network) = filled(config());
    assert_relative("image", &network.image_features(&pixel_values()), &fixture.tensor("image"), TOLERANCE);
    assert_relative("text", &network.text_features(&tokens()), &fixture.tensor("text"), TOLERANCE);
}

#[test]
fn an_old_configs_text_ends_at_its_greatest_token() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let mut config = config();
    config["text_config"]["eos_token_id"] = 2.into();
    let (_store, network) = filled(config);
    let expected = fixture.tensor("text");
    assert_relative("text", &network.text_features(&tokens()), &expected, TOLERANCE);
}

#[test]
fn pictures_of_any_size_become_the_same_values() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let preprocessor = Preprocessor::open(&project("tests/parity/clip")).unwrap();
    for name in PICTURES {
        let found = preprocessor.pixel_values(&picture(&fixture, name));
        let expected = fixture.tensor(&format!("{name}.pixel_values"));
        assert_eq!(found.size(), expected.size(), "{name}");
        let difference = (found - expected).abs();
        let (largest, other) = (difference.max().double_value(&[]), difference.gt(1e-5).to_kind(Kind::Float));
        let share = other.mean(Kind::Float).double_value(&[]);
        println!("{name}: largest difference {largest:.1e}, {share:.4} of the values differ");
        assert!(largest < TWO_CODE_VALUES && share < RARELY, "{name}: {largest}, {share}");
    }
}

#[test]
fn the_networks_keys_are_the_references() {
    let keys = fs::read_to_string(project("tests/parity/clip/keys.txt")).unwrap();
    let expected: BTreeSet<String> = keys.lines().map(str::to_owned).collect();
    let found: BTreeSet<String> = filled(config()).0.variables().into_keys().collect();
    assert_eq!(found, expected);
}

/// A folder as transformers writes it, an old one too, whose weights hold the places' numbers.
#[test]
fn a_folder_in_transformers_layout_gives_the_same_scores() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, name: &str| {
        fs::copy(project("tests/parity").join(from).join(name), folder.path().join(name)).unwrap();
    };
    ["config.json", "preprocessor_config.json"].iter().for_each(|name| copy("clip", name));
    ["vocab.json", "merges.txt", "tokenizer_config.json"].iter().for_each(|name| copy("tokenizer", name));
    let mut tensors: Vec<(String, Tensor)> = filled(config()).0.variables().into_iter().collect();
    for half in ["text", "vision"] {
        let places = Tensor::arange(77, (Kind::Float, tch::Device::Cpu));
        tensors.push((format!("{half}_model.embeddings.position_ids"), places));
    }
    save(&tensors, &folder.path().join("model.safetensors"), Kind::Float).unwrap();

    let unit = |features: Tensor| &features / features.norm();
    let image = |name: &str| unit(fixture.tensor(&format!("{name}.image")));
    let cosine = |a: &Tensor, b: &Tensor| 100.0 * (a * b).sum(Kind::Double).double_value(&[]);
    let prompt = unit(fixture.tensor("text").narrow(0, 1, 1));
    let scorer = Scorer::open(folder.path(), Some(PROMPTS[1])).unwrap();
    let features = PICTURES.map(|name| scorer.features(&picture(&fixture, name)));
    let found = scorer.score(&features, &[2]);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    // None across the cut.
    let [wide, tall, small, square] = PICTURES.map(image);
    let tem_con = mean(&[cosine(&wide, &tall), cosine(&small, &square)]);
    let pro_ali = mean(&[&wide, &tall, &small, &square].map(|frame| cosine(frame, &prompt)));
    assert!((found.tem_con.unwrap() - tem_con).abs() < 0.05, "{found:?}, not {tem_con}");
    assert!((found.pro_ali.unwrap() - pro_ali).abs() < 0.05, "{found:?}, not {pro_ali}");
    let without = Scorer::open(folder.path(), None).unwrap().score(&features, &[]);
    assert_eq!(without.pro_ali, None);
    let long = Scorer::open(folder.path(), Some(&"rain ".repeat(100))).map(drop).unwrap_err();
    assert!(long.to_string().contains("longer"), "{long}");
}

/// The comparison sees each kind of layer: with one tensor's numbers moved by one place, parity is lost. (What is added
/// to or multiplied with all of a token, a layer norm takes away again.)
#[test]
fn one_changed_tensor_of_any_kind_breaks_the_match() {
    let (fixture, _no_grad) = (Fixture::open(FIXTURE), tch::no_grad_guard());
    let (store, network) = filled(config());
    for key in [
        "vision_model.embeddings.class_embedding",
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model.embeddings.position_embedding.weight",
        "vision_model.pre_layrnorm.weight",
        "vision_model.encoder.layers.0.self_attn.k_proj.weight",
        "vision_model.encoder.layers.1.layer_norm2.bias",
        "vision_model.encoder.layers.2.mlp.fc1.weight",
        "vision_model.post_layernorm.bias",
        "visual_projection.weight",
        "text_model.embeddings.token_embedding.weight",
        "text_model.encoder.layers.1.self_attn.q_proj.bias",
        "text_model.final_layer_norm.weight",
        "text_projection.weight",
    ] {
        let mut variable = store.variables().remove(key).unwrap_or_else(|| panic!("no {key}"));
        let original = variable.copy();
        variable.copy_(&original.flatten(0, -1).roll([1], [0]).view_as(&original));
        let (found, expected) = match key.starts_with("v") {
            true => (network.image_features(&pixel_values()), fixture.tensor("image")),
            false => (network.text_features(&tokens()), fixture.tensor("text")),
        };
        let relative = ((found - &expected).abs().max() / expected.abs().max()).double_value(&[]);
        assert!(relative > TOLERANCE, "{key}: moved, and the error is still {relative:.1e}");
        variable.copy_(&original);
    }
}

//! LoRAs against diffusers 0.36.0 and peft 0.21.2, made by `tests/parity/lora/make.py`; and what is refused.

use std::{fs, path::PathBuf};

use gstflowvid::{
    torch::Placement,
    weights::{ModelFolder, save},
};
use serde_json::{Value, json};
use tch::{Kind, Tensor, nn::VarStore};

use crate::{
    common::{Fixture, assert_relative, fill, project},
    filled, network, write,
};

const SEED: u64 = 11;
const TOLERANCE: f64 = 1e-6;
const FIXTURE: &str = "lora";

/// A model folder with the fixture's networks and these LoRAs.
struct Model(tempfile::TempDir);

fn configs() -> Value {
    serde_json::from_str(&fs::read_to_string(project("tests/parity/lora/networks.json")).unwrap()).unwrap()
}

fn base(part: &str) -> VarStore {
    let store = network(part, &configs()[part]);
    fill(&store, SEED);
    store
}

impl Model {
    fn new(loras: &Value) -> Self {
        let root = tempfile::tempdir().unwrap();
        write(&root.path().join("m/model_index.json"), &json!({ "loras": loras }));
        for (part, name) in
            [("unet", "diffusion_pytorch_model.safetensors"), ("text_encoder", "model.safetensors")]
        {
            let folder = root.path().join("m").join(part);
            write(&folder.join("config.json"), &configs()[part]);
            let tensors: Vec<_> = base(part).variables().into_iter().collect();
            save(&tensors, &folder.join(name), Kind::Float).unwrap();
        }
        Self(root)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("m").join(name)
    }

    fn load(&self, part: &str) -> Result<VarStore, String> {
        let folder = ModelFolder::find("m", &[self.0.path().into()]).map_err(|error| error.to_string())?;
        let component = folder.component(part).map_err(|error| error.to_string())?;
        filled(part, &component).map_err(|error| error.to_string())
    }
}

fn fixture_file(name: &str) -> PathBuf {
    project("tests/parity/lora").join(name)
}

#[test]
fn several_loras_of_all_layouts_are_merged_as_diffusers_does() {
    let lora = |name: &str, strength: f64| json!({ "file": fixture_file(name), "strength": strength });
    let peft = json!({ "file": fixture_file("peft.safetensors") });
    let model =
        Model::new(&json!([lora("kohya.safetensors", 0.7), lora("diffusers.safetensors", -0.4), peft]));
    let fixture = Fixture::open(FIXTURE);
    let mut compared = 0;
    for part in ["unet", "text_encoder"] {
        let before = base(part).variables();
        for (key, after) in model.load(part).unwrap().variables() {
            match fixture.find(&format!("{part}/{key}")) {
                Some(expected) => {
                    assert_relative(&key, &after, &expected, TOLERANCE);
                    let change = (&expected - &before[&key]).abs().max() / expected.abs().max();
                    assert!(change.double_value(&[]) > 0.01, "{key}: the fixture changes nothing");
                    compared += 1;
                }
                None => assert!(after.equal(&before[&key]), "{key} was changed"),
            }
        }
    }
    assert_eq!(compared, fixture.len());
}

#[test]
fn no_strength_changes_nothing() {
    let model = Model::new(&json!([{ "file": fixture_file("kohya.safetensors"), "strength": 0.0 }]));
    crate::assert_equal(&model.load("unet").unwrap(), &base("unet"));
}

/// A LoRA of these tensors is refused with these words.
#[track_caller]
fn refused(part: &str, tensors: &[(&str, &[i64], f64)], words: &[&str]) {
    let device = Placement::cpu().device;
    let full = |&(key, size, value): &(&str, &[i64], f64)| {
        (key.to_owned(), Tensor::full(size, value, (Kind::Float, device)))
    };
    let model = Model::new(&json!([{ "file": "lora/x.safetensors" }]));
    save(&tensors.iter().map(full).collect::<Vec<_>>(), &model.file("lora/x.safetensors"), Kind::Float)
        .unwrap();
    let said = model.load(part).expect_err("an error");
    for word in ["lora/x.safetensors"].iter().chain(words) {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
}

const DOWN: &str = "lora_unet_conv_in.lora_down.weight";
const UP: &str = "lora_unet_conv_in.lora_up.weight";
const ALPHA: &str = "lora_unet_conv_in.alpha";
const SOUND: [(&str, &[i64], f64); 2] = [(DOWN, &[2, 4, 3, 3], 0.1), (UP, &[8, 2, 1, 1], 0.1)];

/// A LoRA of rank 4 for `conv_in`, factors of 0.5, with peft's config in the header; what it adds to the first weight.
fn added(config: &Value) -> Result<f64, String> {
    added_by(&Model::new(&json!([{ "file": "x.safetensors" }])), "unet.", &config.to_string())
}

/// The same, its keys after `prefix`, with this text in the header.
fn added_by(model: &Model, prefix: &str, metadata: &str) -> Result<f64, String> {
    let (down, up) = (4 * 4 * 9 * 4, 8 * 4 * 4);
    let header = json!({
        "__metadata__": { "lora_adapter_metadata": metadata },
        format!("{prefix}conv_in.lora_A.weight"):
            { "dtype": "F32", "shape": [4, 4, 3, 3], "data_offsets": [0, down] },
        format!("{prefix}conv_in.lora_B.weight"):
            { "dtype": "F32", "shape": [8, 4, 1, 1], "data_offsets": [down, down + up] },
    });
    let header = header.to_string();
    let values = 0.5_f32.to_le_bytes().repeat((down + up) / 4);
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &values].concat();
    fs::write(model.file("x.safetensors"), bytes).unwrap();
    let (before, after) = (base("unet").variables(), model.load("unet")?.variables());
    Ok((&after["conv_in.weight"] - &before["conv_in.weight"]).double_value(&[0, 0, 0, 0]))
}

#[test]
fn alpha_is_read_from_the_header() {
    for (config, scale) in [
        (json!({}), 1.0),
        (json!({ "unet.lora_alpha": 2 }), 0.5),
        (json!({ "unet.lora_alpha": 2, "unet.use_rslora": true }), 1.0),
        (json!({ "unet.lora_alpha": 2, "unet.alpha_pattern": { "conv_in": 12, "conv_out": 8 } }), 3.0),
        (json!({ "unet.lora_alpha": 2, "unet.alpha_pattern": { "in": 12 } }), 0.5),
        (json!({ "text_encoder.lora_alpha": 2 }), 1.0),
    ] {
        let added = added(&config).unwrap();
        assert!((added - scale).abs() < 1e-5, "{config}: {added}"); // four products of 0.25
    }
    let said = added(&json!({ "unet.use_dora": true })).unwrap_err();
    assert!(said.contains("x.safetensors") && said.contains("DoRA"), "{said}");
}

#[test]
fn a_file_of_pefts_own_is_scaled_by_the_config_beside_it() {
    let peft = |config: Option<Value>| {
        let model = Model::new(&json!([{ "file": "x.safetensors" }]));
        if let Some(config) = config {
            write(&model.file("adapter_config.json"), &config);
        }
        added_by(&model, "base_model.model.", "{}")
    };
    for (config, scale) in [
        (json!({ "r": 4, "lora_alpha": 2 }), 0.5),
        (json!({ "r": 4, "lora_alpha": 2, "use_rslora": true }), 1.0),
        (json!({ "r": 4, "lora_alpha": 2, "alpha_pattern": { "conv_in": 12 } }), 3.0),
    ] {
        let added = peft(Some(config.clone())).unwrap();
        assert!((added - scale).abs() < 1e-5, "{config}: {added}");
    }
    let said = peft(None).unwrap_err();
    assert!(said.contains("adapter_config.json"), "{said}");
    let said = peft(Some(json!({ "use_dora": true }))).unwrap_err();
    assert!(said.contains("x.safetensors") && said.contains("DoRA"), "{said}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let [down, up] = SOUND;
    refused("unet", &[down], &["conv_in.weight", "one is missing"]);
    refused("unet", &[down, (UP, &[8, 3, 1, 1], 0.1)], &[DOWN, UP, "[8, 3, 1, 1]"]);
    refused("unet", &[down, (UP, &[9, 2, 1, 1], 0.1)], &[UP, "[9, 2, 1, 1]"]);
    refused("unet", &[(DOWN, &[2, 4, 1, 1], 0.1), up], &[DOWN, "[2, 4, 1, 1]"]);
    refused("unet", &[(DOWN, &[0, 4, 3, 3], 0.1), (UP, &[8, 0, 1, 1], 0.1)], &[DOWN, "[0, 4, 3, 3]"]);
    refused("unet", &[down, up, (ALPHA, &[1], f64::NAN)], &[ALPHA, "NaN"]);
    refused("unet", &[down, up, (ALPHA, &[2], 1.0)], &[ALPHA, "[2]"]);
    refused("unet", &[down, up, ("unet.conv_in.lora_A.weight", &[2, 4, 3, 3], 0.1)], &[DOWN, "unet.conv_in"]);
    refused("unet", &[down, up, ("lora_unet_conv_in.dora_scale", &[8], 1.0)], &["dora_scale"]);
    refused("unet", &[down, up, ("surprise", &[8], 1.0)], &["surprise"]);
    let misspelt = "lora_unet_conv_inn.alpha";
    refused("unet", &[down, up, (misspelt, &[1], 1.0)], &[misspelt, "perhaps conv_in.weight"]);
    let absent = "lora_te_text_model_encoder_layers_9_mlp_fc1.alpha";
    refused("text_encoder", &[down, up, (absent, &[1], 1.0)], &[absent, "perhaps text_model.encoder.layers"]);
}

#[test]
fn a_list_that_cannot_be_meant_is_refused() {
    for (loras, word) in [
        (json!([{ "file": "lora/absent.safetensors" }]), "lora/absent.safetensors"),
        (json!([{ "file": "x", "weight": 1 }]), "`weight`"),
        (json!([{ "strength": 1 }]), "file"),
        (json!("x"), "model_index.json"),
    ] {
        let said = Model::new(&loras).load("unet").expect_err("an error");
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
}

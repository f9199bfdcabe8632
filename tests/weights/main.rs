//! Weights as people have them: files of a component, whole models in one file, LoRAs.

mod borrowed;
#[path = "../common/mod.rs"]
mod common;
mod files;
mod lora;
mod single_file;

use std::{fs, path::Path};

use gstflowvid::{
    diffusion::{ClipTextConfig, ClipTextModel, UNet2DConditionModel, UNetConfig, Vae, VaeConfig},
    torch::Placement,
    weights::{Component, WeightsError, fill},
};
use serde_json::Value;
use tch::nn::VarStore;

/// An empty store with the network that a component's folder is of.
fn network(part: &str, config: &Value) -> VarStore {
    let store = VarStore::new(Placement::cpu().device);
    let vs = store.root();
    match part {
        "unet" => {
            UNet2DConditionModel::new(&vs, &UNetConfig::deserialize(config));
        }
        "vae" => {
            Vae::new(&vs, &VaeConfig::deserialize(config));
        }
        _ => {
            ClipTextModel::new(&vs, &ClipTextConfig::deserialize(config));
        }
    }
    store
}

trait FromConfig {
    fn deserialize(config: &Value) -> Self;
}

impl<C: serde::de::DeserializeOwned> FromConfig for C {
    fn deserialize(config: &Value) -> Self {
        serde_json::from_value(config.clone()).expect("a config")
    }
}

/// The component's network with its weights.
fn filled(part: &str, component: &Component) -> Result<VarStore, WeightsError> {
    let mut store = network(part, &component.config);
    fill(&mut store, component).map(|()| store)
}

fn write(file: &Path, value: &Value) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, value.to_string()).unwrap();
}

/// Every tensor of `actual` is that of `expected`, to the bit.
#[track_caller]
fn assert_equal(actual: &VarStore, expected: &VarStore) {
    let (actual, expected) = (actual.variables(), expected.variables());
    assert_eq!(actual.len(), expected.len());
    for (key, expected) in expected {
        assert!(actual[&key].equal(&expected), "{key} has other values");
    }
}

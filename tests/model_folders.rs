//! A model folder that is none: every case is an error that names the file and says what to do.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{copy_folder, model, project};
use gstflowvid::{
    conditions::gmflow::GmFlow,
    engine::{CancelToken, ModelRequest, open},
    torch::Placement,
    weights::{Component, NetworkConfig, copy_into, load},
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use serde::Deserialize;
use tch::nn::{self, Path as Variables, VarStore};

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// A copy of the embedded model that may be damaged.
fn copy_of_nano() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let nano = root.path().join("nano");
    copy_folder(&project("models/nano"), &nano, &|_| true);
    for shared in ["gmflow", "rife"] {
        std::os::unix::fs::symlink(project("models").join(shared), root.path().join(shared)).unwrap();
    }
    (root, nano)
}

/// What opening the folder says.
fn said(folder: &Path) -> String {
    let request = ModelRequest::FlowVid {
        model: folder.display().to_string(),
        preset: "auto".into(),
        device: "cpu".into(),
        dtype: "auto".into(),
        plugin_folder: None,
    };
    open(&request, &CancelToken::new()).err().expect("an error").to_string()
}

/// Damages a copy of the model; the error must hold all of `words` and a remedy.
#[track_caller]
fn refused(damage: impl FnOnce(&Path), words: &[&str]) {
    let (_root, nano) = copy_of_nano();
    damage(&nano);
    let said = said(&nano);
    for word in words {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
    let remedy = ["make setup", "from one model"].iter().any(|remedy| said.contains(remedy));
    assert!(remedy, "no remedy in: {said}");
}

fn truncate(file: &Path, length: usize) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..length]).unwrap();
}

#[test]
fn an_undamaged_copy_opens() {
    let (_root, nano) = copy_of_nano();
    let request = ModelRequest::FlowVid {
        model: nano.display().to_string(),
        preset: "auto".into(),
        device: "cpu".into(),
        dtype: "auto".into(),
        plugin_folder: None,
    };
    open(&request, &CancelToken::new()).expect("what the other tests damage is sound before");
}

#[test]
fn an_empty_folder() {
    let empty = tempfile::tempdir().unwrap();
    let said = said(empty.path());
    assert!(said.contains(empty.path().to_str().unwrap()) && said.contains("model_index.json"), "{said}");
}

#[test]
fn an_index_that_is_not_json() {
    refused(|nano| fs::write(nano.join("model_index.json"), "<html>").unwrap(), &["model_index.json"]);
}

#[test]
fn a_component_that_the_index_lists_and_the_folder_lacks() {
    for part in ["unet", "controlnet", "vae", "text_encoder", "tokenizer", "scheduler"] {
        refused(|nano| fs::remove_dir_all(nano.join(part)).unwrap(), &[part]);
    }
    refused(|nano| fs::remove_dir_all(nano.join("flow")).unwrap(), &["`flow`"]);
    refused(|nano| fs::remove_dir_all(nano.join("editor")).unwrap(), &["`editor`"]);
}

#[test]
fn weights_that_are_missing_or_cut_short() {
    let file = |nano: &Path| nano.join("unet").join(WEIGHTS);
    refused(|nano| fs::remove_file(file(nano)).unwrap(), &["unet", WEIGHTS]);
    for length in [0, 7, 8, 1000, 1_000_000] {
        refused(|nano| truncate(&file(nano), length), &["unet", WEIGHTS]);
    }
}

#[test]
fn a_header_that_is_longer_than_its_file() {
    let damage = |nano: &Path| {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        fs::write(nano.join("vae").join(WEIGHTS), bytes).unwrap();
    };
    refused(damage, &["vae", WEIGHTS]);
}

fn edit_config(nano: &Path, component: &str, from: &str, to: &str) {
    let file = nano.join(component).join("config.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn shapes_of_another_size() {
    let damage = |nano: &Path| edit_config(nano, "text_encoder", "192", "200");
    refused(damage, &["text_encoder", "192", "200"]);
}

#[test]
fn sizes_that_make_no_network() {
    let damage = |nano: &Path| edit_config(nano, "vae", "\"patch_size\": 4", "\"patch_size\": -4");
    refused(damage, &["vae/config.json", "no network"]);
}

/// Numbers that a network of many gigabytes, or of none, would be made from before its weights are looked at.
#[test]
fn sizes_that_are_absurd_are_refused_before_memory_is_taken() {
    let memory = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() // KiB
    };
    let before = memory();
    for (component, from, to) in [
        ("text_encoder", "\"intermediate_size\": 192", "\"intermediate_size\": 2000000000"),
        ("text_encoder", "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 100000"),
        ("unet", "\"in_channels\": 73", "\"in_channels\": 9223372036854775807"),
        ("unet", "    80,", "    8000000,"),
        ("unet", "\"layers_per_block\": 1", "\"layers_per_block\": 1000000000"),
        ("controlnet", "    80,", "    8000000,"),
        ("vae", "\"patch_size\": 4", "\"patch_size\": 400000"),
    ] {
        let config = format!("{component}/config.json");
        let number = to.trim_matches(|letter: char| !letter.is_ascii_digit());
        refused(|nano| edit_config(nano, component, from, to), &[&config, number]);
    }
    let grew = (memory() - before) / 1024;
    assert!(grew < 4096, "{grew} MiB were taken");
}

#[test]
fn a_component_of_another_class() {
    let damage = |nano: &Path| edit_config(nano, "vae", "PatchAutoencoder", "VQModel");
    refused(damage, &["vae/config.json", "`VQModel`", "PatchAutoencoder"]);
    let damage = |nano: &Path| edit_config(nano, "text_encoder", "CLIPTextModel", "T5EncoderModel");
    refused(damage, &["text_encoder/config.json", "`T5EncoderModel`", "CLIPTextModel"]);
}

#[test]
fn one_network_is_not_loaded_from_the_folder_of_another() {
    let rife = model("rife");
    let said = load(&rife, Placement::cpu(), GmFlow::new).unwrap_err().to_string();
    for word in ["rife/config.json", "`IFNet`", "GMFlow"] {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
}

/// The smallest network.
#[derive(Debug, Deserialize)]
struct TinyConfig {
    width: i64,
}

impl NetworkConfig for TinyConfig {
    const CLASSES: &'static [&'static str] = &["Tiny"];
}

fn tiny(vs: &Variables, config: &TinyConfig) -> nn::Linear {
    nn::linear(vs / "project", config.width, 2, Default::default())
}

/// Its weights' file.
fn sound_file() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let store = VarStore::new(Placement::cpu().device);
    tiny(&store.root(), &TinyConfig { width: 3 });
    let tensors: Vec<_> = store.variables().into_iter().collect();
    let file = folder.path().join(WEIGHTS);
    gstflowvid::weights::save(&tensors, &file, tch::Kind::Float).unwrap();
    fs::read(file).unwrap()
}

/// What copying these bytes into the network says; nothing may panic.
fn copied(bytes: &[u8]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(WEIGHTS);
    fs::write(&file, bytes).unwrap();
    let mut store = VarStore::new(Placement::cpu().device);
    tiny(&store.root(), &TinyConfig { width: 3 });
    copy_into(&mut store, &file).map_err(|error| error.to_string())
}

fn bounded() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/corpus/model_folders.txt"
        )))),
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(bounded())]

    #[test]
    fn any_bytes_are_refused_by_name(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let error = copied(&bytes).unwrap_err();
        prop_assert!(error.contains(WEIGHTS), "{}", error);
    }

    /// Any header before sound data: only the sound one is taken.
    #[test]
    fn any_header_is_refused_by_name(
        key in "[a-z.]{0,12}", dtype in "F32|F16|I64|BOOL|X", shape in prop::collection::vec(any::<u64>(), 0..4),
        from in any::<u32>(), to in any::<u32>(), length in prop::option::of(any::<u64>()),
    ) {
        let header = serde_json::json!({ key: { "dtype": dtype, "shape": shape, "data_offsets": [from, to] } });
        let header = header.to_string();
        let mut bytes = length.unwrap_or(header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 32]);
        let error = copied(&bytes).unwrap_err();
        prop_assert!(error.contains(WEIGHTS), "{}", error);
    }

    /// A sound file with a byte changed: taken (the byte was a value's) or refused by name.
    #[test]
    fn a_changed_byte_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = sound_file();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Err(error) = copied(&bytes) {
            prop_assert!(error.contains(WEIGHTS), "{}", error);
        }
    }

    /// A config of any sizes: loaded, or refused by name.
    #[test]
    fn any_config_is_loaded_or_refused_by_name(class in "Tiny|Huge|", width in -2_i64..6, whole in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let width = if whole { width.into() } else { serde_json::json!(width as f64 + 0.5) };
        let config = serde_json::json!({ "_class_name": class, "width": width });
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        fs::write(folder.path().join(WEIGHTS), sound_file()).unwrap();
        let component = Component::open(folder.path().into()).unwrap();
        match load(&component, Placement::cpu(), tiny) {
            Ok(_) => prop_assert_eq!((class.as_str(), config["width"].as_i64()), ("Tiny", Some(3))),
            Err(error) => {
                let error = error.to_string();
                prop_assert!(error.contains(folder.path().to_str().unwrap()), "{}", error);
            }
        }
    }
}

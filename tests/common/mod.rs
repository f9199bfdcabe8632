//! What parity tests share: fixtures of other implementations, comparison, random weights.
#![allow(dead_code)] // each test binary uses its part

pub mod motion;

use std::{
    fs,
    path::{Path, PathBuf},
};

use gstflowvid::{
    diffusion::Text,
    engine::{CancelToken, Engine, ModelRequest, open},
    torch::Placement,
    weights::{Component, ModelFolder},
};
use tch::{
    Kind, Tensor,
    nn::{self, VarStore},
};

/// Tensors that another implementation gave, from `tests/parity/<name>/fixture.safetensors`.
pub struct Fixture(Vec<(String, Tensor)>);

impl Fixture {
    pub fn open(name: &str) -> Self {
        let _ = Placement::cpu(); // before torch's first call
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(name).join("fixture.safetensors");
        Self(Tensor::read_safetensors(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn find(&self, key: &str) -> Option<Tensor> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, tensor)| tensor.shallow_clone())
    }

    /// # Panics
    /// If the fixture has no such tensor.
    #[track_caller]
    pub fn tensor(&self, key: &str) -> Tensor {
        self.find(key).unwrap_or_else(|| panic!("the fixture has no {key}"))
    }

    /// A picture stored as rows of 8-bit RGB, as `[1, 3, H, W]`, 0..1.
    #[track_caller]
    pub fn picture(&self, key: &str) -> Tensor {
        self.tensor(key).permute([2, 0, 1]).unsqueeze(0).to_kind(Kind::Float).contiguous() / 255.0
    }
}

/// Fails unless the largest difference is under `tolerance` times the largest expected value; tells the
/// worst place, both values there, the ratio and the shape.
#[track_caller]
pub fn assert_relative(what: &str, actual: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(actual.size(), expected.size(), "{what}: shape");
    let flat = |tensor: &Tensor| tensor.to_kind(Kind::Double).contiguous().flatten(0, -1);
    let (actual, flat_expected) = (flat(actual), flat(expected));
    let difference = (&actual - &flat_expected).abs();
    let worst = difference.argmax(None, false).int64_value(&[]);
    let at = |tensor: &Tensor| tensor.double_value(&[worst]);
    let relative = at(&difference) / flat_expected.abs().max().double_value(&[]);
    println!("{what}: relative error {relative:.2e}");
    assert!(
        relative < tolerance, // false for NaN as well
        "{what}: relative error {relative:.3e} (allowed {tolerance:.0e}), worst at {worst} of {:?}: {} instead of {}",
        expected.size(),
        at(&actual),
        at(&flat_expected),
    );
}

/// The folder of a model that set-up brings.
#[track_caller]
pub fn model(name: &str) -> Component {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
    Component::open(folder).unwrap_or_else(|error| panic!("{error}; run `make setup`"))
}

/// A model on the CPU, as it is where nothing else is asked for.
pub fn request(model: &str) -> ModelRequest {
    ModelRequest::FlowVid {
        model: model.into(),
        preset: "auto".into(),
        device: "cpu".into(),
        dtype: "auto".into(),
        plugin_folder: None,
    }
}

/// A session of the embedded model.
pub fn embedded_engine() -> Box<dyn Engine> {
    open(&request("nano"), &CancelToken::new()).expect("the embedded model; run `make setup`")
}

/// Writes a JSON file anew, with a change.
pub fn change_json(file: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut json = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    change(&mut json);
    fs::write(file, json.to_string()).unwrap();
}

/// A copy of the embedded model's folder without its weights, for weights of the test's own.
pub fn nano_configs() -> (tempfile::TempDir, ModelFolder) {
    let root = tempfile::tempdir().unwrap();
    let config = |file: &Path| file.extension().is_some_and(|extension| extension == "json");
    copy_folder(&project("models/nano"), &root.path().join("nano"), &config);
    let folder = ModelFolder::find("nano", &[root.path().into()]).unwrap();
    (root, folder)
}

/// Copies those files that are `wanted`, and all folders.
pub fn copy_folder(from: &Path, to: &Path, wanted: &dyn Fn(&Path) -> bool) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to, wanted);
        } else if wanted(&from) {
            fs::copy(from, to).unwrap();
        }
    }
}

/// Where test files of the project lie.
pub fn project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Hidden states of a text, `[n, tokens, dim]`, as the networks take them.
pub fn seen(hidden_states: &Tensor) -> Text {
    Text::new(hidden_states.shallow_clone())
}

/// Uniform values that Rust and the fixture scripts (`tests/parity/weights.py`) derive alike from a seed and
/// a tensor's name: splitmix64 of (FNV-1a of the name, xor seed, plus the index).
pub fn random_values(seed: u64, name: &str, count: usize) -> Vec<f32> {
    let base = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }) ^ seed;
    (0..count as u64).map(|index| unit(splitmix64(base.wrapping_add(index)))).collect()
}

/// [`random_values`] as a tensor of that shape.
pub fn random_tensor(seed: u64, name: &str, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    Tensor::from_slice(&random_values(seed, name, count)).view(shape)
}

/// A network of `config` with random weights of `seed`, and its store.
pub fn filled<C, M>(config: &C, seed: u64, new: impl FnOnce(&nn::Path, &C) -> M) -> (VarStore, M) {
    let store = VarStore::new(Placement::cpu().device);
    let network = new(&store.root(), config);
    fill(&store, seed);
    (store, network)
}

fn splitmix64(state: u64) -> u64 {
    let z = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// -1..1 from the upper 24 bits.
fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Fills every variable of `store`, norms and zero-initialised layers included: weights of more than one
/// dimension by their fan-in, one-dimensional `weight`s around 1, the rest around 0.
pub fn fill(store: &VarStore, seed: u64) {
    let _no_grad = tch::no_grad_guard();
    for (name, mut variable) in store.variables() {
        let size = variable.size();
        let values = Tensor::from_slice(&random_values(seed, &name, variable.numel())).view(size.as_slice());
        let values = match size.as_slice() {
            [_] if name.ends_with("weight") => values * 0.2 + 1.0,
            [_] => values * 0.2,
            [_, fan_in @ ..] => values * (3.0 / fan_in.iter().product::<i64>() as f64).sqrt(),
            [] => values,
        };
        variable.copy_(&values);
    }
}

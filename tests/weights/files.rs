//! A component's files: which one is read, in which dtype, and what is refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gstflowvid::{
    torch::Placement,
    weights::{Component, fill, save},
};
use serde_json::json;
use tch::{
    Kind, Tensor,
    nn::{self, VarStore},
};

use crate::write;

/// The winner first.
const NAMES: [&str; 8] = [
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "model.safetensors.index.fp16.json",
];

/// A folder for the weights of a linear layer, 2x3.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("config.json"), &json!({ "_class_name": "Tiny" }));
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The layer, all elements `value`, under that name: one file or two shards with an index.
    fn put(&self, name: &str, value: f64, kind: Kind) {
        let [weight, bias] = tensors(value);
        match name.contains("index") {
            false => save(&[weight, bias], &self.file(name), kind).unwrap(),
            true => {
                let shards = [1, 2].map(|index| {
                    name.replace(".safetensors.index", &format!("-{index}")).replace("json", "safetensors")
                });
                let map = json!({ "project.weight": shards[0], "project.bias": shards[1] });
                write(&self.file(name), &json!({ "metadata": { "total_size": 32 }, "weight_map": map }));
                save(&[weight], &self.file(&shards[0]), kind).unwrap();
                save(&[bias], &self.file(&shards[1]), kind).unwrap();
            }
        }
    }

    /// The elements' mean after loading, or the error.
    fn load(&self) -> Result<f64, String> {
        let mut store = VarStore::new(Placement::cpu().device);
        nn::linear(store.root() / "project", 3, 2, Default::default());
        let component = Component::open(self.0.path().into()).unwrap();
        fill(&mut store, &component).map_err(|error| error.to_string())?;
        let mean = |tensor: &Tensor| tensor.mean(Kind::Double).double_value(&[]);
        Ok(store.variables().values().map(mean).sum::<f64>() / 2.0)
    }

    /// The error holds all of `words`.
    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let said = self.load().expect_err("an error");
        for word in words {
            assert!(said.contains(word), "{word} is missing in: {said}");
        }
    }
}

fn tensors(value: f64) -> [(String, Tensor); 2] {
    let device = Placement::cpu().device;
    let full = |key: &str, size: &[i64]| (key.to_owned(), Tensor::full(size, value, (Kind::Float, device)));
    [full("project.weight", &[2, 3]), full("project.bias", &[2])]
}

#[test]
fn of_several_files_the_first_name_wins() {
    let folder = Folder::new();
    for (index, name) in NAMES.iter().enumerate() {
        folder.put(name, index as f64, Kind::Float);
    }
    for (index, name) in NAMES.iter().enumerate() {
        assert_eq!(folder.load(), Ok(index as f64), "{name}");
        fs::remove_file(folder.file(name)).unwrap();
    }
    folder.refused(&[&["no such file"], &NAMES[..]].concat());
}

#[test]
fn each_float_dtype_is_brought_to_the_networks() {
    for kind in [Kind::Float, Kind::Half, Kind::BFloat16] {
        for name in [NAMES[0], NAMES[3]] {
            let folder = Folder::new();
            folder.put(name, 0.375, kind);
            assert_eq!(folder.load(), Ok(0.375), "{kind:?} {name}");
        }
    }
}

#[test]
fn numbers_that_are_no_floats_are_refused() {
    let folder = Folder::new();
    let header = r#"{"project.bias":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},
        "project.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[16,40]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 40]].concat();
    fs::write(folder.file(NAMES[0]), bytes).unwrap();
    folder.refused(&[NAMES[0], "project.bias", "I64"]);
}

#[test]
fn headers_that_do_not_fit_their_data_are_refused() {
    let tensor = |key: &str, shape: &str, from: u64, to: u64| {
        format!(r#""{key}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let bias = || tensor("project.bias", "[2]", 0, 8);
    for (what, header, length) in [
        ("a gap", format!("{{{},{}}}", bias(), tensor("project.weight", "[2,3]", 12, 36)), 36),
        ("an overlap", format!("{{{},{}}}", bias(), tensor("project.weight", "[2,3]", 4, 28)), 28),
        ("backwards", format!("{{{}}}", tensor("project.bias", "[2]", 8, 0)), 8),
        ("too few bytes", format!("{{{}}}", tensor("project.bias", "[2]", 0, 4)), 4),
        (
            "more elements than can be counted",
            format!("{{{}}}", tensor("project.bias", "[4294967296,4294967296,16]", 0, 8)),
            8,
        ),
        (
            "bytes behind the last tensor",
            format!("{{{},{}}}", bias(), tensor("project.weight", "[2,3]", 8, 32)),
            33,
        ),
        ("cut short", format!("{{{},{}}}", bias(), tensor("project.weight", "[2,3]", 8, 32)), 31),
    ] {
        let folder = Folder::new();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; length]].concat();
        fs::write(folder.file(NAMES[0]), bytes).unwrap();
        let said = folder.load().expect_err(what);
        assert!(said.contains(NAMES[0]) && !said.contains("missing (first"), "{what}: {said}");
    }
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let folder = Folder::new();
    fs::create_dir(folder.file(NAMES[0])).unwrap();
    folder.refused(&[NAMES[0], "not a regular file"]);
    fs::remove_dir(folder.file(NAMES[0])).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.file(NAMES[0])).unwrap();
    folder.refused(&[NAMES[0], "not a regular file"]);
    fs::remove_file(folder.file(NAMES[0])).unwrap();
    std::os::unix::fs::symlink("/proc/self/status", folder.file(NAMES[0])).unwrap(); // regular, of length 0
    folder.refused(&[NAMES[0], "does not fit into 0 bytes"]);
}

#[test]
fn a_pickle_alone_is_refused_by_name() {
    let folder = Folder::new();
    fs::write(folder.file("diffusion_pytorch_model.bin"), b"PK").unwrap();
    folder.refused(&["diffusion_pytorch_model.bin", "pickle", "safetensors"]);
}

#[test]
fn a_misspelt_key_is_reported_with_the_nearest() {
    let folder = Folder::new();
    let [weight, (_, bias)] = tensors(1.0);
    save(&[weight, ("proj.bias".into(), bias)], &folder.file(NAMES[0]), Kind::Float).unwrap();
    folder.refused(&[
        "1 tensors fit",
        "1 missing (first: project.bias)",
        "1 unused (first: proj.bias, perhaps project.bias)",
    ]);
}

const INDEX: &str = NAMES[3];
const SHARDS: [&str; 2] = ["model-1.safetensors", "model-2.safetensors"];

/// A sharded folder, damaged.
#[track_caller]
fn shards_refused(damage: impl FnOnce(&Folder), words: &[&str]) {
    let folder = Folder::new();
    folder.put(INDEX, 1.0, Kind::Float);
    assert_eq!(folder.load(), Ok(1.0), "sound before");
    damage(&folder);
    folder.refused(words);
}

fn map(folder: &Folder, entries: serde_json::Value) {
    write(&folder.file(INDEX), &json!({ "weight_map": entries }));
}

#[test]
fn every_shard_is_checked() {
    shards_refused(|folder| fs::remove_file(folder.file(SHARDS[1])).unwrap(), &[SHARDS[1]]);
    let cut = |folder: &Folder| {
        let bytes = fs::read(folder.file(SHARDS[0])).unwrap();
        fs::write(folder.file(SHARDS[0]), &bytes[..bytes.len() - 1]).unwrap();
    };
    shards_refused(cut, &[SHARDS[0], "cut short"]);
    let swapped =
        |folder: &Folder| map(folder, json!({ "project.weight": SHARDS[1], "project.bias": SHARDS[0] }));
    shards_refused(swapped, &[INDEX, "project.bias", SHARDS[0], "lacks"]);
    let untold = |folder: &Folder| {
        save(&tensors(1.0), &folder.file(SHARDS[1]), Kind::Float).unwrap();
    };
    shards_refused(untold, &[INDEX, SHARDS[1], "project.weight"]);
    let fewer = |folder: &Folder| map(folder, json!({ "project.weight": SHARDS[0] }));
    shards_refused(fewer, &["1 missing (first: project.bias)"]);
}

#[test]
fn an_index_leads_nowhere_else() {
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("model.safetensors");
    save(&tensors(1.0), &file, Kind::Float).unwrap();
    let absolute = file.to_str().unwrap();
    for name in [absolute, "../model-1.safetensors", "./sub/model-1.safetensors", "..", "", "config.json"] {
        let damage =
            |folder: &Folder| map(folder, json!({ "project.weight": name, "project.bias": SHARDS[1] }));
        shards_refused(damage, &[INDEX, &format!("`{name}`")]);
    }
    for text in ["[", "{}", r#"{"weight_map": []}"#, r#"{"weight_map": {"project.bias": 1}}"#] {
        shards_refused(|folder| fs::write(folder.file(INDEX), text).unwrap(), &[INDEX]);
    }
    assert!(Path::new(absolute).is_file());
}

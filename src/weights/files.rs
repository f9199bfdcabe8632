//! Which files of a component's folder hold its weights.

use std::{
    collections::BTreeMap,
    path::{Component as PathPart, Path, PathBuf},
};

use serde::Deserialize;

use super::{WeightsError, checkpoint::Checkpoint, read_json, unreadable};

/// diffusers' name and transformers'.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
/// What people publish and is not read: a pickle may run any code.
const PICKLES: [&str; 2] = ["diffusion_pytorch_model.bin", "pytorch_model.bin"];

/// The names that weights may have, the winner first: full precision before `fp16`, one file before an index of
/// several, diffusers' name before transformers'.
pub(super) fn candidates() -> impl Iterator<Item = String> {
    ["", ".fp16"].into_iter().flat_map(|variant| {
        let whole = STEMS.map(|stem| format!("{stem}{variant}.safetensors"));
        let index = STEMS.map(|stem| format!("{stem}.safetensors.index{variant}.json"));
        whole.into_iter().chain(index)
    })
}

/// The file, or the index of several, that a folder's weights are read from.
pub(super) fn find(folder: &Path) -> Option<PathBuf> {
    candidates().map(|name| folder.join(name)).find(|file| file.exists())
}

/// Opens the weights of a component's folder.
///
/// # Errors
/// [`WeightsError::Unreadable`]; for a folder without weights it names the file that is missing.
pub(super) fn open(folder: &Path) -> Result<Checkpoint, WeightsError> {
    match find(folder) {
        Some(file) if file.extension().is_some_and(|extension| extension == "json") => open_index(&file),
        Some(file) => Checkpoint::open(&file),
        None => Err(missing(folder)),
    }
}

fn missing(folder: &Path) -> WeightsError {
    match PICKLES.map(|name| folder.join(name)).into_iter().find(|file| file.exists()) {
        Some(pickle) => unreadable(&pickle, &"it is a pickle, which is not read: convert it to safetensors"),
        None => {
            let names: Vec<_> = candidates().collect();
            unreadable(
                &super::weights_file(folder),
                &format!("no such file, nor any of {}", names.join(", ")),
            )
        }
    }
}

/// `model.safetensors.index.json`. Its `total_size` is not believed: the files' own lengths are.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// All shards of an index, which must hold what the index says, and nothing else.
fn open_index(file: &Path) -> Result<Checkpoint, WeightsError> {
    let failed = |cause: &dyn std::fmt::Display| unreadable(file, cause);
    let index: Index = serde_json::from_value(read_json(file)?).map_err(|error| failed(&error))?;
    let mut keys_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, shard) in &index.weight_map {
        keys_of.entry(shard).or_default().push(key);
    }
    let mut all = Checkpoint { file: file.into(), metadata: Default::default(), tensors: BTreeMap::new() };
    for (name, keys) in keys_of {
        let shard = open_shard(file, name)?;
        if let Some(key) = keys.iter().find(|key| !shard.tensors.contains_key(**key)) {
            return Err(failed(&format!("{key} should lie in {name}, which lacks it")));
        }
        if let Some(key) =
            shard.tensors.keys().find(|key| index.weight_map.get(*key).is_none_or(|file| file != name))
        {
            return Err(failed(&format!("{name} holds {key}, which the index does not look for there")));
        }
        all.tensors.extend(shard.tensors);
    }
    Ok(all)
}

/// A shard lies beside its index: a name that leads elsewhere is refused before anything is opened.
fn open_shard(index: &Path, name: &str) -> Result<Checkpoint, WeightsError> {
    let mut parts = Path::new(name).components();
    let is_plain = matches!((parts.next(), parts.next()), (Some(PathPart::Normal(_)), None));
    if !is_plain || !name.ends_with(".safetensors") {
        return Err(unreadable(index, &format!("`{name}` is no safetensors file beside it")));
    }
    Checkpoint::open(&index.with_file_name(name))
}

//! The one way from a component's folder to a network.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path as FilePath, PathBuf},
};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tch::{
    Device,
    nn::{Path, VarStore},
};

use super::{
    Component, WeightsError, checkpoint::Checkpoint, lora::Loras, store::copy_checkpoint, unreadable,
};
use crate::torch::{Placement, channels_last};

/// A network's `config.json`.
pub trait NetworkConfig: DeserializeOwned {
    /// The networks that it describes: diffusers' `_class_name`, transformers' `architectures`.
    const CLASSES: &'static [&'static str];
}

/// Where a component's weights are saved: diffusers and transformers name the file differently, and text encoders are
/// transformers'.
pub fn weights_file(folder: &FilePath) -> PathBuf {
    let is_text_encoder = folder.file_name().is_some_and(|name| name == "text_encoder");
    folder.join(if is_text_encoder { "model.safetensors" } else { "diffusion_pytorch_model.safetensors" })
}

/// Builds a network from `component`'s config, fills it with the component's weights and freezes it.
///
/// - `new`: the network's constructor; the variables it makes are the keys of the file
///
/// # Errors
/// See [`WeightsError`].
pub fn load<C: NetworkConfig, M>(
    component: &Component,
    placement: Placement,
    new: impl FnOnce(&Path, &C) -> M,
) -> Result<M, WeightsError> {
    let config: C = component.network_config()?;
    let checkpoint = component.checkpoint()?;
    check_numbers(component, &checkpoint)?;
    let mut store = VarStore::new(placement.device);
    // torch refuses sizes that make no network (no channels, groups that do not divide them) by a panic.
    let built = catch_unwind(AssertUnwindSafe(|| new(&store.root(), &config)));
    let network = built.map_err(|_| unreadable(&component.config_file(), &NO_NETWORK))?;
    store.set_kind(placement.kind);
    merge_into(&mut store, component, &checkpoint)?;
    store.freeze();
    if placement.device == Device::Cpu {
        lay_channels_last(&store);
    }
    Ok(network)
}

/// On a CPU the networks' pictures have channels last; a convolution whose weights have not would copy them in each call.
fn lay_channels_last(store: &VarStore) {
    for mut weight in store.variables().into_values().filter(|variable| variable.dim() == 4) {
        let laid = channels_last(&weight);
        weight.set_data(&laid);
    }
}

/// Fills a network's variables with `component`'s weights, LoRAs included. Of several files in its folder one is read:
/// `diffusion_pytorch_model.safetensors` or `model.safetensors`, else the shards of their `.index.json`, else the same
/// as `fp16`. A model's single file is read where the model's own folder has no weights for the component.
///
/// # Errors
/// As [`copy_into`](super::copy_into).
pub fn fill(store: &mut VarStore, component: &Component) -> Result<(), WeightsError> {
    merge_into(store, component, &component.checkpoint()?)
}

fn merge_into(
    store: &mut VarStore,
    component: &Component,
    checkpoint: &Checkpoint,
) -> Result<(), WeightsError> {
    let keys: Vec<String> = store.variables().into_keys().collect();
    let loras = match component.part {
        Some(part) => Loras::open(&component.loras, part, &keys)?,
        None => Loras::default(),
    };
    copy_checkpoint(store, checkpoint, &loras)
}

/// Memory is allocated by the config before it is known whether the weights fit. So no number in it may be larger than
/// the largest dimension among the weights, and no more layers or blocks may be asked for than there are tensors.
fn check_numbers(component: &Component, checkpoint: &Checkpoint) -> Result<(), WeightsError> {
    let dimensions = checkpoint.tensors.values().flat_map(|tensor| tensor.shape.iter().copied());
    let largest = dimensions.max().unwrap_or_default().max(OTHER_NUMBERS) as u64;
    let too_large = |(name, number): &(&str, u64)| {
        let counts = name.contains("layers") || name.contains("blocks");
        *number > if counts { checkpoint.tensors.len() as u64 } else { largest }
    };
    match numbers("", &component.config).into_iter().find(too_large) {
        Some((name, number)) => {
            let cause = format!("{name} is {number}, which the weights beside it are too small for");
            Err(unreadable(&component.config_file(), &cause))
        }
        None => Ok(()),
    }
}

/// Configs also hold numbers that are no dimension, such as the size of the pictures that a model was trained on.
const OTHER_NUMBERS: i64 = 1024;

/// All whole numbers of `value`, each by the name that it stands under, however deep, without its sign.
fn numbers<'a>(name: &'a str, value: &'a Value) -> Vec<(&'a str, u64)> {
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| numbers(name, value)).collect(),
        Value::Array(values) => values.iter().flat_map(|value| numbers(name, value)).collect(),
        Value::Number(number) => {
            let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            whole.map(|whole| (name, whole)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

const NO_NETWORK: &str = "its sizes make no network";

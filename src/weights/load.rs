//! The one way from a component's folder to a network.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path as FilePath, PathBuf},
};

use serde::de::DeserializeOwned;
use tch::nn::{Path, VarStore};

use super::{Component, WeightsError, copy_into, unreadable};
use crate::torch::Placement;

/// A network's `config.json`.
pub trait NetworkConfig: DeserializeOwned {
    /// The networks that it describes: diffusers' `_class_name`, transformers' `architectures`.
    const CLASSES: &'static [&'static str];
}

/// A component's weights: diffusers and transformers name the file differently, and text encoders are
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
    component.expect_class(C::CLASSES)?;
    let config: C = component.config()?;
    let mut store = VarStore::new(placement.device);
    // torch refuses sizes that make no network (no channels, groups that do not divide them) by a panic.
    let built = catch_unwind(AssertUnwindSafe(|| new(&store.root(), &config)));
    let network = built.map_err(|_| unreadable(&component.config_file(), &NO_NETWORK))?;
    store.set_kind(placement.kind);
    copy_into(&mut store, &weights_file(&component.folder))?;
    store.freeze();
    Ok(network)
}

const NO_NETWORK: &str = "its sizes make no network";

//! The one way from a component's folder to a network.

use std::path::{Path as FilePath, PathBuf};

use serde::de::DeserializeOwned;
use tch::nn::{Path, VarStore};

use super::{Component, WeightsError, copy_into};
use crate::torch::Placement;

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
pub fn load<C: DeserializeOwned, M>(
    component: &Component,
    placement: Placement,
    new: impl FnOnce(&Path, &C) -> M,
) -> Result<M, WeightsError> {
    let config: C = component.config()?;
    let mut store = VarStore::new(placement.device);
    let network = new(&store.root(), &config);
    store.set_kind(placement.kind);
    copy_into(&mut store, &weights_file(&component.folder))?;
    store.freeze();
    Ok(network)
}

//! Tensors into a network's variables, strictly: every key must find its place.

use std::{collections::BTreeSet, path::Path};

use tch::{Kind, Tensor, nn::VarStore};

use super::{
    WeightsError,
    checkpoint::{Checkpoint, StoredTensor},
    lora::Loras,
    nearest::nearest,
    unreadable,
};

/// Copies the tensors of `file` into `store`, which must have the same keys and shapes. The values are
/// converted to the store's own dtype.
///
/// # Errors
/// [`WeightsError::Keys`], [`WeightsError::Shape`], [`WeightsError::Unreadable`]; the store is then
/// partly filled and must not be used.
pub fn copy_into(store: &mut VarStore, file: &Path) -> Result<(), WeightsError> {
    copy_checkpoint(store, &Checkpoint::open(file)?, &Loras::default())
}

/// As [`copy_into`], from an open checkpoint, with `loras` added in f32.
pub(super) fn copy_checkpoint(
    store: &mut VarStore,
    checkpoint: &Checkpoint,
    loras: &Loras,
) -> Result<(), WeightsError> {
    let mut variables = store.variables();
    check_keys(checkpoint, variables.keys().map(String::as_str).collect())?;
    for (key, stored) in &checkpoint.tensors {
        check_shape(key, stored, &variables[key])?;
    }
    let _no_grad = tch::no_grad_guard();
    for (key, variable) in &mut variables {
        let stored = &checkpoint.tensors[key];
        let mut values = stored.read(key)?;
        if loras.change(key) {
            values = loras.merge(key, &values.to_kind(Kind::Float))?;
        }
        variable.f_copy_(&values).map_err(|error| unreadable(&stored.file, &error))?;
    }
    Ok(())
}

fn check_shape(key: &str, stored: &StoredTensor, variable: &Tensor) -> Result<(), WeightsError> {
    if stored.shape == variable.size() {
        return Ok(());
    }
    Err(WeightsError::Shape {
        file: stored.file.to_path_buf(),
        key: key.into(),
        found: stored.shape.clone(),
        expected: variable.size(),
    })
}

fn check_keys(checkpoint: &Checkpoint, wanted: BTreeSet<&str>) -> Result<(), WeightsError> {
    let found: BTreeSet<&str> = checkpoint.tensors.keys().map(String::as_str).collect();
    let missing: Vec<String> = wanted.difference(&found).map(|key| key.to_string()).collect();
    let unused: Vec<String> = found.difference(&wanted).map(|key| key.to_string()).collect();
    if missing.is_empty() && unused.is_empty() {
        return Ok(());
    }
    let meant = unused.first().and_then(|unused| nearest(unused, missing.iter().map(String::as_str)));
    let applied = wanted.intersection(&found).count();
    Err(WeightsError::Keys { file: checkpoint.file.clone(), applied, meant, missing, unused })
}

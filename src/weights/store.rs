//! Tensors from safetensors into a network's variables, strictly: every key must find its place.

use std::{collections::BTreeSet, fs::File, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Kind, Tensor, nn::VarStore};

use super::{WeightsError, unreadable};

/// Copies the tensors of `file` into `store`, which must have the same keys and shapes. The values are
/// converted to the store's own dtype.
///
/// # Errors
/// [`WeightsError::Keys`], [`WeightsError::Shape`], [`WeightsError::Unreadable`]; the store is then
/// partly filled and must not be used.
pub fn copy_into(store: &mut VarStore, file: &Path) -> Result<(), WeightsError> {
    let bytes = read(file)?;
    copy_tensors(store, file, &parse(file, &bytes)?)
}

/// As [`copy_into`], with the tensors that were [`parse`]d from `file`.
///
/// # Errors
/// As there.
pub fn copy_tensors(store: &mut VarStore, file: &Path, tensors: &SafeTensors) -> Result<(), WeightsError> {
    let mut variables = store.variables();
    check_keys(file, variables.keys(), tensors.names())?;
    let _no_grad = tch::no_grad_guard();
    for (key, variable) in &mut variables {
        let view = tensors.tensor(key).map_err(|error| unreadable(file, &error))?;
        copy_one(file, key, &view, variable)?;
    }
    Ok(())
}

fn copy_one(file: &Path, key: &str, view: &TensorView, variable: &mut Tensor) -> Result<(), WeightsError> {
    let found: Vec<i64> = view.shape().iter().map(|&length| length as i64).collect();
    if found != variable.size() {
        return Err(WeightsError::Shape {
            file: file.into(),
            key: key.into(),
            found,
            expected: variable.size(),
        });
    }
    let kind = kind_of(view.dtype()).ok_or_else(|| {
        unreadable(file, &format!("{key} has the dtype {:?}, which is no float", view.dtype()))
    })?;
    let values =
        Tensor::f_from_data_size(view.data(), &found, kind).map_err(|error| unreadable(file, &error))?;
    variable.f_copy_(&values).map_err(|error| unreadable(file, &error))
}

fn check_keys<'a>(
    file: &Path,
    wanted: impl Iterator<Item = &'a String>,
    found: Vec<&str>,
) -> Result<(), WeightsError> {
    let wanted: BTreeSet<&str> = wanted.map(String::as_str).collect();
    let found: BTreeSet<&str> = found.into_iter().collect();
    let names = |keys: Vec<&&str>| keys.into_iter().map(|key| key.to_string()).collect::<Vec<_>>();
    let missing = names(wanted.difference(&found).collect());
    let unused = names(found.difference(&wanted).collect());
    if missing.is_empty() && unused.is_empty() {
        Ok(())
    } else {
        Err(WeightsError::Keys { file: file.into(), missing, unused })
    }
}

/// The tensors in `bytes`, which `file` holds.
///
/// # Errors
/// [`WeightsError::Unreadable`].
pub fn parse<'a>(file: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, WeightsError> {
    SafeTensors::deserialize(bytes).map_err(|error| unreadable(file, &error))
}

/// All bytes of `file`.
///
/// # Errors
/// [`WeightsError::Unreadable`].
pub fn read(file: &Path) -> Result<Vec<u8>, WeightsError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|mut opened| opened.read_to_end(&mut bytes))
        .map_err(|error| unreadable(file, &error))?;
    Ok(bytes)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F64 => Some(Kind::Double),
        _ => None,
    }
}

//! Tensors into a safetensors file.

use std::{fs, path::Path};

use safetensors::{Dtype, tensor::TensorView};
use tch::{Device, Kind, Tensor};

use super::WeightsError;

/// Writes `tensors` by their keys, converted to `kind` (`Half`, `BFloat16` or `Float`). The file appears
/// whole or not at all; its folder is made where it is missing.
///
/// # Errors
/// [`WeightsError::Unwritable`].
pub fn save(tensors: &[(String, Tensor)], file: &Path, kind: Kind) -> Result<(), WeightsError> {
    let failed = |cause: String| WeightsError::Unwritable { file: file.into(), cause };
    let dtype =
        dtype_of(kind).ok_or_else(|| failed(format!("{kind:?} is no dtype of safetensors files here")))?;
    let bytes = tensors
        .iter()
        .map(|(key, tensor)| Ok((key, tensor.size(), bytes_of(tensor, kind)?)))
        .collect::<Result<Vec<_>, tch::TchError>>()
        .map_err(|error| failed(error.to_string()))?;
    let views = bytes
        .iter()
        .map(|(key, size, bytes)| {
            let shape = size.iter().map(|&length| length as usize).collect();
            Ok((key.as_str(), TensorView::new(dtype, shape, bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| failed(error.to_string()))?;
    let whole = safetensors::serialize(views, None).map_err(|error| failed(error.to_string()))?;
    replace(file, &whole).map_err(|error| failed(error.to_string()))
}

fn bytes_of(tensor: &Tensor, kind: Kind) -> Result<Vec<u8>, tch::TchError> {
    let tensor = tensor.detach().f_to_device(Device::Cpu)?.f_to_kind(kind)?.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = file.with_extension("unfinished");
    fs::write(&unfinished, bytes)?;
    fs::rename(unfinished, file)
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::Float => Some(Dtype::F32),
        Kind::Half => Some(Dtype::F16),
        Kind::BFloat16 => Some(Dtype::BF16),
        _ => None,
    }
}

//! Tensors by key, in one or several safetensors files. Only the headers are read until a tensor is asked for, and a
//! header is believed only where it fits to its file's length.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use safetensors::{Dtype, tensor::Metadata};
use tch::{Kind, Tensor};

use super::{WeightsError, unreadable};

/// The length of the header's length.
const LENGTH_BYTES: u64 = 8;
/// No header of a real model comes near it.
const LONGEST_HEADER: u64 = 100_000_000;

/// The tensors of a network, a model or a LoRA, by their keys.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// The file that an error names: the only one, or the index of several.
    pub file: PathBuf,
    /// `__metadata__` of a single file; empty for several.
    pub metadata: HashMap<String, String>,
    pub tensors: BTreeMap<String, StoredTensor>,
}

/// Where a tensor lies.
#[derive(Debug, Clone)]
pub(super) struct StoredTensor {
    pub file: Arc<Path>,
    pub shape: Vec<i64>,
    dtype: Dtype,
    start: u64,
    length: usize,
}

impl Checkpoint {
    /// Reads the header of a safetensors file.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`]: no regular file, no header, a header that does not fit to the file's length.
    pub fn open(file: &Path) -> Result<Self, WeightsError> {
        let (data_start, header) = read_header(file).map_err(|cause| unreadable(file, &cause))?;
        let shared: Arc<Path> = file.into();
        let tensors = header.tensors().into_iter().map(|(key, info)| {
            let (from, to) = info.data_offsets;
            let stored = StoredTensor {
                file: shared.clone(),
                shape: info.shape.iter().map(|&length| length as i64).collect(),
                dtype: info.dtype,
                start: data_start + from as u64,
                length: to - from,
            };
            (key, stored)
        });
        let tensors = tensors.collect();
        Ok(Self { file: file.into(), metadata: header.metadata().clone().unwrap_or_default(), tensors })
    }

    /// The tensors under other keys; those that `rename` answers `None` for are left out.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`] where two tensors come under one key.
    pub fn rename(self, rename: impl Fn(&str) -> Option<String>) -> Result<Self, WeightsError> {
        let mut tensors = BTreeMap::new();
        for (old, stored) in self.tensors {
            let Some(new) = rename(&old) else { continue };
            match tensors.entry(new) {
                Entry::Vacant(entry) => drop(entry.insert(stored)),
                Entry::Occupied(entry) => {
                    let cause = format!("{old} is there under another name, too: {}", entry.key());
                    return Err(unreadable(&self.file, &cause));
                }
            }
        }
        Ok(Self { tensors, ..self })
    }
}

impl StoredTensor {
    /// Reads the values, in the file's own dtype.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`] names file and `key`.
    pub fn read(&self, key: &str) -> Result<Tensor, WeightsError> {
        let failed = |cause: &dyn std::fmt::Display| unreadable(&self.file, &format!("{key}: {cause}"));
        let kind = kind_of(self.dtype)
            .ok_or_else(|| failed(&format!("it has the dtype {:?}, which is no float", self.dtype)))?;
        let bytes = self.bytes().map_err(|error| failed(&error))?;
        Tensor::f_from_data_size(&bytes, &self.shape, kind).map_err(|error| failed(&error))
    }

    fn bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.start))?;
        let mut bytes = vec![0; self.length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Where the data begin, and the header.
fn read_header(file: &Path) -> Result<(u64, Metadata), String> {
    let text = |error: std::io::Error| error.to_string();
    // a pipe or a device would be opened for ever, or read for ever
    if !file.metadata().map_err(text)?.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut opened = File::open(file).map_err(text)?;
    let file_length = opened.metadata().map_err(text)?.len();
    let mut length = [0; LENGTH_BYTES as usize];
    opened.read_exact(&mut length).map_err(|_| "it is too short for a safetensors file")?;
    let length = u64::from_le_bytes(length);
    // the kernel's own files tell of no length
    let after_length = file_length.saturating_sub(LENGTH_BYTES);
    if length > LONGEST_HEADER || length > after_length {
        return Err(format!("its header of {length} bytes does not fit into {file_length} bytes"));
    }
    let mut header = vec![0; length as usize];
    opened.read_exact(&mut header).map_err(text)?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|error| error.to_string())?;
    check(&header, after_length - length)?;
    Ok((LENGTH_BYTES + length, header))
}

/// The tensors must follow each other without gap or overlap, be as long as their shapes say, and fill the file.
fn check(header: &Metadata, data_length: u64) -> Result<(), String> {
    let mut end = 0;
    for key in header.offset_keys() {
        let Some(info) = header.info(&key) else { continue };
        let (from, to) = info.data_offsets;
        if from != end || to < from {
            return Err(format!("{key} lies at {from}..{to}, where {end} should begin"));
        }
        let elements = info.shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
        let bits = elements.and_then(|elements| elements.checked_mul(info.dtype.bitsize()));
        if bits != (to - from).checked_mul(8) || bits.is_none() {
            return Err(format!("{key} of {:?} {:?} has {} bytes", info.dtype, info.shape, to - from));
        }
        end = to;
    }
    if end as u64 == data_length {
        return Ok(());
    }
    Err(format!(
        "it holds {data_length} bytes of tensors, but its header tells of {end}; it was cut short or changed"
    ))
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

//! One component of a model: its config, and where its weights lie.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    LoraFile, NetworkConfig, WeightsError,
    checkpoint::{Checkpoint, StoredTensor},
    files, legacy,
    part::Part,
    single_file, unreadable,
};

/// One component's folder: `config.json` and safetensors.
#[derive(Debug, Clone)]
pub struct Component {
    /// Where it lies.
    pub folder: PathBuf,
    /// `config.json`, whole.
    pub config: serde_json::Value,
    /// Which network of a model it is, as far as single files and LoRAs know it.
    pub(super) part: Option<Part>,
    /// The file of a whole model that the weights are in, where they are not in the folder.
    pub(super) single_file: Option<PathBuf>,
    /// What is added to the weights.
    pub(super) loras: Vec<LoraFile>,
}

/// A component's `config.json` may hold no more than this and point to a folder that models share.
const SHARED_FOLDER_KEY: &str = "shared";

impl Component {
    /// Reads a component's `config.json`.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`], also where a pointer leads nowhere.
    pub fn open(folder: PathBuf) -> Result<Self, WeightsError> {
        let mut folder = folder;
        let mut config = read_json(&config_file(&folder))?;
        if let Some(shared) = config.get(SHARED_FOLDER_KEY).and_then(Value::as_str) {
            folder = folder.join(shared);
            config = read_json(&config_file(&folder))?;
        }
        Ok(Self { folder, config, part: None, single_file: None, loras: vec![] })
    }

    /// diffusers' `_class_name`, or the first of transformers' `architectures`; an empty text where there is
    /// neither.
    pub fn class_name(&self) -> &str {
        let architecture = || self.config.get("architectures")?.get(0);
        let name = self.config.get("_class_name").or_else(architecture);
        name.and_then(|name| name.as_str()).unwrap_or_default()
    }

    /// Whether the component is of one of these classes.
    ///
    /// # Errors
    /// [`WeightsError::Class`].
    pub fn expect_class(&self, classes: &[&str]) -> Result<(), WeightsError> {
        if classes.contains(&self.class_name()) {
            return Ok(());
        }
        Err(WeightsError::Class {
            file: self.config_file(),
            found: self.class_name().into(),
            expected: classes.join(" or "),
        })
    }

    /// The config as a network's own type.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`] names the field.
    pub fn config<C: DeserializeOwned>(&self) -> Result<C, WeightsError> {
        serde_json::from_value(self.config.clone()).map_err(|error| unreadable(&self.config_file(), &error))
    }

    /// The config of a component that must be of one of `C`'s classes.
    ///
    /// # Errors
    /// [`WeightsError::Class`], [`WeightsError::Unreadable`] names the field.
    pub fn network_config<C: NetworkConfig>(&self) -> Result<C, WeightsError> {
        self.expect_class(C::CLASSES)?;
        self.config()
    }

    /// The file that [`config`](Self::config) was read from.
    pub fn config_file(&self) -> PathBuf {
        config_file(&self.folder)
    }

    /// How many numbers its weights are.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`].
    pub fn parameters(&self) -> Result<u64, WeightsError> {
        let numbers = |tensor: &StoredTensor| tensor.shape.iter().product::<i64>() as u64;
        Ok(self.checkpoint()?.tensors.values().map(numbers).sum())
    }

    /// Its weights, by the keys that diffusers and transformers give them today.
    pub(super) fn checkpoint(&self) -> Result<Checkpoint, WeightsError> {
        match (&self.single_file, self.part) {
            (Some(file), Some(part)) => single_file::open(file, part, &self.config),
            _ => legacy::rename(files::open(&self.folder)?, self.part),
        }
    }
}

/// diffusers calls a scheduler's config by another name than a network's.
pub(super) fn config_file(folder: &Path) -> PathBuf {
    let scheduler = folder.join("scheduler_config.json");
    if scheduler.is_file() { scheduler } else { folder.join("config.json") }
}

/// Reads a JSON file. Python's words for numbers that JSON lacks, which diffusers writes into schedulers' configs, are
/// null here.
///
/// # Errors
/// [`WeightsError::Unreadable`] tells why.
pub(crate) fn read_json(file: &Path) -> Result<serde_json::Value, WeightsError> {
    let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let text = NOT_JSON.iter().fold(text, |text, word| text.replace(&format!(": {word}"), ": null"));
    serde_json::from_str(&text).map_err(|error| unreadable(file, &error))
}

const NOT_JSON: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_infinity_is_null() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"{"lambda_min_clipped": -Infinity, "other": NaN, "a": 1}"#).unwrap();
        let read = read_json(file.path()).unwrap();
        assert_eq!(read, serde_json::json!({"lambda_min_clipped": null, "other": null, "a": 1}));
    }
}

//! A model is a folder in diffusers' layout: `model_index.json` and one folder per component.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{WeightsError, unreadable};

/// A model's folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelFolder(PathBuf);

/// One component's folder: `config.json` and safetensors.
#[derive(Debug, Clone)]
pub struct Component {
    /// Where it lies.
    pub folder: PathBuf,
    /// `config.json`, whole.
    pub config: serde_json::Value,
}

/// A component's `config.json` may hold no more than this and point to a folder that models share.
const SHARED_FOLDER_KEY: &str = "shared";
/// A diffusion model's, by diffusers' names.
const PARTS: [&str; 6] = ["unet", "controlnet", "vae", "text_encoder", "tokenizer", "scheduler"];

impl ModelFolder {
    /// Finds `model`, a folder's path or a name in one of `places` ([`search_path`]).
    ///
    /// # Errors
    /// [`WeightsError::NoModel`] with the places tried.
    pub fn find(model: &str, places: &[PathBuf]) -> Result<Self, WeightsError> {
        let is_path = model.contains(std::path::MAIN_SEPARATOR);
        let candidates: Vec<PathBuf> =
            if is_path { vec![model.into()] } else { places.iter().map(|place| place.join(model)).collect() };
        match candidates.iter().find(|folder| folder.join("model_index.json").is_file()) {
            Some(folder) => Ok(Self(fs::canonicalize(folder).unwrap_or_else(|_| folder.clone()))),
            None => Err(WeightsError::NoModel { name: model.into(), tried: candidates }),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `model_index.json`.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`].
    pub fn index(&self) -> Result<serde_json::Value, WeightsError> {
        read_json(&self.0.join("model_index.json"))
    }

    /// Whether all that `model_index.json` lists of a diffusion model's parts is there.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`], [`WeightsError::NoComponent`].
    pub fn check(&self) -> Result<(), WeightsError> {
        let index = self.index()?;
        // diffusers writes [null, null] for a part that a model does without
        let listed =
            |part: &&str| index.get(part).and_then(|part| part.get(1)).is_some_and(|c| c.is_string());
        let missing = |part: &&str| !self.0.join(part).is_dir();
        match PARTS.iter().find(|part| listed(part) && missing(part)) {
            Some(part) => {
                Err(WeightsError::NoComponent { folder: self.0.clone(), component: part.to_string() })
            }
            None => Ok(()),
        }
    }

    /// Whether the model brings this component.
    pub fn has(&self, component: &str) -> bool {
        config_file(&self.0.join(component)).is_file()
    }

    /// The component's folder, after following a pointer to a shared one (`"shared": "../../gmflow"`).
    ///
    /// # Errors
    /// [`WeightsError::NoComponent`], [`WeightsError::Unreadable`].
    pub fn component(&self, name: &str) -> Result<Component, WeightsError> {
        let folder = self.0.join(name);
        if !config_file(&folder).is_file() {
            return Err(WeightsError::NoComponent { folder: self.0.clone(), component: name.into() });
        }
        Component::open(folder)
    }
}

impl Component {
    /// Reads a component's `config.json`.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`], also where a pointer leads nowhere.
    pub fn open(folder: PathBuf) -> Result<Self, WeightsError> {
        let config = read_json(&config_file(&folder))?;
        match config.get(SHARED_FOLDER_KEY).and_then(|shared| shared.as_str()) {
            Some(shared) => {
                let folder = folder.join(shared);
                let config = read_json(&config_file(&folder))?;
                Ok(Self { folder, config })
            }
            None => Ok(Self { folder, config }),
        }
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

    /// The file that [`config`](Self::config) was read from.
    pub fn config_file(&self) -> PathBuf {
        config_file(&self.folder)
    }
}

/// The places where a model's name is looked for, first one first: `FLOWVID_MODELS`, the user's data
/// folder, `flowvid/models` beside the installed plugin, the source tree's `models/`.
///
/// - `plugin_folder`: where the plugin's own file lies, if it is known
pub fn search_path(plugin_folder: Option<&Path>) -> Vec<PathBuf> {
    let from_variable = env::var_os("FLOWVID_MODELS").map(|value| env::split_paths(&value).collect());
    let data_home = env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")));
    let mut places: Vec<PathBuf> = from_variable.unwrap_or_default();
    places.extend(data_home.map(|folder| folder.join("flowvid/models")));
    places.extend(plugin_folder.map(|folder| folder.join("flowvid/models")));
    places.push(concat!(env!("CARGO_MANIFEST_DIR"), "/models").into());
    places
}

/// diffusers calls a scheduler's config by another name than a network's.
fn config_file(folder: &Path) -> PathBuf {
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
    fn a_missing_model_lists_the_places_tried() {
        let places = [PathBuf::from("/nowhere/a"), PathBuf::from("/nowhere/b")];
        let error = ModelFolder::find("nano", &places).unwrap_err().to_string();
        assert!(error.contains("/nowhere/a/nano") && error.contains("/nowhere/b/nano"), "{error}");
    }

    #[test]
    fn pythons_infinity_is_null() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"{"lambda_min_clipped": -Infinity, "other": NaN, "a": 1}"#).unwrap();
        let read = read_json(file.path()).unwrap();
        assert_eq!(read, serde_json::json!({"lambda_min_clipped": null, "other": null, "a": 1}));
    }

    #[test]
    fn a_component_may_point_to_a_shared_folder() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("nano/model_index.json", "{}");
        write("nano/flow/config.json", r#"{"shared": "../../gmflow"}"#);
        write("gmflow/config.json", r#"{"_class_name": "GMFlow"}"#);
        let model = ModelFolder::find("nano", &[root.path().into()]).unwrap();
        assert_eq!(model.component("flow").unwrap().class_name(), "GMFlow");
        assert!(model.component("unet").is_err());
    }
}

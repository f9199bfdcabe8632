//! A model is a folder in diffusers' layout, `model_index.json` and one folder per component; or one file of the
//! original layout, whose configs are then taken from the model folder `sd15`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::{
    Component, LoraFile, WeightsError,
    checkpoint::Checkpoint,
    component::{config_file, read_json},
    files,
    lora_sampling::Sampling,
    part::Part,
    presets::{self, Preset},
    unreadable,
};

/// A model's folder, or its single file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelFolder {
    /// The model's own, if it is more than a file.
    own: Option<PathBuf>,
    /// All networks in one file of the original layout.
    checkpoint: Option<PathBuf>,
    /// Where what the model does not bring may be taken from.
    base: Vec<PathBuf>,
    /// What is changed of it.
    preset: Preset,
}

/// The model folder that lends configs to single files.
const BASE: &str = "sd15";
const INDEX: &str = "model_index.json";
const PRESETS: &str = "presets";
const SCHEDULER: &str = "scheduler";
/// A diffusion model's, by diffusers' names.
const PARTS: [&str; 6] = ["unet", "controlnet", "vae", "text_encoder", "tokenizer", "scheduler"];
/// What a model of diffusers' never brings, and is lent to it.
const LENT: [&str; 3] = ["flow", "interpolation", "editor"];
/// How diffusers calls such a model in `model_index.json`.
const DIFFUSERS_CLASS: &str = "StableDiffusion";

/// What `model_index.json` may say of files, besides diffusers' own.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Files {
    /// A single file whose networks are used where the folder has no weights of its own.
    checkpoint: Option<PathBuf>,
    /// Merged into UNet and text encoder, in this order.
    loras: Vec<LoraEntry>,
    #[serde(rename = "_class_name")]
    class_name: String,
}

/// A LoRA, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoraEntry {
    file: PathBuf,
    #[serde(default = "as_trained")]
    strength: Number,
}

fn as_trained() -> Number {
    1.into()
}

impl ModelFolder {
    /// Finds `model`: the path of a folder or of a single `.safetensors` file, or a name in one of `places`
    /// ([`search_path`]).
    ///
    /// # Errors
    /// [`WeightsError::NoModel`] with the places tried, [`WeightsError::Unreadable`].
    pub fn find(model: &str, places: &[PathBuf]) -> Result<Self, WeightsError> {
        if is_safetensors(Path::new(model)) && Path::new(model).is_file() {
            return Self::of_file(Path::new(model), places);
        }
        let is_path = model.contains(std::path::MAIN_SEPARATOR);
        let candidates: Vec<PathBuf> =
            if is_path { vec![model.into()] } else { places.iter().map(|place| place.join(model)).collect() };
        match candidates.iter().find(|folder| is_model(folder)) {
            Some(folder) => Self::of_folder(&absolute(folder), places),
            None => Err(WeightsError::NoModel { name: model.into(), tried: candidates }),
        }
    }

    fn of_file(file: &Path, places: &[PathBuf]) -> Result<Self, WeightsError> {
        let base = base(places);
        if base.is_empty() {
            let tried = places.iter().map(|place| place.join(BASE)).collect();
            return Err(WeightsError::NoModel { name: BASE.into(), tried });
        }
        Ok(Self { own: None, checkpoint: Some(absolute(file)), base, preset: Preset::default() })
    }

    fn of_folder(folder: &Path, places: &[PathBuf]) -> Result<Self, WeightsError> {
        let files = files_of(&folder.join(INDEX))?;
        let checkpoint = files.checkpoint.map(|file| absolute(&folder.join(file)));
        let borrows = checkpoint.is_some() || files.class_name.starts_with(DIFFUSERS_CLASS);
        let base = if borrows { base(places) } else { vec![] };
        Ok(Self { own: Some(folder.into()), checkpoint, base, preset: Preset::default() })
    }

    /// The same model, run as the entry `name` of `flowvid.presets` in `model_index.json` says; `auto` changes nothing.
    ///
    /// # Errors
    /// [`WeightsError::NoPreset`] lists those that there are, [`WeightsError::Unreadable`].
    pub fn with_preset(self, name: &str) -> Result<Self, WeightsError> {
        if name == presets::AUTO {
            return Ok(self);
        }
        let listed = self.own_options()?.remove(PRESETS).unwrap_or_default();
        let Some(entry) = listed.get(name) else {
            let known = listed.as_object().map(|listed| listed.keys().cloned().collect()).unwrap_or_default();
            return Err(WeightsError::NoPreset { file: self.index_file(), name: name.into(), known });
        };
        let wrong =
            |cause: String| unreadable(&self.index_file(), &format!("flowvid.presets.{name}: {cause}"));
        Ok(Self { preset: Preset::read(entry).map_err(wrong)?, ..self })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        let file = || self.checkpoint.as_deref().unwrap_or(Path::new(""));
        self.own.as_deref().unwrap_or_else(file)
    }

    /// `model_index.json`.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`].
    pub fn index(&self) -> Result<serde_json::Value, WeightsError> {
        read_json(&self.index_file())
    }

    /// Where [`index`](Self::index) is read from.
    pub fn index_file(&self) -> PathBuf {
        self.layers(INDEX).next().map_or_else(|| INDEX.into(), |folder| folder.join(INDEX))
    }

    /// `flowvid` of `model_index.json`: how the model is run where the user asks for nothing else. What a LoRA needs,
    /// and then the preset's values, are in their places.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`].
    pub fn options(&self) -> Result<Map<String, Value>, WeightsError> {
        let mut options = self.own_options()?;
        options.remove(PRESETS);
        options.extend(self.distilled()?.map(|(sampling, _)| sampling.options()).unwrap_or_default());
        options.extend(self.preset.options.clone());
        Ok(options)
    }

    /// What the user should know of how the model is run.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`].
    pub fn notes(&self) -> Result<Vec<String>, WeightsError> {
        Ok(self.distilled()?.map(|(sampling, file)| sampling.note(&file)).into_iter().collect())
    }

    /// The last LoRA that wants a sampling of its own, unless the preset decides about all of it.
    fn distilled(&self) -> Result<Option<(Sampling, PathBuf)>, WeightsError> {
        if self.preset.decides_sampling() {
            return Ok(None);
        }
        for LoraFile { file, strength } in self.loras()?.into_iter().rev() {
            let found = Sampling::of(&file, &Checkpoint::open(&file)?.metadata);
            if let Some(sampling) = found.filter(|_| strength != 0.0) {
                return Ok(Some((sampling, file)));
            }
        }
        Ok(None)
    }

    fn own_options(&self) -> Result<Map<String, Value>, WeightsError> {
        match self.index()?.get_mut("flowvid").map(Value::take) {
            None => Ok(Map::new()),
            Some(Value::Object(options)) => Ok(options),
            Some(_) => Err(unreadable(&self.index_file(), &"flowvid is no table")),
        }
    }

    /// Whether all that `model_index.json` lists of a diffusion model's parts is there.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`], [`WeightsError::NoComponent`], [`WeightsError::NoTokenizer`].
    pub fn check(&self) -> Result<(), WeightsError> {
        let index = self.index()?;
        // diffusers writes [null, null] for a part that a model does without
        let listed =
            |part: &&str| index.get(*part).and_then(|part| part.get(1)).is_some_and(|c| c.is_string());
        for part in PARTS.into_iter().filter(listed) {
            if part == "tokenizer" {
                self.tokenizer()?;
            } else {
                self.place(part).ok_or_else(|| self.lacks(part))?;
            }
        }
        Ok(())
    }

    /// Whether the model brings this component.
    pub fn has(&self, component: &str) -> bool {
        self.place(component).is_some_and(|folder| config_file(&folder).is_file())
    }

    /// The component's folder, after following a pointer to a shared one (`"shared": "../../gmflow"`).
    ///
    /// # Errors
    /// [`WeightsError::NoComponent`], [`WeightsError::Unreadable`].
    pub fn component(&self, name: &str) -> Result<Component, WeightsError> {
        let folder = self.place(name).filter(|folder| config_file(folder).is_file());
        let folder = folder.ok_or_else(|| self.lacks(name))?;
        let is_own = self.own.as_ref().is_some_and(|own| folder.starts_with(own));
        let is_preset = self.preset.folders.contains_key(name);
        let mut component = Component::open(folder)?;
        component.part = Part::of(name);
        let has_weights = is_own && files::find(&component.folder).is_some();
        if component.part.is_some() && !is_preset && !has_weights {
            component.single_file = self.checkpoint.clone();
        }
        if matches!(component.part, Some(Part::UNet | Part::TextEncoder)) {
            component.loras = self.loras()?;
        }
        if name == SCHEDULER
            && !is_preset
            && let Some((sampling, _)) = self.distilled()?
        {
            sampling.change(&mut component.config);
        }
        Ok(component)
    }

    /// The tokenizer's folder. For a single file it may also lie beside the file.
    ///
    /// # Errors
    /// [`WeightsError::NoComponent`], [`WeightsError::NoTokenizer`].
    pub fn tokenizer(&self) -> Result<PathBuf, WeightsError> {
        let Some(checkpoint) = &self.checkpoint else {
            return self.place("tokenizer").ok_or_else(|| self.lacks("tokenizer"));
        };
        let beside = checkpoint.parent().into_iter();
        let tried: Vec<_> = self
            .own
            .iter()
            .map(PathBuf::as_path)
            .chain(beside)
            .chain(self.base.iter().map(PathBuf::as_path))
            .map(|folder| folder.join("tokenizer"))
            .collect();
        match tried.iter().find(|folder| folder.join("vocab.json").is_file()) {
            Some(folder) => Ok(folder.clone()),
            None => Err(WeightsError::NoTokenizer { model: checkpoint.clone(), tried }),
        }
    }

    /// The LoRAs that `model_index.json` lists, `"loras": [{"file": "lora/ink.safetensors", "strength": 0.8}]`, and
    /// the preset's.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`].
    pub fn loras(&self) -> Result<Vec<LoraFile>, WeightsError> {
        let index = self.index_file();
        let folder = index.parent().unwrap_or(Path::new(""));
        let lora = |LoraEntry { file, strength }| LoraFile {
            file: folder.join(file),
            strength: strength.as_f64().unwrap_or(f64::NAN),
        };
        let listed = files_of(&index)?.loras.into_iter();
        Ok(listed.chain(self.preset.loras.iter().cloned()).map(lora).collect())
    }

    /// The model's folders, what is found in the first one counts. From the base a model of diffusers' folders takes
    /// only what is not diffusers'.
    fn layers(&self, component: &str) -> impl Iterator<Item = &PathBuf> {
        let borrows = self.checkpoint.is_some() || LENT.contains(&component);
        self.own.iter().chain(self.base.iter().filter(move |_| borrows))
    }

    fn place(&self, component: &str) -> Option<PathBuf> {
        let folder = self.preset.folders.get(component).map_or(Path::new(component), PathBuf::as_path);
        self.layers(component).map(|layer| layer.join(folder)).find(|folder| folder.is_dir())
    }

    fn lacks(&self, component: &str) -> WeightsError {
        WeightsError::NoComponent { folder: self.path().into(), component: component.into() }
    }
}

fn is_model(folder: &Path) -> bool {
    folder.join(INDEX).is_file()
}

fn is_safetensors(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "safetensors")
}

fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

fn base(places: &[PathBuf]) -> Vec<PathBuf> {
    places
        .iter()
        .map(|place| place.join(BASE))
        .filter(|folder| is_model(folder))
        .map(|folder| absolute(&folder))
        .collect()
}

fn files_of(index: &Path) -> Result<Files, WeightsError> {
    serde_json::from_value(read_json(index)?).map_err(|error| unreadable(index, &error))
}

/// The user's own models: `flowvid/models` in `XDG_DATA_HOME` or `~/.local/share`.
pub fn data_folder() -> Option<PathBuf> {
    let data_home = env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")));
    data_home.map(|folder| folder.join("flowvid/models"))
}

/// The places where a model's name is looked for, first one first: `FLOWVID_MODELS`, the user's data
/// folder, `flowvid/models` beside the installed plugin, the source tree's `models/`.
///
/// - `plugin_folder`: where the plugin's own file lies, if it is known
pub fn search_path(plugin_folder: Option<&Path>) -> Vec<PathBuf> {
    let from_variable = env::var_os("FLOWVID_MODELS").map(|value| env::split_paths(&value).collect());
    let mut places: Vec<PathBuf> = from_variable.unwrap_or_default();
    places.extend(data_folder());
    places.extend(plugin_folder.map(|folder| folder.join("flowvid/models")));
    places.push(concat!(env!("CARGO_MANIFEST_DIR"), "/models").into());
    places
}

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

//! Model folders: where they are looked for, what they hold, and how their tensors come into a network.

mod checkpoint;
mod component;
mod files;
mod folder;
mod legacy;
mod load;
mod lora;
mod lora_keys;
mod lora_sampling;
mod nearest;
mod part;
mod presets;
mod save;
mod single_file;
mod store;

pub use component::Component;
pub(crate) use component::read_json;
pub use folder::{ModelFolder, data_folder, search_path};
pub use load::{NetworkConfig, fill, load, weights_file};
pub use lora::LoraFile;
pub use save::save;
pub use store::copy_into;

use std::path::{Path, PathBuf};

/// Why a model could not be loaded. The text names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// No folder of that name.
    #[error("no model `{name}`: looked in {}; run `make setup` (or `make models`, for one that is fetched from a hub), or set model to a folder that holds model_index.json, or to a .safetensors file",
            .tried.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoModel {
        /// The property's value.
        name: String,
        /// The places tried.
        tried: Vec<PathBuf>,
    },
    /// A component's folder is missing.
    #[error(
        "{folder} has no component `{component}`: the model folder is incomplete, run `make setup` or, for sd15, \
            `make models`"
    )]
    NoComponent {
        /// The model's folder.
        folder: PathBuf,
        /// Its name in the diffusers layout.
        component: String,
    },
    /// A single file brings no tokenizer, and none lies where it is looked for.
    #[error("{model} brings no tokenizer: vocab.json and merges.txt were looked for in {}; copy the `tokenizer` \
            folder of any Stable Diffusion 1.5 model to one of them",
            .tried.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoTokenizer {
        /// The single file.
        model: PathBuf,
        /// The places tried.
        tried: Vec<PathBuf>,
    },
    /// The model has no such preset.
    #[error("{file} has no preset `{name}`{}: set preset=auto, or describe it there under flowvid.presets as \
            models/sd15/README.md shows", list(.known))]
    NoPreset {
        /// `model_index.json`.
        file: PathBuf,
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A file is missing or damaged, or says what cannot be.
    #[error("{file}: {cause}; run `make setup`, or copy the model's folder anew")]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// A file could not be written.
    #[error("{file} could not be written: {cause}")]
    Unwritable {
        /// Which file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// Keys and network do not fit.
    #[error("{file}: {applied} tensors fit, {} missing (first: {}), {} unused (first: {}{}); the file belongs to \
            another component or model",
            .missing.len(), .missing.first().map_or("-", String::as_str),
            .unused.len(), .unused.first().map_or("-", String::as_str),
            .meant.as_ref().map(|meant| format!(", perhaps {meant}")).unwrap_or_default())]
    Keys {
        /// Which file.
        file: PathBuf,
        /// How many have their place.
        applied: usize,
        /// Keys that the network wants and the file lacks.
        missing: Vec<String>,
        /// Keys that the file has and the network does not know.
        unused: Vec<String>,
        /// The network's key that the first unused one resembles most.
        meant: Option<String>,
    },
    /// A tensor has another shape.
    #[error(
        "{file}: {key} is {found:?}, but the component's config.json asks for {expected:?}; take both from one model"
    )]
    Shape {
        /// Which file.
        file: PathBuf,
        /// The tensor's key.
        key: String,
        /// Its shape in the file.
        found: Vec<i64>,
        /// Its shape in the network.
        expected: Vec<i64>,
    },
    /// A class we do not know.
    #[error(
        "{file}: _class_name is `{found}`, but {expected} is needed there; take all components from one model"
    )]
    Class {
        /// The component's config.
        file: PathBuf,
        /// What it says.
        found: String,
        /// What would fit.
        expected: String,
    },
}

fn list(presets: &[String]) -> String {
    if presets.is_empty() { String::new() } else { format!(", but {}", presets.join(", ")) }
}

pub(crate) fn unreadable(file: &Path, cause: &dyn std::fmt::Display) -> WeightsError {
    WeightsError::Unreadable { file: file.into(), cause: cause.to_string() }
}

//! Presets: ways to run a model, as `model_index.json` lists them by name under `flowvid.presets`.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Map, Value};

use super::{folder::LoraEntry, nearest::nearest};

/// The name of no preset: the model as it is.
pub(super) const AUTO: &str = "auto";

/// What a preset changes. Everything else stays as the model has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Preset {
    /// Other folders, by the component that they are for.
    pub folders: BTreeMap<String, PathBuf>,
    /// Merged after the model's own.
    pub loras: Vec<LoraEntry>,
    /// What takes the place of the entries of `flowvid`.
    pub options: Map<String, Value>,
}

/// What a folder may be given for. A tokenizer belongs to its text encoder, a flow network to what was trained on it.
const COMPONENTS: [&str; 5] = ["unet", "controlnet", "vae", "text_encoder", "scheduler"];
const LORAS: &str = "loras";
const OPTIONS: [&str; 6] =
    ["num_inference_steps", "guidance_scale", "strength", "flow_trust", "controlnets", "batch_size"];

impl Preset {
    /// Reads an entry of the table.
    ///
    /// # Errors
    /// A text that names the key.
    pub fn read(entry: &Value) -> Result<Self, String> {
        let entry = entry.as_object().ok_or("it is no table")?;
        let mut preset = Self::default();
        for (key, value) in entry {
            let wrong = |error: serde_json::Error| format!("{key}: {error}");
            if is_component(key) {
                let folder = serde_json::from_value(value.clone()).map_err(wrong)?;
                preset.folders.insert(key.clone(), folder);
            } else if key == LORAS {
                preset.loras = serde_json::from_value(value.clone()).map_err(wrong)?;
            } else if OPTIONS.contains(&key.as_str()) {
                preset.options.insert(key.clone(), fitting(key, value)?);
            } else {
                return Err(unknown(key));
            }
        }
        Ok(preset)
    }

    /// Whether it leaves nothing of the sampling to the model.
    pub fn decides_sampling(&self) -> bool {
        let options = ["num_inference_steps", "guidance_scale"];
        self.folders.contains_key("scheduler")
            && options.iter().all(|option| self.options.contains_key(*option))
    }
}

fn is_component(key: &str) -> bool {
    COMPONENTS.contains(&key) || key.strip_prefix("controlnet_").is_some_and(|n| n.parse::<u8>().is_ok())
}

/// The option's value, if it can be one.
fn fitting(option: &str, value: &Value) -> Result<Value, String> {
    let is_share = || value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share));
    let (fits, range) = match option {
        "strength" | "flow_trust" => (is_share(), "a number from 0 to 1"),
        "controlnets" => (value.is_object(), "a table by the networks' folders"),
        "guidance_scale" => (value.as_f64().is_some_and(|scale| scale >= 1.0), "a number from 1 up"),
        "batch_size" => (value.as_u64().is_some_and(|keyframes| keyframes >= 2), "a whole number from 2 up"),
        _ => (value.as_u64().is_some_and(|steps| steps >= 1), "a whole number from 1 up"),
    };
    if fits { Ok(value.clone()) } else { Err(format!("{option} is {value}, not {range}")) }
}

fn unknown(key: &str) -> String {
    let known = COMPONENTS.into_iter().chain([LORAS]).chain(OPTIONS);
    let meant = nearest(key, known).map(|meant| format!(", perhaps {meant}")).unwrap_or_default();
    format!("`{key}` is nothing that a preset changes{meant}")
}

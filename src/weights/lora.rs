//! LoRA: what a small file adds to a network's weights, `strength * alpha / rank * up x down` for each layer that it
//! names. Layouts: kohya's (`lora_unet_…`, `lora_te_…`, with `alpha`), diffusers' (peft's `lora_A` and `lora_B`,
//! `lora.down` and `lora.up`, the attention processors of old) and peft's own (`adapter_model.safetensors` beside
//! `adapter_config.json`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tch::{Kind, Tensor};

use super::{
    WeightsError,
    checkpoint::Checkpoint,
    lora_keys::{LoraKey, PEFT, Role},
    nearest::nearest,
    part::Part,
    read_json, unreadable,
};

/// A LoRA of a model, as `model_index.json` lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraFile {
    /// A safetensors file.
    pub file: PathBuf,
    /// 1 = as trained, 0 = nothing.
    pub strength: f64,
}

/// All LoRAs of one network.
#[derive(Debug, Default)]
pub(super) struct Loras(Vec<Lora>);

#[derive(Debug)]
struct Lora {
    checkpoint: Checkpoint,
    strength: f64,
    /// By the key of the weight that they change.
    layers: BTreeMap<String, Layer>,
    /// peft's, where there is one.
    config: Value,
}

/// The keys of a layer's tensors in the file.
#[derive(Debug, Default)]
struct Layer {
    /// `[rank, in, ..]`
    down: Option<String>,
    /// `[out, rank, ..]`
    up: Option<String>,
    alpha: Option<String>,
}

impl Loras {
    /// Opens those layers of `files` that belong to `part`.
    ///
    /// - `keys`: the network's
    ///
    /// # Errors
    /// [`WeightsError::Keys`] for a layer that the network lacks, [`WeightsError::Unreadable`].
    pub fn open(files: &[LoraFile], part: Part, keys: &[String]) -> Result<Self, WeightsError> {
        files.iter().map(|file| Lora::open(file, part, keys)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them changes the weight `key`.
    pub fn change(&self, key: &str) -> bool {
        self.0.iter().any(|lora| lora.layers.contains_key(key))
    }

    /// The f32 weight `key` with all that is added to it.
    ///
    /// # Errors
    /// [`WeightsError::Shape`] where factors and weight do not fit together, [`WeightsError::Unreadable`].
    pub fn merge(&self, key: &str, weight: &Tensor) -> Result<Tensor, WeightsError> {
        self.0.iter().try_fold(weight.shallow_clone(), |weight, lora| match lora.layers.get(key) {
            Some(layer) => Ok(&weight + lora.difference(key, layer, &weight.size())?),
            None => Ok(weight),
        })
    }
}

impl Lora {
    fn open(lora: &LoraFile, part: Part, keys: &[String]) -> Result<Self, WeightsError> {
        let checkpoint = Checkpoint::open(&lora.file)?;
        let flat: BTreeMap<String, &String> = keys
            .iter()
            .filter_map(|key| Some((key.strip_suffix(".weight")?.replace('.', "_"), key)))
            .collect();
        let mut layers: BTreeMap<String, Layer> = BTreeMap::new();
        let mut unused = vec![];
        for key in checkpoint.tensors.keys() {
            let parsed = LoraKey::parse(key);
            if parsed.as_ref().is_some_and(|parsed| parsed.part != part) {
                continue;
            }
            match parsed.as_ref().and_then(|parsed| Some((flat.get(&parsed.layer)?, parsed.role))) {
                Some((weight, role)) => {
                    layers.entry((*weight).clone()).or_default().put(role, key, &checkpoint.file)?
                }
                None => unused.push(key.clone()),
            }
        }
        let config = peft_config(&checkpoint, part)?;
        let opened = Self { strength: lora.strength, layers, config, checkpoint };
        opened.check(unused, &flat)?;
        Ok(opened)
    }

    fn check(&self, unused: Vec<String>, flat: &BTreeMap<String, &String>) -> Result<(), WeightsError> {
        let file = &self.checkpoint.file;
        if let Some(first) = unused.first() {
            let layer = LoraKey::parse(first).map_or_else(|| first.replace('.', "_"), |key| key.layer);
            let meant = nearest(&layer, flat.keys().map(String::as_str)).map(|near| flat[&near].clone());
            let applied = self.checkpoint.tensors.len() - unused.len();
            return Err(WeightsError::Keys { file: file.clone(), applied, meant, missing: vec![], unused });
        }
        match self.layers.iter().find(|(_, layer)| layer.down.is_none() || layer.up.is_none()) {
            Some((key, _)) => Err(unreadable(file, &format!("of the two factors for {key} one is missing"))),
            None => Ok(()),
        }
    }

    /// What is added to the weight `key` of `size`.
    fn difference(&self, key: &str, layer: &Layer, size: &[i64]) -> Result<Tensor, WeightsError> {
        let [Some(down), Some(up)] = [&layer.down, &layer.up] else {
            unreachable!("checked when it was opened")
        };
        let shape = |key: &String| self.checkpoint.tensors[key].shape.clone();
        let (down_shape, up_shape) = (shape(down), shape(up));
        let rank = down_shape.first().copied().unwrap_or_default();
        let inner: i64 = size[1..].iter().product();
        let fits = rank > 0
            && down_shape.iter().product::<i64>() == rank.saturating_mul(inner)
            && up_shape.first() == size.first()
            && up_shape.iter().product::<i64>() == rank.saturating_mul(size[0]);
        if !fits {
            let cause =
                format!("{down} {down_shape:?} times {up} {up_shape:?} is no change of {key} {size:?}");
            return Err(unreadable(&self.checkpoint.file, &cause));
        }
        let read = |key: &String| Ok(self.checkpoint.tensors[key].read(key)?.to_kind(Kind::Float));
        let product = read(up)?.view([-1, rank]).matmul(&read(down)?.view([rank, -1]));
        Ok(product.view(size) * (self.strength * self.scale(key, layer, rank)?))
    }

    /// `alpha / rank`: alpha from the layer's own tensor, else from peft's config, else the rank.
    fn scale(&self, key: &str, layer: &Layer, rank: i64) -> Result<f64, WeightsError> {
        let failed = |cause: &str| unreadable(&self.checkpoint.file, &cause);
        let Some(alpha) = &layer.alpha else { return Ok(peft_scale(&self.config, key, rank as f64)) };
        let stored = &self.checkpoint.tensors[alpha];
        if stored.shape.iter().product::<i64>() != 1 {
            return Err(failed(&format!("{alpha} is {:?}, not one number", stored.shape)));
        }
        let value = stored.read(alpha)?.view([1]).double_value(&[0]);
        if value.is_finite() { Ok(value / rank as f64) } else { Err(failed(&format!("{alpha} is {value}"))) }
    }
}

impl Layer {
    fn put(&mut self, role: Role, key: &str, file: &Path) -> Result<(), WeightsError> {
        let place = match role {
            Role::Down => &mut self.down,
            Role::Up => &mut self.up,
            Role::Alpha => &mut self.alpha,
        };
        match place.replace(key.into()) {
            Some(other) => Err(unreadable(file, &format!("{key} and {other} are for the same weight"))),
            None => Ok(()),
        }
    }
}

/// peft's config: beside a file that peft itself saved; else in the header, where diffusers writes it with each key after
/// the component's name. Empty where there is none.
fn peft_config(checkpoint: &Checkpoint, part: Part) -> Result<Value, WeightsError> {
    let config = if checkpoint.tensors.keys().any(|key| key.starts_with(PEFT)) {
        read_json(&checkpoint.file.with_file_name("adapter_config.json"))?
    } else {
        header_config(checkpoint, part).map_err(|cause| unreadable(&checkpoint.file, &cause))?
    };
    match config.get("use_dora").and_then(Value::as_bool) {
        Some(true) => Err(unreadable(&checkpoint.file, &"it is a DoRA, which is not supported")),
        _ => Ok(config),
    }
}

fn header_config(checkpoint: &Checkpoint, part: Part) -> Result<Value, String> {
    let Some(text) = checkpoint.metadata.get("lora_adapter_metadata") else { return Ok(Value::Null) };
    let all: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("lora_adapter_metadata: {error}"))?;
    let prefix = if part == Part::TextEncoder { "text_encoder." } else { "unet." };
    let own = all.into_iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value)));
    Ok(Value::Object(own.collect()))
}

/// `alpha / rank` as peft's config tells it; 1 where it tells nothing.
fn peft_scale(config: &Value, key: &str, rank: f64) -> f64 {
    let module = key.trim_end_matches(".weight");
    let own = config.get("alpha_pattern").and_then(Value::as_object).and_then(|pattern| {
        let names = |name: &str| module == name || module.ends_with(&format!(".{name}"));
        pattern.iter().find(|(name, _)| names(name)).map(|(_, alpha)| alpha)
    });
    let Some(alpha) = own.or_else(|| config.get("lora_alpha")).and_then(Value::as_f64) else { return 1.0 };
    let stabilised = config.get("use_rslora").and_then(Value::as_bool) == Some(true);
    alpha / if stabilised { rank.sqrt() } else { rank }
}

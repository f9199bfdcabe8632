//! A model folder as Stable Diffusion 1.5's, in diffusers' layout.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use gstflowvid::{
    diffusion::{DiffusionModel, noise},
    torch::Placement,
    weights::ModelFolder,
};
use serde_json::{Value, json};
use tch::{Kind, Tensor, nn::VarStore};

/// How wide the networks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// Seconds on a CPU.
    Tiny,
    /// Stable Diffusion 1.5's own: 1.4 thousand million parameters.
    Full,
}

/// The autoencoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Autoencoder {
    /// Stable Diffusion's own.
    Kl,
    /// TAESD.
    Tiny,
}

/// The scheduler that the folder names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchedulerKind {
    /// Stable Diffusion 1.5's own.
    Pndm,
    Ddim,
    Lcm,
    Euler,
    DpmSolver,
}

/// What is written.
#[derive(Debug, Clone, Copy)]
pub struct RandomModel {
    pub size: Size,
    pub vae: Autoencoder,
    pub scheduler: SchedulerKind,
    /// The same seed gives the same files.
    pub seed: u64,
    /// Of the files: `Float` or `Half`.
    pub kind: Kind,
}

impl RandomModel {
    /// Writes the folder, and finds it as a model.
    pub fn write(&self, folder: &Path) -> Result<ModelFolder> {
        self.write_configs(folder)?;
        let store = VarStore::new(Placement::cpu().device);
        let found = ModelFolder::find(&format!("{}/", folder.display()), &[])?;
        DiffusionModel::new(&store.root(), &found)?;
        randomise(&store, self.seed);
        DiffusionModel::save(&store, folder, self.kind)?;
        Ok(found)
    }

    /// All but the weights.
    pub fn write_configs(&self, folder: &Path) -> Result<()> {
        write_json(folder.join("model_index.json"), &self.index())?;
        write_json(folder.join("unet/config.json"), &self.unet())?;
        for controlnet in ["controlnet", "controlnet_1"] {
            write_json(folder.join(controlnet).join("config.json"), &self.controlnet())?;
        }
        write_json(folder.join("vae/config.json"), &self.vae())?;
        write_json(folder.join("text_encoder/config.json"), &self.text_encoder())?;
        write_json(folder.join("scheduler/scheduler_config.json"), &self.scheduler())?;
        write_tokenizer(&folder.join("tokenizer"))
    }

    fn index(&self) -> Value {
        json!({
            "_class_name": "StableDiffusionControlNetPipeline",
            "_diffusers_version": "0.36.0",
            "controlnet": ["diffusers.pipelines.controlnet.multicontrolnet", "MultiControlNetModel"],
            "feature_extractor": [null, null],
            "safety_checker": [null, null],
            "scheduler": ["diffusers", self.scheduler()["_class_name"]],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", self.vae()["_class_name"]],
            "flowvid": {
                "controlnets": {"controlnet": {"condition": "canny"}, "controlnet_1": {"condition": "inpaint"}},
            },
        })
    }

    /// Channels from the highest resolution down, layers, groups of the norms, width of the text.
    fn widths(&self) -> ([i64; 4], usize, i64, i64) {
        match self.size {
            Size::Tiny => ([16, 32, 32, 32], 1, 8, 32),
            Size::Full => ([320, 640, 1280, 1280], 2, 32, 768),
        }
    }

    fn blocks(&self) -> Value {
        let (channels, layers, groups, text) = self.widths();
        json!({
            "in_channels": 4,
            "down_block_types":
                ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
            "block_out_channels": channels,
            "layers_per_block": layers,
            "norm_num_groups": groups,
            "cross_attention_dim": text,
            "attention_head_dim": 8,
        })
    }

    fn unet(&self) -> Value {
        let mut config = self.blocks();
        config["_class_name"] = "UNet2DConditionModel".into();
        config["out_channels"] = 4.into();
        config["up_block_types"] =
            json!(["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]);
        config
    }

    fn controlnet(&self) -> Value {
        let mut config = self.blocks();
        config["_class_name"] = "ControlNetModel".into();
        config["conditioning_embedding_out_channels"] = match self.size {
            Size::Tiny => json!([4, 8, 16, 16]),
            Size::Full => json!([16, 32, 96, 256]),
        };
        config
    }

    fn vae(&self) -> Value {
        match (self.vae, self.size) {
            (Autoencoder::Kl, size) => json!({
                "_class_name": "AutoencoderKL",
                "in_channels": 3,
                "latent_channels": 4,
                "down_block_types": vec!["DownEncoderBlock2D"; 4],
                "up_block_types": vec!["UpDecoderBlock2D"; 4],
                "block_out_channels": if size == Size::Tiny { [8, 16, 16, 16] } else { [128, 256, 512, 512] },
                "layers_per_block": if size == Size::Tiny { 1 } else { 2 },
                "act_fn": "silu",
                "norm_num_groups": if size == Size::Tiny { 8 } else { 32 },
                "scaling_factor": 0.18215,
            }),
            (Autoencoder::Tiny, size) => {
                let width = if size == Size::Tiny { 8 } else { 64 };
                json!({
                    "_class_name": "AutoencoderTiny",
                    "latent_channels": 4,
                    "encoder_block_out_channels": [width, width, width, width],
                    "decoder_block_out_channels": [width, width, width, width],
                })
            }
        }
    }

    fn text_encoder(&self) -> Value {
        let full = self.size == Size::Full;
        let width = self.widths().3;
        json!({
            "architectures": ["CLIPTextModel"],
            "vocab_size": if full { 49408 } else { vocabulary().len() },
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": if full { 12 } else { 2 },
            "num_attention_heads": if full { 12 } else { 4 },
            "max_position_embeddings": 77,
            "hidden_act": "quick_gelu",
        })
    }

    fn scheduler(&self) -> Value {
        let class = match self.scheduler {
            SchedulerKind::Pndm => "PNDMScheduler",
            SchedulerKind::Ddim => "DDIMScheduler",
            SchedulerKind::Lcm => "LCMScheduler",
            SchedulerKind::Euler => "EulerDiscreteScheduler",
            SchedulerKind::DpmSolver => "DPMSolverMultistepScheduler",
        };
        json!({
            "_class_name": class,
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "clip_sample": false,
            "num_train_timesteps": 1000,
            "set_alpha_to_one": false,
            "steps_offset": 1,
        })
    }
}

/// Every parameter: weights by their fan-in, norms about 1, the rest about 0. Not by torch's own generator, which all
/// threads share.
fn randomise(store: &VarStore, seed: u64) {
    let _no_grad = tch::no_grad_guard();
    let variables = store.variables();
    let mut names: Vec<_> = variables.keys().collect();
    names.sort();
    for (index, name) in names.into_iter().enumerate() {
        let mut variable = variables[name].shallow_clone();
        let flat = [1, 1, variable.numel() as i64];
        let values = noise(seed, 0, &[index as u64], flat, variable.device()).view_as(&variable);
        let values: Tensor = match variable.size().as_slice() {
            [_] if name.ends_with("weight") => values * 0.1 + 1.0,
            [_, fan_in @ ..] if !fan_in.is_empty() => values / (fan_in.iter().product::<i64>() as f64).sqrt(),
            _ => values * 0.1,
        };
        variable.copy_(&values);
    }
}

/// Letters that stand for bytes, alone and at a word's end, as GPT-2 chose them; nothing is merged.
fn vocabulary() -> Vec<String> {
    let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let (plain, others): (Vec<u32>, Vec<u32>) = (0..256u32).partition(printable);
    let letters: Vec<String> = plain
        .into_iter()
        .chain((0..others.len() as u32).map(|index| 256 + index))
        .filter_map(char::from_u32)
        .map(String::from)
        .collect();
    let endings = letters.iter().map(|letter| format!("{letter}</w>"));
    let special = ["<|startoftext|>", "<|endoftext|>"].map(String::from);
    letters.iter().cloned().chain(endings).chain(special).collect()
}

fn write_tokenizer(folder: &Path) -> Result<()> {
    let words = vocabulary();
    let ids: serde_json::Map<String, Value> =
        words.iter().enumerate().map(|(id, word)| (word.clone(), id.into())).collect();
    write_json(folder.join("vocab.json"), &Value::Object(ids))?;
    write_json(
        folder.join("tokenizer_config.json"),
        &json!({
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": 77,
            "bos_token": "<|startoftext|>",
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
        }),
    )?;
    fs::write(folder.join("merges.txt"), "#version: 0.2\n")?;
    Ok(())
}

fn write_json(file: PathBuf, value: &Value) -> Result<()> {
    let folder = file.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    fs::write(&file, serde_json::to_string_pretty(value)?)
        .with_context(|| format!("{} cannot be written", file.display()))
}

//! Compares real weights, once you have them, with the numbers that diffusers' slow tests publish for Stable Diffusion
//! 1.4 and 1.5: yes or no for each test of UNet and autoencoder. For text encoder, ControlNets, the fine-tuned
//! autoencoder, TAESD and LoRAs no numbers are published in those tests.
//!
//! ```sh
//! cargo run --release --example verify -- sd15
//! ```
//!
//! The tests' inputs, arrays of noise, come from the hub once (`HF_ENDPOINT`, `HF_HOME`), or from `--arrays FOLDER`. Run
//! on files of half precision the differences may be a little larger than the tests of single precision allow.

mod check;
#[path = "../models/hub/mod.rs"]
#[allow(dead_code, unused_imports)] // of the hub only the way to one file is needed
mod hub;
mod slices;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::Result;
use check::{check, told};
use clap::Parser;
use gstflowvid::{
    torch::Placement,
    weights::{ModelFolder, search_path, weights_file},
};
use hub::{Hub, install::sha256, manifest::Source};
use slices::{Weights, published};

/// The SHA-256 of stabilityai/sd-vae-ft-mse.
const FINE_TUNED: &str = "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815";

/// Where diffusers' tests keep their inputs.
const ARRAYS: &str = "datasets/fusing/diffusers-testing";

#[derive(Parser)]
struct Arguments {
    /// Name or folder of the model
    #[arg(default_value = "sd15")]
    model: String,
    /// Which weights they should be
    #[arg(long, value_enum, default_value_t = Weights::V15)]
    weights: Weights,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// A folder that holds the input arrays
    #[arg(long)]
    arrays: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let Arguments { model, weights, device, arrays } = Arguments::parse();
    let model = ModelFolder::find(&model, &search_path(None))?;
    let (placement, hub) = (Placement::resolve(&device, "f32")?, Hub::of(|name| env::var(name).ok()));
    let source = Source {
        repository: ARRAYS.into(),
        revision: "main".into(),
        licence: String::new(),
        licence_url: String::new(),
        files: vec![],
    };
    let array = |name: &str| match &arrays {
        Some(folder) => Ok(folder.join(name)),
        None => Ok(hub.get(&source, name)?),
    };
    let mut all = true;
    for component in ["unet", "vae"] {
        println!("{component}:");
        if is_fine_tuned(&model, component)? {
            println!("     sd-vae-ft-mse, of which these tests publish no numbers");
            continue;
        }
        for verdict in check(&model, component, &published(weights), placement, &array)? {
            println!("{}", told(&verdict));
            all &= verdict.is_yes();
        }
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_fine_tuned(model: &ModelFolder, component: &str) -> Result<bool> {
    let file = weights_file(&model.component(component)?.folder);
    Ok(component == "vae" && file.is_file() && sha256(&file)? == FINE_TUNED)
}

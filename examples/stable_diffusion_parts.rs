//! Runs parts of a Stable Diffusion model when told to on standard input, and says how long each took: our half of
//! `benches/stable_diffusion.py`, which runs the same parts on diffusers in turns with this program.
//!
//! Lines understood: `step` (UNet and its first ControlNet, one sample), `encode`, `decode` (the autoencoder), each
//! answered by seconds; `save FILE` writes what they gave last.

use std::{
    collections::BTreeMap,
    io::{BufRead, Write},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use gstflowvid::{
    diffusion::{DiffusionModel, KeyframeMemory, PictureConditions, StepTime, Text},
    torch::Placement,
    weights::ModelFolder,
};
use tch::{Device, Kind, Tensor};

#[derive(Parser)]
struct Arguments {
    /// The model's folder
    folder: String,
    /// Inputs: `sample` `[1, 4, h, w]`, `picture` and `control` `[1, 3, 8 h, 8 w]`, 0..1; `timestep` `[1]`
    inputs: PathBuf,
    /// What the text encoder is given
    #[arg(long, default_value = "a castle")]
    prompt: String,
}

struct Parts {
    model: DiffusionModel,
    inputs: BTreeMap<String, Tensor>,
    text: Text,
}

impl Parts {
    fn open(arguments: &Arguments) -> Result<Self> {
        let folder = ModelFolder::find(&format!("{}/", arguments.folder), &[])?;
        let model = DiffusionModel::load(&folder, Placement { device: Device::Cpu, kind: Kind::Float })?;
        let inputs = Tensor::read_safetensors(&arguments.inputs)?.into_iter().collect();
        let text = model.encode_prompts(&[&arguments.prompt]);
        Ok(Self { model, inputs, text })
    }

    fn input(&self, name: &str) -> Result<Tensor> {
        self.inputs.get(name).map(Tensor::shallow_clone).with_context(|| format!("no input {name}"))
    }

    fn run(&self, part: &str) -> Result<(Tensor, f64)> {
        let (sample, picture, timestep) =
            (self.input("sample")?, self.input("picture")?, self.input("timestep")?);
        let condition = self.model.control_conditions().next().context("the model has no ControlNet")?;
        let conditions = self.model.encode_conditions(&PictureConditions {
            confidence: picture.narrow(1, 0, 1).ones_like(),
            first: picture.shallow_clone(),
            composite: picture.shallow_clone(),
            control: vec![(condition, self.input("control")?)],
        });
        let begun = Instant::now();
        let output = match part {
            "step" => {
                let (time, memory) = (StepTime::alone(&timestep), &mut KeyframeMemory::new(1));
                self.model.denoise(&sample, time, &self.text, &conditions, memory).output
            }
            "encode" => self.model.encode_pictures(&picture),
            "decode" => self.model.decode_latents(&sample),
            other => bail!("no part is called {other}"),
        };
        Ok((output, begun.elapsed().as_secs_f64()))
    }
}

fn main() -> Result<()> {
    let _placement = Placement::cpu();
    let _no_grad = tch::no_grad_guard();
    let parts = Parts::open(&Arguments::parse())?;
    let mut outputs: BTreeMap<String, Tensor> = BTreeMap::new();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if let Some(file) = line.strip_prefix("save ") {
            let named: Vec<_> = outputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
            Tensor::write_safetensors(&named, file)?;
            println!("saved");
        } else {
            let (output, seconds) = parts.run(&line)?;
            outputs.insert(line, output.contiguous());
            println!("{seconds}");
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

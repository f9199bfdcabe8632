//! A model's networks against published slices.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use gstflowvid::{
    diffusion::{UNet2DConditionModel, UNetConfig, Vae, VaeConfig},
    torch::Placement,
    weights::{Component, ModelFolder, load},
};
use tch::Tensor;

use super::slices::{Input, Slice, array_name, decoded, denoised};

/// What one test says of the model's weights.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub test: &'static str,
    pub seed: u64,
    pub expected: [f64; 8],
    pub found: [f64; 8],
    tolerance: f64,
}

impl Verdict {
    pub fn largest(&self) -> f64 {
        let differences =
            self.found.iter().zip(&self.expected).map(|(found, expected)| (found - expected).abs());
        // a NaN is the largest of all
        differences.fold(0.0, |largest, next| if next > largest || next.is_nan() { next } else { largest })
    }

    pub fn is_yes(&self) -> bool {
        self.largest() <= self.tolerance
    }
}

/// Runs the slices of one component.
///
/// - `array`: gives the file of an input array by its name
pub fn check(
    model: &ModelFolder,
    component: &str,
    slices: &[Slice],
    placement: Placement,
    array: &dyn Fn(&str) -> Result<PathBuf>,
) -> Result<Vec<Verdict>> {
    let _no_grad = tch::no_grad_guard();
    let part = model.component(component)?;
    let read = |seed, shape| {
        let name = array_name(seed, shape);
        let tensor = Tensor::read_npy(array(&name)?).with_context(|| name.clone())?;
        let wanted: Vec<i64> = shape.into_iter().filter(|&side| side > 0).collect();
        ensure!(tensor.size() == wanted, "{name} is {:?}", tensor.size());
        Ok(tensor.to_device(placement.device).to_kind(placement.kind))
    };
    let run = runner(&part, component, placement)?;
    let verdict = |slice: &Slice| {
        let Slice { test, seed, expected, tolerance, .. } = slice.clone();
        Ok(Verdict { test, seed, expected, tolerance, found: run(slice, &read)? })
    };
    slices.iter().filter(|slice| slice.component == component).map(verdict).collect()
}

type Read<'a> = dyn Fn(u64, [i64; 4]) -> Result<Tensor> + 'a;
type Run = Box<dyn Fn(&Slice, &Read) -> Result<[f64; 8]>>;

/// The network, ready to run a slice.
fn runner(part: &Component, component: &str, placement: Placement) -> Result<Run> {
    if component == "unet" {
        let config: UNetConfig = part.network_config()?;
        let (channels, dim) = (config.out_channels, config.blocks.cross_attention_dim);
        let unet = load(part, placement, UNet2DConditionModel::new)?;
        return Ok(Box::new(move |slice, read| {
            let Input::Denoise(timestep) = slice.input else { unreachable!("an UNet's slice") };
            let latents = read(slice.seed, [4, channels, 64, 64])?;
            Ok(denoised(&unet, &latents, &read(slice.seed, [4, 77, dim, 0])?, timestep))
        }));
    }
    let channels = part.network_config::<VaeConfig>()?.latent_channels();
    let scaling_factor = part.config["scaling_factor"].as_f64().unwrap_or(0.18215); // diffusers' default
    let vae = load(part, placement, Vae::new)?;
    Ok(Box::new(move |slice, read| {
        let shape = match slice.input {
            Input::Decode => [3, channels, 64, 64],
            _ => [4, 3, 512, 512],
        };
        Ok(decoded(&vae, &read(slice.seed, shape)?, slice.input, scaling_factor))
    }))
}

/// The line that the user reads, and the numbers where it is a no.
pub fn told(verdict: &Verdict) -> String {
    let Verdict { test, seed, expected, found, tolerance } = verdict;
    let largest = verdict.largest();
    if verdict.is_yes() {
        return format!("yes  {test}, seed {seed}: largest difference {largest:.1e}");
    }
    let row = |values: &[f64; 8]| values.map(|value| format!("{value:8.4}")).join(" ");
    format!(
        "no   {test}, seed {seed}: largest difference {largest:.1e}, allowed {tolerance:.0e}\n     expected {}\n     \
         found    {}",
        row(expected),
        row(found)
    )
}

//! Times the engine's stages on a folder of pictures, diffusion against warp alone, in one run.
//!
//! ```sh
//! make bench
//! ```

mod pictures;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Parser;
use gstflowvid::engine::{CancelToken, EditParameters, Engine, Frame, ModelRequest, Propagation, open};

/// Times the engine's stages on a folder of pictures.
#[derive(Parser)]
struct Arguments {
    /// Folder of pictures of one size; one batch of them is used.
    frames: PathBuf,
    /// What the video should look like.
    #[arg(long, default_value = "pencil sketch")]
    prompt: String,
    /// Name or folder of the model.
    #[arg(long, default_value = "nano")]
    model: String,
    /// One of the model's presets.
    #[arg(long, default_value = "auto")]
    preset: String,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Runs of each kind; they alternate, the first of each warms up and is not counted.
    #[arg(long, default_value_t = 4)]
    runs: usize,
}

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;
/// Milliseconds a frame, one entry a run, by stage.
type Times = BTreeMap<&'static str, Vec<f64>>;

const TOTAL: &str = "whole batch";

fn main() -> Fallible<()> {
    let arguments = Arguments::parse();
    let request = ModelRequest::FlowVid {
        model: arguments.model.clone(),
        preset: arguments.preset.clone(),
        device: arguments.device.clone(),
        dtype: "auto".into(),
        plugin_folder: None,
    };
    let mut engine = open(&request, &CancelToken::new())?;
    let kinds = [("warp", Propagation::Warp), ("diffusion", Propagation::Diffusion)];
    let mut times = kinds.map(|_| Times::new());
    let parameters = EditParameters { prompt: arguments.prompt.clone(), ..Default::default() };
    let frames = batch(&arguments.frames, engine.batch_frames(&parameters))?;
    for run in 0..arguments.runs {
        for ((_, propagation), times) in kinds.iter().zip(&mut times) {
            let measured = one_batch(engine.as_mut(), &frames, *propagation, &parameters)?;
            if run > 0 {
                measured.into_iter().for_each(|(stage, took)| times.entry(stage).or_default().push(took));
            }
        }
    }
    let size = (frames[0].picture.width, frames[0].picture.height);
    println!("{} frames of {}x{}, device {}", frames.len(), size.0, size.1, engine.device());
    println!("milliseconds a frame, median (minimum to maximum) of {} runs\n", arguments.runs - 1);
    kinds.iter().zip(&times).for_each(|((name, _), times)| print_table(name, times));
    Ok(())
}

fn one_batch(
    engine: &mut dyn Engine,
    frames: &[Frame],
    propagation: Propagation,
    parameters: &EditParameters,
) -> Fallible<Vec<(&'static str, f64)>> {
    engine.reset();
    let parameters = EditParameters { propagation, ..parameters.clone() };
    let begun = Instant::now();
    let edited = engine.process(frames.to_vec(), &parameters, &CancelToken::new())?;
    let total = (TOTAL, begun.elapsed());
    let per_frame = 1e3 / frames.len() as f64;
    let stages = edited.timings.into_iter().chain([total]);
    Ok(stages.map(|(stage, took)| (stage, took.as_secs_f64() * per_frame)).collect())
}

fn batch(folder: &Path, length: usize) -> Fallible<Vec<Frame>> {
    let mut files = pictures::files(folder)?;
    files.truncate(length);
    Ok(pictures::frames(&files)?)
}

fn print_table(name: &str, times: &Times) {
    println!("| propagation={name} | ms a frame |\n|---|---|");
    for (stage, runs) in times {
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        println!("| {stage} | {:.1} ({least:.1} to {most:.1}) |", sorted[sorted.len() / 2]);
    }
    println!();
}

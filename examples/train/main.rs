//! Trains the networks of a model folder to make keyframes from what the engine knows of them: FlowVid's
//! propagate stage, on clips made on the fly whose motion and edit are known exactly.
//!
//! ```sh
//! scripts/training_data.py
//! cargo run --release --example train -- --minutes 60
//! ```
//! A run that was stopped goes on where its last checkpoint stands when it is started again; the learning
//! rate then makes a new arc over the new `--minutes`. Progress: `log.csv` and sheets of held-out clips
//! (composite, confidence, network, truth) in the `--out` folder.

mod adamw;
mod adversary;
mod checkpoint;
mod composites;
mod denoising;
mod edits;
mod patches;
mod pictures;
mod random;
mod scenes;
mod validation;

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
    time::Instant,
};

use anyhow::Context;
use clap::Parser;
use gstflowvid::{
    diffusion::DiffusionModel,
    editors::looks::Looks,
    torch::Placement,
    weights::{ModelFolder, weights_file},
};
use tch::{Device, Kind, Tensor, nn::VarStore};

use adamw::AdamW;
use adversary::Adversary;
use composites::{Clips, Source};
use pictures::Pictures;
use random::Random;
use validation::{Score, Validation, validate};

/// Draws for the patch autoencoder's fit and for validation; both are the same in every run.
const FIT_DRAWS: u64 = 8;
const VALIDATION_DRAWS: u64 = 12;
/// Validation's draws are those of no training step.
const VALIDATION_SEED: u64 = 0x7a11_da7e;
/// Iterations over which the learning rate rises.
const WARM_UP: f64 = 50.0;

#[derive(Parser)]
struct Arguments {
    /// Model folder whose configs are read and whose weights are written
    #[arg(long, default_value = "models/nano")]
    model: String,
    /// Folder of pictures
    #[arg(long, default_value = ".deps/training")]
    data: PathBuf,
    /// Folder for checkpoint, log and sheets
    #[arg(long, default_value = "out/train")]
    out: PathBuf,
    /// How long this run trains
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Random seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clips an iteration
    #[arg(long, default_value_t = 3)]
    clips: usize,
    /// Their side in pixels, a multiple of 16
    #[arg(long, default_value_t = 112)]
    side: i64,
    /// Highest learning rate
    #[arg(long, default_value_t = 1.5e-3)]
    learning_rate: f64,
    /// Iterations from one validation and checkpoint to the next
    #[arg(long, default_value_t = 200)]
    every: u64,
    /// CPU threads; on a busy machine one is faster than two that wait for each other
    #[arg(long, default_value_t = 2)]
    threads: i32,
    /// A run without a checkpoint begins with the folder's own weights, not from nothing
    #[arg(long)]
    warm: bool,
    /// Train on the CPU even where there is a GPU
    #[arg(long)]
    cpu: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tch::set_num_threads(arguments.threads);
    fs::create_dir_all(&arguments.out)?;
    let device = device(&arguments);
    let mut trainer = Trainer::start(&arguments, device)?;
    let began = Instant::now();
    loop {
        let share = began.elapsed().as_secs_f64() / (arguments.minutes * 60.0);
        let is_last = share >= 1.0;
        if is_last || trainer.optimizer.step_count().is_multiple_of(arguments.every) {
            trainer.report(began.elapsed().as_secs_f64())?;
        }
        if is_last {
            return Ok(());
        }
        trainer.iterate(share);
    }
}

/// `Placement::cpu` also loads libtorch's CUDA half, before anyone asks whether there is a GPU.
fn device(arguments: &Arguments) -> Device {
    let cpu = Placement::cpu().device;
    if arguments.cpu { cpu } else { Device::cuda_if_available() }
}

struct Trainer<'a> {
    arguments: &'a Arguments,
    store: VarStore,
    model: DiffusionModel,
    folder: ModelFolder,
    optimizer: AdamW,
    adversary: Adversary,
    training: Pictures,
    looks: Looks,
    words: Vec<String>,
    held_out: Vec<Clips>,
    log: File,
    /// Sum of losses since the last report, and how many.
    losses: (f64, u64),
    seconds_before: f64,
}

impl<'a> Trainer<'a> {
    fn start(arguments: &'a Arguments, device: Device) -> anyhow::Result<Self> {
        let folder = ModelFolder::find(&arguments.model, &["models".into()])?;
        let store = VarStore::new(device);
        tch::manual_seed(arguments.seed as i64);
        let model = DiffusionModel::new(&store.root(), &folder)?;
        let (training, validation) = Pictures::read(&arguments.data)?;
        println!("{} pictures to train on, {} held out", training.len(), validation.len());
        let looks = Looks::load(&folder, Placement { device, kind: Kind::Float })?;
        if let Some(look) = edits::missing_look(&looks) {
            anyhow::bail!("{} has no look `{look}`", folder.path().display());
        }
        let words = vocabulary(&folder)?;
        calm(&store, store.variables()["vae.encoder.weight"].size()[0]);
        for (_, variable) in store.variables().iter().filter(|(key, _)| key.starts_with("vae.")) {
            let _ = variable.set_requires_grad(false);
        }
        let source = |pictures, held_out| Source {
            pictures,
            looks: &looks,
            words: &words,
            side: arguments.side,
            held_out,
            device,
        };
        let checkpoint = arguments.out.join("checkpoint.safetensors");
        if arguments.warm {
            fill(&store, &folder)?;
        }
        let mut optimizer = AdamW::new(&store);
        let restored = checkpoint::restore(&checkpoint, &mut optimizer, &store)?;
        if restored.is_none() && !arguments.warm {
            fit_autoencoder(&store, &source(&training, false), arguments.seed);
        }
        let mut adversary = Adversary::new(device);
        adversary.restore(&arguments.out.join(adversary::FILE))?;
        let held_out = draw_held_out(&source(&validation, true), arguments.clips);
        let log = open_log(arguments)?;
        let seconds_before = restored.unwrap_or(0.0);
        let losses = (0.0, 0);
        Ok(Self {
            arguments,
            store,
            model,
            folder,
            optimizer,
            adversary,
            training,
            looks,
            words,
            held_out,
            log,
            losses,
            seconds_before,
        })
    }

    fn iterate(&mut self, share: f64) {
        let step = self.optimizer.step_count();
        let random = &mut Random::at(self.arguments.seed, step);
        let source = Source {
            pictures: &self.training,
            looks: &self.looks,
            words: &self.words,
            side: self.arguments.side,
            held_out: false,
            device: self.model.placement().device,
        };
        let clips = source.draw(random, self.arguments.clips);
        let arc = 0.5 * (1.0 + (std::f64::consts::PI * share).cos()) + 0.01;
        let rate = self.arguments.learning_rate * arc * ((step + 1) as f64 / WARM_UP).min(1.0);
        let loss = denoising::loss(&self.model, &clips, random, (&mut self.adversary, rate));
        loss.backward();
        self.optimizer.step(rate);
        self.losses = (self.losses.0 + loss.double_value(&[]), self.losses.1 + 1);
    }

    /// Validates the averaged weights, writes them into the model folder, and saves the checkpoint.
    fn report(&mut self, seconds: f64) -> anyhow::Result<()> {
        let seconds = self.seconds_before + seconds;
        let step = self.optimizer.step_count();
        let sheet = self.arguments.out.join(format!("sheet_{step:06}.png"));
        self.optimizer.swap_averages();
        let Validation { composite, network } = validate(&self.model, &self.held_out, &sheet)?;
        DiffusionModel::save(&self.store, self.folder.path(), Kind::Half)?;
        self.optimizer.swap_averages();
        let loss = self.losses.0 / self.losses.1.max(1) as f64;
        let row = format!("{step},{seconds:.0},{loss:.4},{},{}", network.row(), composite.row());
        println!("{row}");
        writeln!(self.log, "{row}")?;
        self.losses = (0.0, 0);
        self.adversary.save(&self.arguments.out.join(adversary::FILE))?;
        let file = self.arguments.out.join("checkpoint.safetensors");
        checkpoint::save(&file, &self.optimizer, &self.store, seconds)
    }
}

/// PyTorch's own first weights, a factor smaller than tch's: those have a gain of sqrt(2) for layers that each
/// end in a ReLU. Here a dozen follow each other without one; the hidden states grew to a standard deviation
/// of 20000, and what the blocks add to them vanished beside it. And at pure
/// noise the sample says nothing: as long as the networks listen to it, all they can learn is to keep still.
fn calm(store: &VarStore, latent_channels: i64) {
    let _no_grad = tch::no_grad_guard();
    for (key, mut variable) in store.variables() {
        if variable.dim() > 1 && !key.contains("embedding.weight") {
            let _ = variable.g_mul_scalar_(6f64.sqrt().recip());
        }
        if key.ends_with("net.conv_in.weight") {
            let _ = variable.narrow(1, 0, latent_channels).g_mul_scalar_(0.02);
        }
    }
}

/// Puts the folder's own weights into the store.
fn fill(store: &VarStore, folder: &ModelFolder) -> anyhow::Result<()> {
    let _no_grad = tch::no_grad_guard();
    let mut variables = store.variables();
    for component in ["unet", "controlnet", "vae", "text_encoder"] {
        for (key, value) in Tensor::read_safetensors(weights_file(&folder.path().join(component)))? {
            let key = format!("{component}.{key}");
            let variable = variables.get_mut(&key).with_context(|| format!("there is no {key}"))?;
            variable.f_copy_(&value)?;
        }
    }
    Ok(())
}

fn fit_autoencoder(store: &VarStore, source: &Source, seed: u64) {
    let pictures: Vec<Tensor> = (0..FIT_DRAWS)
        .flat_map(|draw| {
            let clips = source.draw(&mut Random::at(!seed, draw), 4);
            [clips.edited, clips.source]
        })
        .collect();
    patches::fit(store, &Tensor::cat(&pictures, 0));
}

fn draw_held_out(source: &Source, clips: usize) -> Vec<Clips> {
    (0..VALIDATION_DRAWS).map(|draw| source.draw(&mut Random::at(VALIDATION_SEED, draw), clips)).collect()
}

fn open_log(arguments: &Arguments) -> anyhow::Result<File> {
    let file = arguments.out.join("log.csv");
    let is_new = !file.exists();
    let mut log = OpenOptions::new().create(true).append(true).open(&file).context("log.csv")?;
    let header = format!("step,seconds,loss,{},{}", Score::header("network"), Score::header("composite"));
    println!("{header}");
    if is_new {
        writeln!(log, "{header}")?;
    }
    Ok(log)
}

/// The words that the text encoder can be taught.
fn vocabulary(folder: &ModelFolder) -> anyhow::Result<Vec<String>> {
    let file = folder.path().join("tokenizer/vocab.json");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let words: std::collections::BTreeMap<String, i64> = serde_json::from_str(&text)?;
    Ok(words.into_keys().filter(|word| !word.starts_with('<')).collect())
}

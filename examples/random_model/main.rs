//! Writes a model folder of Stable Diffusion 1.5's layout with random weights: for tests of what reads such folders, of
//! speed and of memory. Its pictures are noise.
//!
//! ```sh
//! cargo run --release --example random_model -- FOLDER --size tiny
//! ```

mod folder;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use tch::Kind;

#[derive(Parser)]
struct Arguments {
    /// The folder to write
    folder: PathBuf,
    /// Width of the networks
    #[arg(long, value_enum, default_value_t = Size::Tiny)]
    size: Size,
    /// The autoencoder
    #[arg(long, value_enum, default_value_t = Autoencoder::Kl)]
    vae: Autoencoder,
    /// The scheduler that the folder names
    #[arg(long, value_enum, default_value_t = SchedulerKind::Pndm)]
    scheduler: SchedulerKind,
    /// The same seed gives the same files
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Half precision in the files
    #[arg(long)]
    half: bool,
}

fn main() -> Result<()> {
    let Arguments { folder, size, vae, scheduler, seed, half } = Arguments::parse();
    let kind = if half { Kind::Half } else { Kind::Float };
    RandomModel { size, vae, scheduler, seed, kind }.write(&folder)?;
    println!("{}", folder.display());
    Ok(())
}

//! Fetches the weights of a model that cannot be brought along: what its `manifest.json` lists, from a model hub into
//! the user's data folder, where `model=NAME` finds it.
//!
//! ```sh
//! cargo run --release --example models -- sd15
//! ```
//!
//! A file that came in part is gone on with. `HF_ENDPOINT` names a mirror, `HF_HOME` another cache than
//! `~/.cache/huggingface`, `HF_TOKEN` a token for repositories that ask for one.

mod hub;

use std::{
    env,
    io::{IsTerminal, Write, stdin, stdout},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use gstflowvid::weights::data_folder;
use hub::{Hub, Manifest, install};

#[derive(Parser)]
struct Arguments {
    /// The model: a folder of `models/` that has a manifest of sources
    #[arg(default_value = "sd15")]
    model: String,
    /// The licences that are shown were read and are accepted
    #[arg(long)]
    accept_licence: bool,
    /// The folder to fill, in place of the user's data folder
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> Result<()> {
    let Arguments { model, accept_licence, folder } = Arguments::parse();
    let source = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/models")).join(&model);
    let manifest = Manifest::read(&source)?;
    let folder = folder.or_else(|| Some(data_folder()?.join(&model)));
    let folder = folder.context("neither XDG_DATA_HOME nor HOME is set: give --folder")?;
    let hub = Hub::of(|name| env::var(name).ok());
    let accept = |licences: &str| {
        print!("{licences}");
        Ok(accept_licence || asked(&mut stdout())?)
    };
    install(&manifest, &source, &hub, &folder, accept, |line| println!("{line}"))?;
    println!("{} is complete: set model={model}", folder.display());
    Ok(())
}

/// Whether somebody at a terminal accepts.
fn asked(terminal: &mut impl Write) -> Result<bool> {
    if !stdin().is_terminal() {
        bail!("nobody is there to accept these licences: read them and add --accept-licence");
    }
    write!(terminal, "Do you accept these licences? [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(hub::accepts(&answer))
}

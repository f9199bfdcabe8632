//! Puts a picture in every look of a model, or in the looks that prompts ask for, side by side with names.
//!
//! `cargo run --release --example look_sheet -- picture.png sheet.png`
//! `cargo run --release --example look_sheet -- picture.png sheet.png "a pencil sketch of a snowy wood"`

mod pictures;

use std::{path::PathBuf, time::Instant};

use anyhow::Context;
use clap::Parser;
use gstflowvid::{
    editors::looks::{Look, Looks},
    torch::Placement,
    weights::{ModelFolder, search_path},
};
use image::{RgbImage, imageops};
use pictures::tensors;

#[derive(Parser)]
struct Arguments {
    /// The picture, in any format that we read
    picture: PathBuf,
    /// The PNG to write
    sheet: PathBuf,
    /// Prompts; without them every look of the list
    prompts: Vec<String>,
    /// The model whose looks are shown
    #[arg(long, default_value = "nano")]
    model: String,
    /// Pictures side by side
    #[arg(long, default_value_t = 4)]
    columns: usize,
    /// Width of one picture in pixels
    #[arg(long, default_value_t = 448)]
    width: u32,
    /// Also writes every picture on its own into this folder
    #[arg(long)]
    folder: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Pixels between two pictures.
const GAP: u32 = 4;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let placement = Placement::resolve(&arguments.device, "f32")?;
    let looks = Looks::load(&ModelFolder::find(&arguments.model, &search_path(None))?, placement)?;
    let source = read(&arguments)?;
    let (width, height) = (source.width() as usize, source.height() as usize);
    let frames = tensors::from_samples(&source, width, height).to_device(placement.device);
    let mut sheet = vec![source];
    println!("{:>24}  picture 1, row by row from the left", "source");
    for (name, look) in wanted(&looks, &arguments.prompts) {
        let started = Instant::now();
        let edited = tensors::to_image(&looks.apply(&look, &frames, 1.0, None));
        println!("{name:>24}  picture {}, {:.0} ms", sheet.len() + 1, started.elapsed().as_secs_f64() * 1e3);
        if let Some(folder) = &arguments.folder {
            std::fs::create_dir_all(folder)?;
            edited.save(folder.join(format!("{name}.png")))?;
        }
        sheet.push(edited);
    }
    let sheet = arrange(&sheet, arguments.columns);
    sheet.save(&arguments.sheet).with_context(|| format!("{} cannot be written", arguments.sheet.display()))
}

fn read(arguments: &Arguments) -> anyhow::Result<RgbImage> {
    let picture = pictures::read(&arguments.picture)?;
    let height = picture.height() * arguments.width / picture.width();
    Ok(imageops::resize(&picture, arguments.width, height.max(1), imageops::FilterType::Lanczos3))
}

fn wanted(looks: &Looks, prompts: &[String]) -> Vec<(String, Look)> {
    let every = looks.names().filter_map(|name| Some((name.to_string(), looks.named(name)?)));
    let asked = prompts.iter().map(|prompt| {
        let understanding = looks.understand(prompt, "");
        understanding.warnings.iter().for_each(|warning| eprintln!("{warning}"));
        println!("{prompt}: {:?}", looks.describe(&understanding.look));
        (prompt.clone(), understanding.look)
    });
    if prompts.is_empty() { every.collect() } else { asked.collect() }
}

fn arrange(pictures: &[RgbImage], columns: usize) -> RgbImage {
    let (width, height) = pictures[0].dimensions();
    let rows = pictures.len().div_ceil(columns) as u32;
    let side = |count: u32, length: u32| count * (length + GAP) - GAP;
    let mut sheet = RgbImage::new(side(columns as u32, width), side(rows, height));
    for (index, picture) in pictures.iter().enumerate() {
        let (column, row) = ((index % columns) as i64, (index / columns) as i64);
        imageops::replace(
            &mut sheet,
            picture,
            column * i64::from(width + GAP),
            row * i64::from(height + GAP),
        );
    }
    sheet
}

//! Puts frames of a clip above the same frames of its edited version, so that both are seen at a glance.
//!
//! `cargo run --release --example contact_sheet -- source.mp4 result.mp4 sheet.png`
//!
//! Fails if the two do not have equally many frames.

mod streams;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use image::{RgbImage, imageops};
use streams::{Frames, picture};

#[derive(Parser)]
struct Arguments {
    /// The clip that was edited
    source: PathBuf,
    /// What became of it
    result: PathBuf,
    /// The PNG to write
    sheet: PathBuf,
    /// Frames side by side, the first and the last of the clip among them
    #[arg(long, default_value_t = 6)]
    columns: usize,
    /// Width of one frame in pixels
    #[arg(long, default_value_t = 320)]
    width: u32,
}

/// Pixels between two frames.
const GAP: u32 = 4;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    gst::init()?;
    let mut source = scaled(&arguments.source, arguments.width)?;
    let frames = source.try_fold(0, |count, sample| sample.map(|_| count + 1))?;
    ensure!(frames > 0, "{} holds no frame", arguments.source.display());
    let picked = pick(frames, arguments.columns);
    let source = tiles(&arguments.source, arguments.width, &picked, frames)?;
    let result = tiles(&arguments.result, arguments.width, &picked, frames)?;
    let sheet = arrange(&source, &result);
    sheet.save(&arguments.sheet).with_context(|| format!("{} cannot be written", arguments.sheet.display()))
}

/// `columns` frame numbers spread from the first frame to the last.
fn pick(frames: usize, columns: usize) -> Vec<usize> {
    let steps = columns.saturating_sub(1).max(1);
    (0..columns.min(frames)).map(|column| column * (frames - 1) / steps).collect()
}

/// The picked frames of a clip that should have `frames`.
fn tiles(clip: &Path, width: u32, picked: &[usize], frames: usize) -> anyhow::Result<Vec<RgbImage>> {
    let (mut kept, mut count) = (Vec::new(), 0);
    for (number, sample) in scaled(clip, width)?.enumerate() {
        let sample = sample?;
        count += 1;
        if picked.contains(&number) {
            kept.push(picture(&sample)?);
        }
    }
    ensure!(count == frames, "{} has {count} frames instead of {frames}", clip.display());
    Ok(kept)
}

fn arrange(source: &[RgbImage], result: &[RgbImage]) -> RgbImage {
    let (width, height) = source[0].dimensions();
    let columns = source.len() as u32;
    let mut sheet = RgbImage::new(columns * (width + GAP) - GAP, 2 * height + GAP);
    for (row, tiles) in [source, result].into_iter().enumerate() {
        for (column, tile) in tiles.iter().enumerate() {
            let (x, y) = (column as u32 * (width + GAP), row as u32 * (height + GAP));
            imageops::replace(&mut sheet, tile, x.into(), y.into());
        }
    }
    sheet
}

/// A clip's frames, scaled to `width` pixels.
fn scaled(clip: &Path, width: u32) -> anyhow::Result<Frames> {
    Frames::open(clip, &format!(",width={width},pixel-aspect-ratio=1/1"))
}

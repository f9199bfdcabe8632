//! Puts frames of a clip above the same frames of its edited versions, so that all are seen at a glance.
//!
//! ```sh
//! cargo run --release --example contact_sheet -- source.mp4 result.mp4 sheet.png
//! cargo run --release --example contact_sheet -- source.mp4 one.mp4 other.mp4 sheet.jpg --frames 0,24,60
//! ```
//!
//! Fails if they do not have equally many frames.

mod streams;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use image::{RgbImage, imageops};
use streams::{Frames, picture};

#[derive(Parser)]
struct Arguments {
    /// The clip that was edited, what became of it, one or several, and at last the PNG or JPEG to write
    #[arg(num_args = 3.., required = true)]
    files: Vec<PathBuf>,
    /// Frames side by side, the first and the last of the clip among them
    #[arg(long, default_value_t = 6)]
    columns: usize,
    /// Numbers of the frames, with commas between, instead of such columns
    #[arg(long, value_delimiter = ',')]
    frames: Vec<usize>,
    /// Width of one frame in pixels
    #[arg(long, default_value_t = 320)]
    width: u32,
}

/// Pixels between two frames.
const GAP: u32 = 4;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    gst::init()?;
    let (sheet, clips) = arguments.files.split_last().context("no file is named")?;
    let mut source = scaled(&clips[0], arguments.width)?;
    let frames = source.try_fold(0, |count, sample| sample.map(|_| count + 1))?;
    ensure!(frames > 0, "{} holds no frame", clips[0].display());
    let picked = match arguments.frames[..] {
        [] => pick(frames, arguments.columns),
        _ => arguments.frames.clone(),
    };
    ensure!(picked.iter().all(|&frame| frame < frames), "{} has {frames} frames", clips[0].display());
    let rows = clips.iter().map(|clip| tiles(clip, arguments.width, &picked, frames));
    let picture = arrange(&rows.collect::<anyhow::Result<Vec<_>>>()?);
    picture.save(sheet).with_context(|| format!("{} cannot be written", sheet.display()))
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

/// A row a clip.
fn arrange(rows: &[Vec<RgbImage>]) -> RgbImage {
    let (width, height) = rows[0][0].dimensions();
    let side = |count: usize, length: u32| count as u32 * (length + GAP) - GAP;
    let mut sheet = RgbImage::new(side(rows[0].len(), width), side(rows.len(), height));
    for (row, tiles) in rows.iter().enumerate() {
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

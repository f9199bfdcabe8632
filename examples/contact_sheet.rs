//! Puts frames of a clip above the same frames of its edited version, so that both are seen at a glance.
//!
//! `cargo run --release --example contact_sheet -- source.mp4 result.mp4 sheet.png`
//!
//! Fails if the two do not have equally many frames.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use gst::prelude::*;
use gst_app::AppSink;
use image::{RgbImage, imageops};

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
    let mut frames = 0;
    decode(&arguments.source, arguments.width, |_, _| {
        frames += 1;
        Ok(())
    })?;
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
    decode(clip, width, |number, sample| {
        count += 1;
        if picked.contains(&number) {
            kept.push(picture(sample)?);
        }
        Ok(())
    })?;
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

/// Calls `each` with every frame's number and picture, scaled to `width` pixels.
fn decode(
    clip: &Path,
    width: u32,
    mut each: impl FnMut(usize, &gst::Sample) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let pipeline = gst::parse::launch(&format!(
        "filesrc name=source ! decodebin ! videoconvert ! videoscale \
         ! video/x-raw,format=RGB,width={width},pixel-aspect-ratio=1/1 ! appsink name=sink sync=false max-buffers=4"
    ))?;
    let bin = pipeline.downcast_ref::<gst::Bin>().context("a pipeline is a bin")?;
    bin.by_name("source").context("no source")?.set_property("location", clip);
    let sink = bin.by_name("sink").and_downcast::<AppSink>().context("no sink")?;
    let _ = pipeline.set_state(gst::State::Playing); // what went wrong stands on the bus
    let mut number = 0;
    while let Ok(sample) = sink.pull_sample() {
        each(number, &sample)?;
        number += 1;
    }
    let error = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    pipeline.set_state(gst::State::Null)?;
    match error.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => bail!("{} cannot be read: {}", clip.display(), error.error()),
        _ => Ok(()),
    }
}

fn picture(sample: &gst::Sample) -> anyhow::Result<RgbImage> {
    let format = sample.caps().and_then(|caps| caps.structure(0)).context("a frame without caps")?;
    let (width, height) = (format.get::<i32>("width")? as usize, format.get::<i32>("height")? as usize);
    let pixels = sample.buffer().context("a sample without a frame")?.map_readable()?;
    let stride = pixels.len() / height; // GStreamer pads RGB rows to 4 bytes
    let rows = pixels.chunks_exact(stride).flat_map(|row| &row[..width * 3]).copied().collect();
    RgbImage::from_raw(width as u32, height as u32, rows).context("a frame of the wrong size")
}

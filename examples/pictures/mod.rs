//! Pictures in files and as frames; as tensors where there is torch.
#![allow(dead_code)] // each example uses its part

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use gstflowvid::engine::{Frame, Picture, Samples};
use image::RgbImage;

#[cfg(feature = "torch")]
pub mod tensors;

/// What lies in `folder`, in the order of the names.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

pub fn read(file: &Path) -> anyhow::Result<RgbImage> {
    Ok(image::open(file).with_context(|| format!("{} is no picture", file.display()))?.into_rgb8())
}

/// - `stream_time`: nanoseconds
pub fn frame(file: &Path, stream_time: u64) -> anyhow::Result<Frame> {
    Ok(frame_of(read(file)?, stream_time))
}

/// The same of a picture that was read.
pub fn frame_of(image: RgbImage, stream_time: u64) -> Frame {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let picture = Arc::new(Picture { width, height, samples: Samples::U8(image.into_raw()) });
    Frame { picture, stream_time, starts_shot: false }
}

/// The pictures as frames of 40 ms.
pub fn frames(files: &[PathBuf]) -> anyhow::Result<Vec<Frame>> {
    files.iter().enumerate().map(|(index, file)| frame(file, index as u64 * 40_000_000)).collect()
}

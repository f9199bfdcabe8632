//! Videos as they are read: files that GStreamer decodes, or folders of pictures.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use image::{RgbImage, imageops};

use crate::{
    pictures,
    streams::{self, Frames},
};

/// 4:2:0 has no odd sizes, so that an encoder may have lost a row and a column.
const LOST: u32 = 1;

/// A video and where it was read from.
pub struct Video {
    file: PathBuf,
    frames: Box<dyn Iterator<Item = anyhow::Result<RgbImage>>>,
}

impl Video {
    /// # Errors
    /// Where there is no such file or folder, or it holds no picture.
    pub fn open(file: &Path) -> anyhow::Result<Self> {
        ensure!(file.exists(), "there is no video {}", file.display());
        let frames: Box<dyn Iterator<Item = _>> = if file.is_dir() {
            Box::new(pictures::files(file)?.into_iter().map(|file| pictures::read(&file)))
        } else {
            Box::new(Frames::open(file, "")?.map(|sample| streams::picture(&sample?)))
        };
        Ok(Self { file: file.into(), frames })
    }

    fn name(&self) -> std::path::Display<'_> {
        self.file.display()
    }
}

/// Videos of one scene, frame by frame together.
pub struct Together {
    videos: Vec<Video>,
    /// Width and height of each one's frames.
    sizes: Option<Vec<(u32, u32)>>,
    frames: usize,
}

impl Together {
    pub fn new(videos: Vec<Video>) -> Self {
        Self { videos, sizes: None, frames: 0 }
    }

    /// A frame of each, `None` where all have ended.
    fn read(&mut self) -> anyhow::Result<Option<Vec<RgbImage>>> {
        let frames = self.videos.iter_mut().map(|video| video.frames.next().transpose());
        let frames = frames.collect::<anyhow::Result<Vec<_>>>()?;
        let ended = frames.iter().position(Option::is_none);
        let going_on = frames.iter().position(Option::is_some);
        match (ended, going_on) {
            (_, None) => Ok(None),
            (None, _) => self.of_one_size(frames.into_iter().flatten().collect()).map(Some),
            (Some(ended), Some(going_on)) => bail!(
                "{} ends after {} frames, {} goes on: as many frames are needed of both",
                self.videos[ended].name(),
                self.frames,
                self.videos[going_on].name()
            ),
        }
    }

    fn of_one_size(&mut self, frames: Vec<RgbImage>) -> anyhow::Result<Vec<RgbImage>> {
        let sizes = self.sizes.get_or_insert_with(|| frames.iter().map(RgbImage::dimensions).collect());
        for ((video, frame), size) in self.videos.iter().zip(&frames).zip(&*sizes) {
            let (found, number) = (frame.dimensions(), self.frames);
            ensure!(
                found == *size,
                "{}: frame {number} is {}, not {}",
                video.name(),
                text(found),
                text(*size)
            );
        }
        let least = |side: fn(&(u32, u32)) -> u32| sizes.iter().map(side).min().unwrap_or_default();
        let common = (least(|size| size.0), least(|size| size.1));
        for (video, size) in self.videos.iter().zip(&*sizes) {
            let fits = size.0 - common.0 <= LOST && size.1 - common.1 <= LOST;
            ensure!(
                fits,
                "{} is {}, but another is {}: only videos of one size can be compared",
                video.name(),
                text(*size),
                text(common)
            );
        }
        self.frames += 1;
        Ok(frames.into_iter().map(|frame| cropped(frame, common)).collect())
    }
}

impl Iterator for Together {
    type Item = anyhow::Result<Vec<RgbImage>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn cropped(frame: RgbImage, size: (u32, u32)) -> RgbImage {
    if frame.dimensions() == size {
        frame
    } else {
        imageops::crop_imm(&frame, 0, 0, size.0, size.1).to_image()
    }
}

fn text((width, height): (u32, u32)) -> String {
    format!("{width}x{height}")
}

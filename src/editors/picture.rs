//! The user's own pictures: edited frames, and masks that say where a frame is edited.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbaImage, metadata::Orientation};
use tch::{Device, Kind, Tensor};

use crate::conditions::filters::{luma, resize};

/// More than this on a side is no frame: a header that says so is damaged, or a trap.
const LONGEST_SIDE: u32 = 16_384;
/// What decoding may allocate.
const MOST_BYTES: u64 = 1 << 30;
/// How far the aspects may differ, as a share: a pixel or two lost in an editor is no reason to refuse.
const ASPECT_TOLERANCE: f64 = 0.02;

/// Which property names the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `edited-frame`.
    Edit,
    /// `mask-location`.
    Mask,
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::Edit => "edited-frame",
            Self::Mask => "mask-location",
        })
    }
}

/// Why a picture cannot be taken; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EditorError {
    /// No such file, or it may not be read.
    #[error(
        "{purpose} {file} cannot be opened: {cause}. Set {purpose} to a picture file (PNG, JPEG, WebP, TIFF or BMP)"
    )]
    Unopened {
        /// What it was to be.
        purpose: Purpose,
        /// Which file.
        file: PathBuf,
        /// The system's own words.
        cause: std::io::Error,
    },
    /// The file is empty, is something else, or is damaged.
    #[error(
        "{purpose} {file} is no picture that can be read ({cause}). Save it as PNG, JPEG, WebP, TIFF or BMP"
    )]
    NoPicture {
        /// What it was to be.
        purpose: Purpose,
        /// Which file.
        file: PathBuf,
        /// The decoder's own words.
        cause: ImageError,
    },
    /// Too many pixels.
    #[error(
        "{purpose} {file} is too large ({cause}): at most {LONGEST_SIDE} pixels a side and 1 GiB in memory. Save it at the video's size"
    )]
    TooLarge {
        /// What it was to be.
        purpose: Purpose,
        /// Which file.
        file: PathBuf,
        /// The decoder's own words.
        cause: ImageError,
    },
    /// Another shape than the video's.
    #[error(
        "{purpose} {file} is {found_width}x{found_height}, the video {width}x{height}: their shapes differ. \
         Edit an unscaled frame of the video, or crop the picture to the video's shape (for example {crop_width}x{crop_height})"
    )]
    Aspect {
        /// What it was to be.
        purpose: Purpose,
        /// Which file.
        file: PathBuf,
        /// The picture's width.
        found_width: u32,
        /// The picture's height.
        found_height: u32,
        /// The video's width.
        width: usize,
        /// The video's height.
        height: usize,
        /// The largest part of the picture that has the video's shape: width.
        crop_width: u32,
        /// The same: height.
        crop_height: u32,
    },
}

/// A picture of the user's at the size that the engine works at.
#[derive(Debug)]
pub struct EditedPicture {
    /// `[1, 3, H, W]`, 0..1; black where the alpha is 0.
    pub picture: Tensor,
    /// Its own alpha channel, `[1, 1, H, W]`, 0..1, where it is not opaque.
    pub alpha: Option<Tensor>,
}

impl EditedPicture {
    /// The edit of `source`, which shows where the picture is transparent, `[1, 3, H, W]`.
    pub fn upon(&self, source: &Tensor) -> Tensor {
        match &self.alpha {
            Some(alpha) => source.where_self(&alpha.eq(0.0), &self.picture),
            None => self.picture.shallow_clone(),
        }
    }
}

/// Reads `file` as an edited frame of a video of `video` pixels (width, height); a camera's orientation is heeded.
///
/// - `size`: height and width of the result, on `device`
///
/// # Errors
/// See [`EditorError`].
pub fn load(
    file: &Path,
    video: (usize, usize),
    size: (i64, i64),
    device: Device,
) -> Result<EditedPicture, EditorError> {
    let picture = decode(file, Purpose::Edit)?;
    check_aspect(file, &picture, video, Purpose::Edit)?;
    let samples = samples(&picture.into_rgba8()).to_device(device);
    let (colour, alpha) = (samples.narrow(1, 0, 3), samples.narrow(1, 3, 1));
    if alpha.min().double_value(&[]) == 1.0 {
        return Ok(EditedPicture { picture: resize(&colour, size).clamp(0.0, 1.0), alpha: None });
    }
    // The colour of transparent pixels is anything: it must not get into those beside them.
    let (weighted, alpha) = (resize(&(colour * &alpha), size), resize(&alpha, size).clamp(0.0, 1.0));
    let picture = (weighted / alpha.clamp_min(LEAST_ALPHA)).clamp(0.0, 1.0);
    Ok(EditedPicture { picture, alpha: Some(alpha) })
}

/// Half of what eight bits can tell from nothing.
const LEAST_ALPHA: f64 = 0.5 / 255.0;

/// Reads `file` as a mask of a frame of a video of `video` pixels (width, height): white is 1, black and transparent
/// are 0.
///
/// - `size`: height and width of the result, on `device`
/// - returns `[1, 1, H, W]`, 0..1
///
/// # Errors
/// See [`EditorError`].
pub fn load_mask(
    file: &Path,
    video: (usize, usize),
    size: (i64, i64),
    device: Device,
) -> Result<Tensor, EditorError> {
    let picture = decode(file, Purpose::Mask)?;
    check_aspect(file, &picture, video, Purpose::Mask)?;
    let samples = samples(&picture.into_rgba8()).to_device(device);
    let mask = luma(&samples.narrow(1, 0, 3)) * samples.narrow(1, 3, 1);
    Ok(resize(&mask, size).clamp(0.0, 1.0))
}

fn decode(file: &Path, purpose: Purpose) -> Result<DynamicImage, EditorError> {
    let file = || file.to_path_buf();
    let opened =
        File::open(file()).map_err(|cause| EditorError::Unopened { purpose, file: file(), cause })?;
    read(opened).map_err(|cause| match cause {
        ImageError::Limits(_) => EditorError::TooLarge { purpose, file: file(), cause },
        _ => EditorError::NoPicture { purpose, file: file(), cause },
    })
}

/// The format is what the content says, not what the name says.
fn read(opened: File) -> Result<DynamicImage, ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    let mut reader = ImageReader::new(BufReader::new(opened)).with_guessed_format()?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn check_aspect(
    file: &Path,
    picture: &DynamicImage,
    video: (usize, usize),
    purpose: Purpose,
) -> Result<(), EditorError> {
    let (found_width, found_height) = (picture.width(), picture.height());
    let (width, height) = video;
    let aspect = width as f64 / height as f64;
    let ratio = f64::from(found_width) / f64::from(found_height) / aspect;
    if (ratio - 1.0).abs() <= ASPECT_TOLERANCE {
        return Ok(());
    }
    let crop_width = f64::from(found_width).min(f64::from(found_height) * aspect);
    Err(EditorError::Aspect {
        purpose,
        file: file.into(),
        found_width,
        found_height,
        width,
        height,
        crop_width: crop_width.round() as u32,
        crop_height: (crop_width / aspect).round() as u32,
    })
}

/// `[1, 4, H, W]`, 0..1.
fn samples(picture: &RgbaImage) -> Tensor {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let samples = Tensor::from_slice(picture.as_raw()).view([1, height, width, 4]);
    samples.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0
}

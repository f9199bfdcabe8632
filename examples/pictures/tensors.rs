//! Pictures as tensors.

use gstflowvid::engine::{Picture, Samples};
use image::RgbImage;
use tch::{Kind, Tensor};

/// `samples` of `width` x `height` pixels as `[1, 3, H, W]`, 0..1.
pub fn from_samples(samples: &[u8], width: usize, height: usize) -> Tensor {
    let rows = Tensor::from_slice(samples).view([1, height as i64, width as i64, 3]);
    rows.permute([0, 3, 1, 2]).to_kind(Kind::Float).contiguous() / 255.0
}

/// A picture of eight bits as `[1, 3, H, W]`, 0..1.
pub fn from_picture(picture: &Picture) -> Tensor {
    let Samples::U8(samples) = &picture.samples else { unreachable!("only pictures of eight bits are read") };
    from_samples(samples, picture.width, picture.height)
}

/// As `[1, 3, H, W]`, 0..1.
pub fn from_image(picture: &RgbImage) -> Tensor {
    from_samples(picture, picture.width() as usize, picture.height() as usize)
}

/// The inverse; values beyond 0..1 are clipped.
pub fn to_image(picture: &Tensor) -> RgbImage {
    let [.., height, width] = picture.size()[..] else { unreachable!("a picture is 4-dimensional") };
    let rows = (picture.clamp(0.0, 1.0) * 255.0).round().to_kind(Kind::Uint8).permute([0, 2, 3, 1]);
    let samples = Vec::<u8>::try_from(rows.contiguous().flatten(0, -1)).expect("bytes");
    RgbImage::from_raw(width as u32, height as u32, samples).expect("as many samples as pixels")
}

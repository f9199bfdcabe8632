//! Host pictures to tensors and back, and the size that the model works at.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::{Picture, Samples};

const U8_MAX: f64 = 255.0;
const U16_MAX: f64 = 65535.0;
/// Both sides of the processing size are multiples of this: four halvings.
const MULTIPLE: usize = 16;
/// Below this the flow's pyramid has nothing to match.
const MIN_SIDE: usize = 64;

/// The picture as `[1, 3, H, W]`, `Float`, 0..1.
pub fn to_tensor(picture: &Picture, device: Device) -> Tensor {
    let size = [picture.height as i64, picture.width as i64, 3];
    let (samples, max) = match &picture.samples {
        Samples::U8(samples) => (Tensor::from_slice(samples), U8_MAX),
        Samples::U16(samples) => {
            let samples: Vec<i32> = samples.iter().map(|&sample| sample.into()).collect();
            (Tensor::from_slice(&samples), U16_MAX)
        }
    };
    // Parted into planes while a sample is a byte.
    let planes = uploaded(&samples, device).view(size).permute([2, 0, 1]).unsqueeze(0).contiguous();
    planes.to_kind(Kind::Float) / max
}

/// To a card from pinned memory, so that nobody waits for the copy.
fn uploaded(samples: &Tensor, device: Device) -> Tensor {
    match device {
        Device::Cuda(_) => samples.pin_memory(device).to_device_(device, samples.kind(), true, false),
        _ => samples.to_device(device),
    }
}

/// The host picture of `image` (`[1, 3, H, W]`, values outside 0..1 are clipped), with as many bits as
/// `like` has.
pub fn to_picture(image: &Tensor, like: &Picture) -> Picture {
    let max = if matches!(like.samples, Samples::U8(_)) { U8_MAX } else { U16_MAX };
    let scaled = (image.squeeze_dim(0) * max).round_().clamp_(0.0, max);
    let flat =
        |kind| scaled.to_kind(kind).permute([1, 2, 0]).contiguous().to_device(Device::Cpu).flatten(0, -1);
    let samples = match like.samples {
        Samples::U8(_) => Samples::U8(values(&flat(Kind::Uint8))),
        Samples::U16(_) => {
            let wide: Vec<i32> = values(&flat(Kind::Int));
            Samples::U16(wide.into_iter().map(|sample| sample as u16).collect())
        }
    };
    Picture { width: like.width, height: like.height, samples }
}

fn values<T: tch::kind::Element + Copy>(flat: &Tensor) -> Vec<T>
where
    Vec<T>: for<'a> TryFrom<&'a Tensor, Error = tch::TchError>,
{
    Vec::try_from(flat).expect("a flat tensor of the element's own kind")
}

/// Height and width that a picture of `width` and `height` is worked on at: the longer side is `processing_size`, but no
/// more than the picture's own; both sides are multiples of 16 and at least 64.
pub fn processing_size((width, height): (usize, usize), processing_size: usize) -> (i64, i64) {
    let longer = width.max(height) as f64;
    let scale = processing_size as f64 / longer;
    let side = |length: usize| {
        let scaled = length as f64 * scale.min(1.0);
        let multiples = (scaled / MULTIPLE as f64).round() as usize;
        (multiples * MULTIPLE).max(MIN_SIDE) as i64
    };
    (side(height), side(width))
}

/// A source frame at both sizes.
#[derive(Debug)]
pub struct Source {
    /// As it came.
    pub picture: Arc<Picture>,
    /// At the processing size, `[1, 3, h, w]`.
    pub image: Tensor,
    /// Nanoseconds; decides the frame's noise.
    pub stream_time: u64,
}

impl Source {
    /// Width and height of the picture as it came.
    pub fn video_size(&self) -> (usize, usize) {
        (self.picture.width, self.picture.height)
    }

    /// Height and width at the processing size.
    pub fn processing_size(&self) -> (i64, i64) {
        let [.., height, width] = self.image.size()[..] else { unreachable!("an image is 4-dimensional") };
        (height, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(samples: Samples) -> Picture {
        Picture { width: 4, height: 2, samples }
    }

    #[test]
    fn a_picture_survives_the_way_there_and_back() {
        let eight = gradient(Samples::U8((0..24).map(|i| i * 10).collect()));
        let sixteen = gradient(Samples::U16((0..24).map(|i| i * 2730 + 1).collect()));
        for picture in [eight, sixteen] {
            assert_eq!(to_picture(&to_tensor(&picture, Device::Cpu), &picture), picture);
        }
    }

    #[test]
    fn the_processing_size_keeps_the_aspect_and_is_never_larger_than_the_picture() {
        assert_eq!(processing_size((1280, 720), 448), (256, 448));
        assert_eq!(processing_size((720, 1280), 448), (448, 256));
        assert_eq!(processing_size((320, 240), 448), (240, 320));
        assert_eq!(processing_size((1, 1), 448), (64, 64));
        assert_eq!(processing_size((4000, 10), 448), (64, 448));
    }
}

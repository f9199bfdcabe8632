//! How well an edited video holds: measures that need the source's motion, and what they are worth together.
//!
//! Motion and visibility come from the source alone, so that every result is judged on the same pixels. All is
//! computed in floating point: a difference of bytes would wrap around. No measure is a score by itself: a blurred
//! video has a small warp error, an unedited one flickers as little as its source, and a frozen one is perfectly
//! sharp. Each of them fails by another measure.
#![allow(dead_code, unused_imports)] // each example uses its part

mod drift;
mod mean;
mod measures;
mod meter;
mod motion;

use std::ops::Index;

use gstflowvid::conditions::filters::{luma, resize};
pub use mean::{Mean, ratio};
pub use measures::Measures;
pub use meter::{FrameSums, Meter};
pub use motion::{Estimator, FAR, MotionFinder, Numbered, Place, Sights, is_judged};
use tch::Tensor;

/// A frame as it is measured.
#[derive(Debug)]
pub struct View {
    /// At the working size, `[1, 3, h, w]`, 0..1.
    pub picture: Tensor,
    /// Squared Laplacian of the luma at the video's own size, where a softness shows that the working size hides,
    /// averaged to the working size: `[1, 1, h, w]`. Of frames that [`is_judged`] tells of.
    sharpness: Option<Tensor>,
}

impl View {
    /// - `frame`: `[1, 3, H, W]`, 0..1, the video's own size
    /// - `size`: height and width to measure at
    pub fn new(frame: &Tensor, size: (i64, i64), number: usize) -> Self {
        let sharpness = is_judged(number).then(|| resize(&sharpness(frame), size));
        Self { picture: resize(frame, size), sharpness }
    }

    /// The same tensors.
    pub fn shallow_clone(&self) -> Self {
        let sharpness = self.sharpness.as_ref().map(Tensor::shallow_clone);
        Self { picture: self.picture.shallow_clone(), sharpness }
    }
}

/// A video's frames by their numbers, as far as they are needed: all of them or those of late.
pub trait Views: Index<usize, Output = View> {}

impl<V: Index<usize, Output = View> + ?Sized> Views for V {}

/// Frames of one size as they are measured, at that size.
pub fn views(frames: &[Tensor]) -> Vec<View> {
    let view = |(number, frame): (usize, &Tensor)| {
        let [.., height, width] = frame.size()[..] else { unreachable!("a picture is 4-dimensional") };
        View::new(frame, (height, width), number)
    };
    frames.iter().enumerate().map(view).collect()
}

/// Squared Laplacian of the luma, `[1, 1, H, W]`.
pub fn sharpness(picture: &Tensor) -> Tensor {
    let luma = luma(picture);
    let [.., height, width] = luma.size()[..] else { unreachable!("a picture is 4-dimensional") };
    let padded = luma.replication_pad2d([1, 1, 1, 1]);
    let at = |y: i64, x: i64| padded.narrow(2, y, height).narrow(3, x, width);
    (at(0, 1) + at(2, 1) + at(1, 0) + at(1, 2) - luma * 4.0).square()
}

#[cfg(test)]
pub mod tests;

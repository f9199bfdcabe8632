//! What an inpainting ControlNet is shown.

use tch::Tensor;

/// Where a pixel counts as seen.
const SEEN: f64 = 0.5;
/// Stands for a pixel that is to be drawn.
const HOLE: f64 = -1.0;

/// The warped edits with their holes marked. ControlNet 1.1's inpainting network was trained on such pictures, half
/// of them with the holes that optical flow leaves: they are FlowVid's flow condition.
///
/// - `composite`: `[n, 3, H, W]`, 0..1
/// - `confidence`: `[n, 1, H, W]`, 0..1; below one half is a hole
/// - returns `[n, 3, H, W]`, 0..1, -1 in the holes
///
/// Source: diffusers' `make_inpaint_condition`.
pub fn inpaint_condition(composite: &Tensor, confidence: &Tensor) -> Tensor {
    composite.masked_fill(&confidence.lt(SEEN), HOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_edit_sees_is_a_hole_in_all_channels() {
        let composite = Tensor::from_slice(&[0.2f32, 0.4, 0.6, 0.8, 0.1, 0.3]).view([1, 3, 1, 2]);
        let confidence = Tensor::from_slice(&[0.5f32, 0.49]).view([1, 1, 1, 2]);
        let expected = Tensor::from_slice(&[0.2f32, -1.0, 0.6, -1.0, 0.1, -1.0]).view([1, 3, 1, 2]);
        assert_eq!(inpaint_condition(&composite, &confidence), expected);
    }
}

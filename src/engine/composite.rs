//! What the warped edits together can tell about a frame, and how far each pixel is trusted.

use tch::Tensor;

/// An edited frame sampled along the flow onto another frame.
#[derive(Debug)]
pub struct WarpedEdit {
    /// `[1, 3, h, w]`, 0..1.
    pub picture: Tensor,
    /// `[1, 1, h, w]`, 0..1: how far each pixel shows what it should.
    pub confidence: Tensor,
}

/// A frame's warped edits in one picture.
#[derive(Debug)]
pub struct Composite {
    weighted: Tensor, // [1, 3, h, w], each edit times the share with which it is seen
    /// `[1, 1, h, w]`, 0..1: the share of each pixel that some edit sees.
    pub confidence: Tensor,
}

/// Keeps the division finite where nothing is seen.
const MIN_CONFIDENCE: f64 = 1e-3;

impl Composite {
    /// Blends `edits`, the most trusted first: each fills what those before it do not see.
    ///
    /// # Panics
    /// If `edits` is empty: a frame that is not its shot's first has one before it.
    ///
    /// Source: Rerender-A-Video's pixel-aware fusion, with the anchor before the previous frame.
    pub fn of(edits: &[WarpedEdit]) -> Self {
        let mut unseen = edits[0].confidence.ones_like();
        let mut weighted = edits[0].picture.zeros_like();
        for edit in edits {
            let share = &unseen * &edit.confidence;
            weighted += &share * &edit.picture;
            unseen -= share;
        }
        Self { weighted, confidence: 1.0 - unseen }
    }

    /// The edits' own colours, `[1, 3, h, w]`, 0..1; meaningless where the confidence is near 0.
    pub fn picture(&self) -> Tensor {
        &self.weighted / self.confidence.clamp_min(MIN_CONFIDENCE)
    }

    /// The composite with `proposal` where no edit sees, `[1, 3, h, w]`.
    pub fn filled(&self, proposal: &Tensor) -> Tensor {
        &self.weighted + (1.0 - &self.confidence) * proposal
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn edit(value: f64, confidence: &[f32]) -> WarpedEdit {
        let confidence = Tensor::from_slice(confidence).view([1, 1, 1, -1]);
        let picture = Tensor::ones([1, 3, 1, confidence.size()[3]], (Kind::Float, Device::Cpu)) * value;
        WarpedEdit { picture, confidence }
    }

    fn row(image: &Tensor) -> Vec<f64> {
        (0..image.size()[3]).map(|x| image.double_value(&[0, 0, 0, x])).collect()
    }

    #[test]
    fn the_anchor_wins_then_the_previous_keyframe_then_the_proposal() {
        let anchor = edit(1.0, &[1.0, 0.0, 0.0, 0.5]);
        let previous = edit(0.5, &[1.0, 1.0, 0.0, 0.0]);
        let composite = Composite::of(&[anchor, previous]);
        assert_eq!(row(&composite.confidence), [1.0, 1.0, 0.0, 0.5]);
        let proposal = Tensor::zeros([1, 3, 1, 4], (Kind::Float, Device::Cpu));
        assert_eq!(row(&composite.filled(&proposal)), [1.0, 0.5, 0.0, 0.5]);
        assert_eq!(row(&composite.picture())[3], 1.0, "an edit that sees nothing leaves no trace");
    }
}

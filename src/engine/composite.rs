//! What the warped edits together can tell about a frame, and how far each pixel is trusted.

use tch::Tensor;

use super::known::TONE;
use crate::conditions::filters::{gaussian, luma, smoothstep};

/// An edited frame sampled along the flow onto another frame.
#[derive(Debug)]
pub struct WarpedEdit {
    /// `[1, 3, h, w]`, 0..1.
    pub picture: Tensor,
    /// Where it is edited, `[1, 1, h, w]`, 0..1; `None`: everywhere.
    pub mask: Option<Tensor>,
    /// `[1, 1, h, w]`, 0..1: how far each pixel shows what it should.
    pub confidence: Tensor,
}

impl WarpedEdit {
    fn mask_or_ones(&self) -> Tensor {
        self.mask.as_ref().map_or_else(|| self.confidence.ones_like(), Tensor::shallow_clone)
    }
}

/// A frame's warped edits in one picture.
#[derive(Debug)]
pub struct Composite {
    weighted: Tensor, // [1, 3, h, w], each edit times the share with which it is seen
    /// `[1, 1, h, w]`, 0..1: the share of each pixel that some edit sees.
    pub confidence: Tensor,
    /// Where the frame is edited, `[1, 1, h, w]`, 0..1: what no edit sees is not. `None`: everywhere.
    pub mask: Option<Tensor>,
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
        let mut mask = edits.iter().any(|edit| edit.mask.is_some()).then(|| unseen.zeros_like());
        for edit in edits {
            let share = &unseen * &edit.confidence;
            weighted += &share * &edit.picture;
            if let Some(mask) = &mut mask {
                *mask += &share * edit.mask_or_ones();
            }
            unseen -= share;
        }
        Self { weighted, confidence: 1.0 - unseen, mask }
    }

    /// Blends two edits of one frame, each weighted by its confidence and by its nearness in time, squared; `time`
    /// runs from 0 at the first to 1 at the second. Textures that differ would fade where they are blended, once between
    /// any two keyframes: the blend keeps their contrast.
    ///
    /// Source: the contrast, Heitz and Neyret, "High-performance by-example noise".
    pub fn between(first: &WarpedEdit, second: &WarpedEdit, time: f64) -> Self {
        let weight = |edit: &WarpedEdit, nearness: f64| (&edit.confidence * nearness).square() + 1e-9;
        let (a, b) = (weight(first, 1.0 - time), weight(second, time));
        let mixed = |one: &Tensor, other: &Tensor| (&a * one + &b * other) / (&a + &b);
        let masked = first.mask.is_some() || second.mask.is_some();
        let blend = mixed(&first.picture, &second.picture);
        let [own, one, other] = contrasts([&blend, &first.picture, &second.picture]);
        Self::of(&[WarpedEdit {
            picture: with_contrast(&blend, &own, &mixed(&one, &other)),
            mask: masked.then(|| mixed(&first.mask_or_ones(), &second.mask_or_ones())),
            confidence: first.confidence.maximum(&second.confidence),
        }])
    }

    /// As the edit of the frame that it is.
    pub fn as_edit(&self) -> WarpedEdit {
        let whole = |mask: &Tensor| mask / self.confidence.clamp_min(MIN_CONFIDENCE);
        WarpedEdit {
            picture: self.picture(),
            mask: self.mask.as_ref().map(whole),
            confidence: self.confidence.shallow_clone(),
        }
    }

    /// The edits' own colours, `[1, 3, h, w]`, 0..1; meaningless where the confidence is near 0.
    pub fn picture(&self) -> Tensor {
        &self.weighted / self.confidence.clamp_min(MIN_CONFIDENCE)
    }

    /// Where it tells something of the edit, `[1, 1, h, w]`, 0..1.
    pub fn tells(&self) -> &Tensor {
        self.mask.as_ref().unwrap_or(&self.confidence)
    }

    /// Of as much confidence, and all that it shows is `proposal`, `[1, 3, h, w]`, 0..1. What can be computed for the very frame
    /// without a flicker is better than what was carried to it, which is out of place by parts of a pixel.
    pub fn showing(self, proposal: &Tensor) -> Self {
        Self { weighted: proposal * &self.confidence, ..self }
    }

    /// With the tone of `proposal`, the edit of the very frame, and its own texture. Light that changes, and content that
    /// changes so slowly that it passes every test from one keyframe to the next (a mouth that opens), would else stay as it was.
    ///
    /// - `proposal`: `[1, 3, h, w]`, 0..1
    pub fn toned(self, proposal: &Tensor) -> Self {
        let missing = gaussian(&(proposal - self.blended(proposal)), TONE);
        Self { weighted: self.weighted + missing * &self.confidence, ..self }
    }

    /// The composite with `proposal` where no edit sees, `[1, 3, h, w]`. Tones pass softly into each other; of two textures that
    /// meet, each keeps its own side, for their mean would be a blur along the border.
    ///
    /// Source: Burt and Adelson, "A multiresolution spline with application to image mosaics", with two bands.
    pub fn filled(&self, proposal: &Tensor) -> Tensor {
        let blend = self.blended(proposal);
        let weight = smoothstep(&self.confidence, SEEN_LITTLE, SEEN_WELL) - &self.confidence;
        // What is not seen must not count as the tone of what is seen beside it.
        let tone =
            gaussian(&self.weighted, TEXTURE) / gaussian(&self.confidence, TEXTURE).clamp_min(MIN_CONFIDENCE);
        blend + weight * ((self.picture() - tone) - texture(proposal))
    }

    fn blended(&self, proposal: &Tensor) -> Tensor {
        &self.weighted + (1.0 - &self.confidence) * proposal
    }
}

/// Confidences (0..1) up to which a pixel's texture is the proposal's, and from which it is the composite's.
const SEEN_LITTLE: f64 = 0.35;
const SEEN_WELL: f64 = 0.65;
/// Sigma of what counts as texture, in pixels.
const TEXTURE: f64 = 2.0;
/// Two textures blended half and half lose less than this factor of their contrast.
const MOST_CONTRAST: f64 = 1.5;
/// A variance (0..1 squared) that nobody sees.
const FLAT: f64 = 1e-6;

/// `blend` with as much contrast in its texture as is `wanted`; `own`: what it has. Both: see [`contrasts`].
fn with_contrast(blend: &Tensor, own: &Tensor, wanted: &Tensor) -> Tensor {
    let gain = (wanted / (own + FLAT)).sqrt().clamp(1.0, MOST_CONTRAST);
    blend + texture(blend) * (gain - 1.0)
}

fn texture(picture: &Tensor) -> Tensor {
    picture - gaussian(picture, TEXTURE)
}

/// Local variance of each picture's texture, of its luma alone, `[1, 1, h, w]`.
fn contrasts(pictures: [&Tensor; 3]) -> [Tensor; 3] {
    let variances = gaussian(&texture(&Tensor::cat(&pictures.map(luma), 1)).square(), TEXTURE);
    [0, 1, 2].map(|picture| variances.narrow(1, picture, 1))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::torch::testing::uniform;

    fn edit(value: f64, confidence: &[f32]) -> WarpedEdit {
        let confidence = Tensor::from_slice(confidence).view([1, 1, 1, -1]);
        let picture = Tensor::ones([1, 3, 1, confidence.size()[3]], (Kind::Float, Device::Cpu)) * value;
        WarpedEdit { picture, mask: None, confidence }
    }

    fn row(image: &Tensor) -> Vec<f64> {
        (0..image.size()[3]).map(|x| image.double_value(&[0, 0, 0, x])).collect()
    }

    #[test]
    fn it_takes_on_a_tone_and_keeps_its_texture() {
        let stripes = (Tensor::arange(48, (Kind::Float, Device::Cpu)) * 2.0).sin() * 0.2;
        let picture = (stripes + 0.5).expand([1, 3, 48, 48], false).contiguous();
        let confidence = picture.narrow(1, 0, 1).ones_like();
        let proposal = picture.ones_like() * 0.3;
        let composite = Composite::of(&[WarpedEdit { picture: picture.copy(), mask: None, confidence }]);
        let toned = composite.toned(&proposal).picture().narrow(3, 12, 24);
        let difference = (toned - (picture.narrow(3, 12, 24) - 0.2)).abs().max().double_value(&[]);
        assert!(difference < 0.02, "{difference}");
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

    #[test]
    fn the_mask_is_what_the_edits_bring_with_them_and_nothing_where_none_sees() {
        let masked = |value: f64, confidence: &[f32], mask: f64| {
            let edit = edit(value, confidence);
            WarpedEdit { mask: Some(edit.confidence.ones_like() * mask), ..edit }
        };
        let anchor = masked(1.0, &[1.0, 0.0, 0.0, 0.5], 0.8);
        let whole = edit(0.5, &[1.0, 1.0, 0.0, 0.0]);
        let composite = Composite::of(&[anchor, whole]);
        let expected = [0.8, 1.0, 0.0, 0.4];
        let mask = row(composite.mask.as_ref().unwrap());
        assert!(
            mask.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6),
            "{mask:?}"
        );
        assert!(Composite::of(&[edit(1.0, &[1.0])]).mask.is_none(), "without a mask all is edited");
    }

    #[test]
    fn between_two_edits_the_mask_moves_from_one_to_the_other() {
        let first = edit(0.0, &[1.0, 1.0, 0.0]);
        let second = WarpedEdit { mask: Some(first.confidence.zeros_like()), ..edit(1.0, &[1.0, 0.0, 0.0]) };
        let halfway = Composite::between(&first, &second, 0.5);
        let mask = row(halfway.mask.as_ref().unwrap());
        assert!((mask[0] - 0.5).abs() < 1e-6 && mask[1] > 0.999 && mask[2] == 0.0, "{mask:?}");
        assert!((row(&halfway.picture())[0] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn where_a_proposal_begins_both_textures_keep_their_contrast() {
        let textured = |seed| gaussian(&uniform(seed, &[1, 3, 48, 64]), 0.8);
        let (seen, proposal) = (textured(1), textured(2));
        let ramp = (Tensor::arange(64, (Kind::Float, Device::Cpu)) - 20.0) / 24.0;
        let confidence = ramp.clamp(0.0, 1.0).expand([1, 1, 48, 64], false).contiguous();
        let composite = Composite::of(&[WarpedEdit { picture: seen.copy(), mask: None, confidence }]);
        let contrast = |picture: &Tensor| {
            texture(picture).narrow(3, 24, 16).square().mean(Kind::Float).double_value(&[])
        };
        let own = (contrast(&seen) + contrast(&proposal)) / 2.0;
        let kept = contrast(&composite.filled(&proposal)) / own;
        assert!((0.8..1.1).contains(&kept), "{kept}");
        let plain = contrast(&composite.blended(&proposal)) / own;
        assert!(plain < 0.65, "{plain}");
    }

    #[test]
    fn between_two_textures_contrast_stays_and_one_texture_is_left_as_it_is() {
        let textured = |seed| {
            let picture = gaussian(&uniform(seed, &[1, 3, 48, 64]), 0.8);
            let confidence = picture.narrow(1, 0, 1).ones_like();
            WarpedEdit { picture, mask: None, confidence }
        };
        let contrast = |picture: &Tensor| texture(picture).square().mean(Kind::Float).double_value(&[]);
        let halfway = |first, second| Composite::between(&textured(first), &textured(second), 0.5).picture();
        let own = contrast(&textured(1).picture);
        let kept = contrast(&halfway(1, 2)) / own;
        assert!((0.85..1.1).contains(&kept), "{kept}");
        let plain = contrast(&((textured(1).picture + textured(2).picture) * 0.5)) / own;
        assert!(plain < 0.6, "{plain}");
        let difference = (halfway(1, 1) - textured(1).picture).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference}");
    }
}

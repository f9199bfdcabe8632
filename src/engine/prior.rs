//! The proposal where nobody can recompute the edit: a closed-form regression from source to edit.
//!
//! Ridge regression from hand-made features of the source to the edit's colours, fitted on the anchor
//! and on what the warped edits show of the frame itself. It knows tone and colour; it is blind to texture
//! and to objects.

use tch::{Kind, Tensor};

use crate::conditions::filters::{channel_mean, gaussian, wide_gaussian};

/// Gaussian sigmas of the difference bands, in pixels.
const BANDS: [f64; 5] = [0.8, 1.6, 3.2, 6.4, 12.8];
/// Luma values at which a linear piece may bend.
const HINGES: [f64; 8] = [0.1, 0.214, 0.329, 0.443, 0.557, 0.671, 0.786, 0.9];
/// Ridge, as a share of the features' mean energy.
const RIDGE: f64 = 1e-4;
/// Pixels seen with more confidence than this join the fit.
const SEEN: f64 = 0.9;

/// A fitted regression.
#[derive(Debug)]
pub struct Prior {
    coefficients: Tensor, // [features, 3], double
}

/// A pair's share of the normal equations.
#[derive(Debug)]
pub struct Evidence {
    gram: Tensor,  // [features, features], double
    cross: Tensor, // [features, 3], double
}

/// What the regression is told of a source.
#[derive(Debug)]
pub struct Features {
    matrix: Tensor, // [features, pixels]
    size: Vec<i64>,
}

impl Features {
    /// `source`: `[1, 3, H, W]`, 0..1.
    pub fn new(source: &Tensor) -> Self {
        Self { matrix: features(source), size: source.size() }
    }
}

impl Evidence {
    /// Of a source and its edit where `confidence` exceeds 0.9.
    ///
    /// - `edit`: `[1, 3, H, W]`, 0..1
    /// - `confidence`: `[1, 1, H, W]`, 0..1
    pub fn new(source: &Features, edit: &Tensor, confidence: &Tensor) -> Self {
        // Neighbouring rows tell much the same.
        let row = |maps: &Tensor| {
            maps.view([-1, source.size[2], source.size[3]]).slice(1, 0, None, 2).flatten(1, 2)
        };
        let weight = row(&confidence.gt(SEEN).to_kind(Kind::Float)); // [1, pixels / 2]
        let features = row(&source.matrix);
        let weighted = &features * weight;
        let by = |values: &Tensor| weighted.matmul(&values.transpose(0, 1)).to_kind(Kind::Double);
        Self { gram: by(&features), cross: by(&row(edit)) }
    }

    /// Both pairs' evidence.
    pub fn with(&self, other: &Self) -> Self {
        Self { gram: &self.gram + &other.gram, cross: &self.cross + &other.cross }
    }

    /// A `share` of this evidence, 0..1.
    pub fn scaled(&self, share: f64) -> Self {
        Self { gram: &self.gram * share, cross: &self.cross * share }
    }

    /// Solves for the regression.
    pub fn solve(&self) -> Prior {
        let energy = self.gram.diagonal(0, 0, 1).mean(Kind::Double);
        let ridge = self.gram.ones_like().diagonal(0, 0, 1).diag_embed(0, 0, 1) * energy * RIDGE;
        Prior { coefficients: Tensor::linalg_solve(&(&self.gram + ridge), &self.cross, true) }
    }
}

impl Prior {
    /// The edit that the regression expects of `source`, `[1, 3, H, W]`, 0..1.
    pub fn propose(&self, source: &Features) -> Tensor {
        let colors = self.coefficients.to_kind(Kind::Float).transpose(0, 1).matmul(&source.matrix); // [3, pixels]
        colors.view(source.size.as_slice()).clamp(0.0, 1.0)
    }
}

/// `[features, H * W]`: colours, their products, five difference-of-Gaussian bands (signed, rectified,
/// absolute), the coarsest blur, gradient magnitude, hinges of luma and a constant.
fn features(source: &Tensor) -> Tensor {
    let luma = channel_mean(source);
    let products = source * source.roll([1], [1]);
    let mut maps = vec![source.shallow_clone(), source.square(), products];
    let mut finer = source.shallow_clone();
    for sigma in BANDS {
        let coarser = wide_gaussian(source, sigma);
        let band = &finer - &coarser;
        maps.push(band.relu());
        maps.push(channel_mean(&band).abs());
        maps.push(band);
        finer = coarser;
    }
    maps.push(finer);
    maps.push(gradient_magnitude(&gaussian(&luma, 1.0)));
    maps.extend(HINGES.map(|hinge| (&luma - hinge).relu()));
    maps.push(luma.ones_like());
    Tensor::cat(&maps, 1).flatten(2, 3).squeeze_dim(0)
}

fn gradient_magnitude(luma: &Tensor) -> Tensor {
    let padded = luma.replication_pad2d([1, 1, 1, 1]);
    let [.., height, width] = luma.size()[..] else { unreachable!("an image has a height and a width") };
    let at = |y: i64, x: i64| padded.narrow(2, y, height).narrow(3, x, width);
    let horizontal = (at(1, 2) - at(1, 0)) * 0.5;
    let vertical = (at(2, 1) - at(0, 1)) * 0.5;
    horizontal.hypot(&vertical)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::torch::testing::uniform;

    fn picture(seed: u64) -> Tensor {
        uniform(seed, &[1, 3, 16, 24]).upsample_bicubic2d([64, 96], false, None, None)
    }

    fn error(result: &Tensor, truth: &Tensor) -> f64 {
        (result - truth).abs().mean(Kind::Float).double_value(&[])
    }

    #[test]
    fn a_tone_curve_seen_once_is_carried_to_another_picture() {
        let edit = |source: &Tensor| source.square() * 0.7 + 0.1;
        let (first, second) = (picture(1).clamp(0.0, 1.0), picture(2).clamp(0.0, 1.0));
        let everywhere = Tensor::ones([1, 1, 64, 96], (Kind::Float, Device::Cpu));
        let prior = Evidence::new(&Features::new(&first), &edit(&first), &everywhere).solve();
        assert!(error(&prior.propose(&Features::new(&second)), &edit(&second)) < 0.01);
    }

    #[test]
    fn what_the_frame_itself_shows_improves_its_own_proposal() {
        let anchor_edit = |source: &Tensor| source * 0.5;
        let frame_edit = |source: &Tensor| 1.0 - source;
        let (anchor, frame) = (picture(3).clamp(0.0, 1.0), picture(4).clamp(0.0, 1.0));
        let everywhere = Tensor::ones([1, 1, 64, 96], (Kind::Float, Device::Cpu));
        let seen = Tensor::cat(&[everywhere.narrow(3, 0, 48), everywhere.narrow(3, 0, 48) * 0.0], 3);
        let anchors = Evidence::new(&Features::new(&anchor), &anchor_edit(&anchor), &everywhere);
        let features = Features::new(&frame);
        let truth = frame_edit(&frame);
        let alone = error(&anchors.solve().propose(&features), &truth);
        let both = anchors.with(&Evidence::new(&features, &truth, &seen)).solve();
        assert!(error(&both.propose(&features), &truth) < 0.8 * alone);
    }
}

//! The network against the composite it was given, on pictures and edits that training never sees.

use std::path::Path;

use tch::{Kind, Tensor};

use crate::{composites::Clips, denoising::one_step, scenes::KEYFRAMES};
use gstflowvid::{conditions::filters::gaussian, diffusion::DiffusionModel};

/// Mean absolute errors against the true edit, 0..255, and Laplacian energy over the true edit's.
#[derive(Debug, Default, Clone, Copy)]
pub struct Score {
    /// Where the warped edits see the pixel with more than 0.9 confidence.
    pub visible: f64,
    /// Where they see it with less than 0.1.
    pub hole: f64,
    /// Between: the seams.
    pub seam: f64,
    /// Where visible; 1 is as sharp as the truth.
    pub visible_sharpness: f64,
    /// In holes.
    pub hole_sharpness: f64,
}

impl Score {
    const NAMES: [&str; 5] = ["visible", "hole", "seam", "visible_sharpness", "hole_sharpness"];

    /// Column names of a log.
    pub fn header(prefix: &str) -> String {
        Self::NAMES.map(|name| format!("{prefix}_{name}")).join(",")
    }

    /// The columns.
    pub fn row(&self) -> String {
        [self.visible, self.hole, self.seam, self.visible_sharpness, self.hole_sharpness]
            .map(|value| format!("{value:.3}"))
            .join(",")
    }
}

/// One step from pure noise; the anchor is left out of the figures.
pub struct Validation {
    /// The composite as it is.
    pub composite: Score,
    /// The network's result.
    pub network: Score,
}

/// - `clips`: several draws
/// - `sheet`: where a picture of the first draw goes
pub fn validate(model: &DiffusionModel, clips: &[Clips], sheet: &Path) -> anyhow::Result<Validation> {
    let _no_grad = tch::no_grad_guard();
    tch::manual_seed(1);
    let results: Vec<Tensor> = clips.iter().map(|clips| one_step(model, clips)).collect();
    write_sheet(&clips[0], &results[0], sheet)?;
    let gather = |part: &dyn Fn(usize) -> Tensor| {
        let followers: Vec<Tensor> = (0..clips.len())
            .map(|draw| part(draw).unflatten(0, [-1, KEYFRAMES]).narrow(1, 1, KEYFRAMES - 1).flatten(0, 1))
            .collect();
        Tensor::cat(&followers, 0)
    };
    let truth = gather(&|draw| clips[draw].edited.shallow_clone());
    let confidence = gather(&|draw| clips[draw].conditions.confidence.shallow_clone());
    let composite = gather(&|draw| clips[draw].conditions.composite.shallow_clone());
    let network = gather(&|draw| results[draw].shallow_clone());
    Ok(Validation {
        composite: score(&composite, &truth, &confidence),
        network: score(&network, &truth, &confidence),
    })
}

fn score(picture: &Tensor, truth: &Tensor, confidence: &Tensor) -> Score {
    let (visible, hole) = (confidence.gt(0.9), confidence.lt(0.1));
    let seam = visible.logical_or(&hole).logical_not();
    let error = (picture - truth).abs().mean_dim([1].as_slice(), true, Kind::Float) * 255.0;
    let over = |maps: &Tensor, area: &Tensor| {
        let area = area.to_kind(Kind::Float);
        ((maps * &area).sum(Kind::Float) / area.sum(Kind::Float).clamp_min(1.0)).double_value(&[])
    };
    let fine = |picture: &Tensor| {
        (picture - gaussian(picture, 0.8)).square().mean_dim([1].as_slice(), true, Kind::Float)
    };
    let sharpness = |area: &Tensor| over(&fine(picture), area) / over(&fine(truth), area).max(1e-9);
    Score {
        visible: over(&error, &visible),
        hole: over(&error, &hole),
        seam: over(&error, &seam),
        visible_sharpness: sharpness(&visible),
        hole_sharpness: sharpness(&hole),
    }
}

/// Rows: composite, confidence, network, truth; columns: keyframes.
fn write_sheet(clips: &Clips, result: &Tensor, file: &Path) -> anyhow::Result<()> {
    let row = |pictures: &Tensor| {
        let pictures = pictures.expand([-1, 3, -1, -1], false).contiguous();
        Tensor::cat(&(0..pictures.size()[0]).map(|n| pictures.narrow(0, n, 1)).collect::<Vec<_>>(), 3)
    };
    let conditions = &clips.conditions;
    let rows = [&conditions.composite, &conditions.confidence, result, &clips.edited].map(row);
    let sheet = (Tensor::cat(&rows, 2).clamp(0.0, 1.0) * 255.0).round().to_kind(Kind::Uint8);
    let sheet = sheet.squeeze_dim(0).permute([1, 2, 0]).contiguous().to_device(tch::Device::Cpu);
    let (height, width) = (sheet.size()[0] as u32, sheet.size()[1] as u32);
    let bytes = Vec::<u8>::try_from(sheet.flatten(0, -1))?;
    Ok(image::save_buffer(file, &bytes, width, height, image::ColorType::Rgb8)?)
}

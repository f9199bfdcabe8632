//! From a picture to what CLIP takes, as transformers' `CLIPImageProcessor` makes it.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use image::RgbImage;
use serde::Deserialize;
use tch::{Kind, Tensor};

/// PIL's number for bicubic.
const BICUBIC: i64 = 3;
const U8_MAX: f64 = 255.0;

/// `preprocessor_config.json`: the shorter side is resized, the middle cut out, the colours normalised.
#[derive(Debug, Clone, Deserialize)]
pub struct Preprocessor {
    size: Shortest,
    crop_size: Square,
    image_mean: [f32; 3],
    image_std: [f32; 3],
    #[serde(default = "bicubic")]
    resample: i64,
    #[serde(flatten)]
    steps: Steps,
}

/// Which steps are taken.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
struct Steps {
    do_resize: bool,
    do_center_crop: bool,
    do_rescale: bool,
    do_normalize: bool,
}

impl Default for Steps {
    fn default() -> Self {
        Self { do_resize: true, do_center_crop: true, do_rescale: true, do_normalize: true }
    }
}

/// A side, or with its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Shortest {
    Side(i64),
    Named { shortest_edge: i64 },
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Square {
    Side(i64),
    Named { height: i64, width: i64 },
}

impl Preprocessor {
    /// # Errors
    /// Where the folder lacks the file, or it asks for something else than CLIP's own way.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("preprocessor_config.json");
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let found: Self = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        found.check().with_context(|| file.display().to_string())?;
        Ok(found)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.resample == BICUBIC, "resample is {}, only 3 (bicubic) is supported", self.resample);
        let Steps { do_resize, do_center_crop, do_rescale, do_normalize } = self.steps;
        let all = do_resize && do_center_crop && do_rescale && do_normalize;
        ensure!(
            all,
            "a step is left out by do_resize, do_center_crop, do_rescale or do_normalize: CLIP takes all"
        );
        let (height, width) = self.crop();
        ensure!(height.max(width) <= self.shortest(), "crop_size is larger than size");
        Ok(())
    }

    fn shortest(&self) -> i64 {
        match self.size {
            Shortest::Side(side) | Shortest::Named { shortest_edge: side } => side,
        }
    }

    /// Height and width.
    fn crop(&self) -> (i64, i64) {
        match self.crop_size {
            Square::Side(side) => (side, side),
            Square::Named { height, width } => (height, width),
        }
    }

    /// `[1, 3, height, width]` of `crop_size`, normalised.
    pub fn pixel_values(&self, picture: &RgbImage) -> Tensor {
        let (height, width) = (i64::from(picture.height()), i64::from(picture.width()));
        let rows = Tensor::from_slice(picture).view([1, height, width, 3]);
        // Bytes, as PIL resizes them: rows first, rounded, and clipped where bicubic overshoots. (From version 13 on PIL
        // takes columns first where that is less work; a few pixels at edges then differ.)
        let bytes = rows.permute([0, 3, 1, 2]);
        let (tall, wide) = resized((height, width), self.shortest());
        let bytes = bytes.internal_upsample_bicubic2d_aa([tall, wide], false, None, None);
        let (height, width) = self.crop();
        let middle = bytes.narrow(2, (tall - height) / 2, height).narrow(3, (wide - width) / 2, width);
        let channels = |values: [f32; 3]| Tensor::from_slice(&values).view([1, 3, 1, 1]);
        let values = middle.to_kind(Kind::Float) / U8_MAX;
        (values - channels(self.image_mean)) / channels(self.image_std)
    }
}

/// The size whose shorter side is `shortest`; the longer one is rounded down.
fn resized((height, width): (i64, i64), shortest: i64) -> (i64, i64) {
    let longer = shortest * height.max(width) / height.min(width);
    if height <= width { (shortest, longer) } else { (longer, shortest) }
}

fn bicubic() -> i64 {
    BICUBIC
}

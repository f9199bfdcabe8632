//! Tem-Con and Pro-Ali, as FlowVid's appendix B.1 defines them.

use std::path::Path;

use anyhow::ensure;
use gstflowvid::{
    diffusion::Tokenizer,
    torch::Placement,
    weights::{Component, load},
};
use image::RgbImage;
use serde::Serialize;
use tch::{Kind, Tensor};

use super::{Clip, Preprocessor};

/// Both are published as a hundred times the cosine.
const HUNDRED: f64 = 100.0;

/// A video's scores; both depend on which CLIP it was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// Mean cosine of the image features of neighbouring frames, times 100. Across a cut nothing is compared.
    pub tem_con: Option<f64>,
    /// Mean cosine of the prompt's features and each frame's, times 100; `None` without a prompt.
    pub pro_ali: Option<f64>,
}

/// A CLIP model and the features of a prompt.
pub struct Scorer {
    network: Clip,
    preprocessor: Preprocessor,
    prompt: Option<Tensor>, // [1, projection_dim]
}

impl Scorer {
    /// - `folder`: `config.json`, `model.safetensors`, `preprocessor_config.json` and the tokenizer's files
    ///
    /// # Errors
    /// Where a file is missing or of something else, or the prompt is too long.
    pub fn open(folder: &Path, prompt: Option<&str>) -> anyhow::Result<Self> {
        let network = load(&Component::open(folder.into())?, Placement::cpu(), Clip::new)?;
        let preprocessor = Preprocessor::open(folder)?;
        let prompt = prompt.map(|prompt| {
            let tokens = tokens(&Tokenizer::open(folder)?, prompt)?;
            Ok::<_, anyhow::Error>(unit(&network.text_features(&tokens)))
        });
        Ok(Self { network, preprocessor, prompt: prompt.transpose()? })
    }

    /// A frame's image features, `[1, projection_dim]`, of length 1.
    pub fn features(&self, picture: &RgbImage) -> Tensor {
        unit(&self.network.image_features(&self.preprocessor.pixel_values(picture)))
    }

    /// - `frames`: the features of each
    /// - `cuts`: the first frame of each shot but the first
    pub fn score(&self, frames: &[Tensor], cuts: &[usize]) -> Scores {
        let neighbours = (1..frames.len()).filter(|frame| !cuts.contains(frame));
        let tem_con = mean(neighbours.map(|frame| cosine(&frames[frame - 1], &frames[frame])));
        let pro_ali = self.prompt.as_ref();
        let pro_ali = pro_ali.and_then(|prompt| mean(frames.iter().map(|frame| cosine(prompt, frame))));
        Scores { tem_con, pro_ali }
    }
}

/// `[1, tokens]`. Brackets weigh nothing here: the prompt stands for itself.
fn tokens(tokenizer: &Tokenizer, prompt: &str) -> anyhow::Result<Tensor> {
    let plain: String = prompt
        .chars()
        .flat_map(|letter| "()[]\\".contains(letter).then_some('\\').into_iter().chain([letter]))
        .collect();
    let chunks = tokenizer.encode(&plain);
    ensure!(chunks.len() == 1, "--prompt is longer than this CLIP reads: {} times its limit", chunks.len());
    Ok(Tensor::from_slice(&chunks[0].tokens).unsqueeze(0))
}

fn unit(features: &Tensor) -> Tensor {
    features / features.square().sum_dim_intlist([1].as_slice(), true, Kind::Float).sqrt()
}

fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    HUNDRED * (a * b).sum(Kind::Double).double_value(&[])
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

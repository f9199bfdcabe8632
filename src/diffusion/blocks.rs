//! The blocks of the UNet. Keys: diffusers' `models/unets/unet_2d_blocks.py`.

use tch::{Tensor, nn::Path};

use super::{
    attention::{Text, Transformer2DModel, TransformerConfig},
    keyframes::KeyframeMemory,
    resnet::{Downsample2D, ResnetBlock2D, ResnetConfig, Upsample2D},
};

/// What all layers of a block are given beside the picture.
#[derive(Debug)]
pub struct Conditioning<'a> {
    /// `[n, time_embed_dim]`
    pub temb: &'a Tensor,
    /// What the picture should show.
    pub text: &'a Text,
}

/// `DownBlock2D` and `CrossAttnDownBlock2D`.
#[derive(Debug)]
pub struct DownBlock {
    resnets: Vec<ResnetBlock2D>,
    /// As many as `resnets`, or none.
    attentions: Vec<Transformer2DModel>,
    /// Key: `downsamplers.0`.
    downsampler: Option<Downsample2D>,
}

impl DownBlock {
    /// - `resnet`: the first residual block; the others take its result
    /// - `attention`: `None` for a `DownBlock2D`
    /// - `downsample_padding`: `None` for the last block
    pub fn new(
        vs: &Path,
        resnet: ResnetConfig,
        layers: usize,
        attention: Option<TransformerConfig>,
        downsample_padding: Option<i64>,
    ) -> Self {
        let channels = resnet.out_channels;
        let later = ResnetConfig { in_channels: channels, ..resnet };
        let config = |index| if index == 0 { &resnet } else { &later };
        let [resnets, downsamplers] = ["resnets", "downsamplers"].map(|key| vs / key);
        Self {
            resnets: (0..layers)
                .map(|index| ResnetBlock2D::new(&(&resnets / index), config(index)))
                .collect(),
            attentions: transformers(vs, attention, layers),
            downsampler: downsample_padding
                .map(|padding| Downsample2D::new(&(&downsamplers / 0), channels, padding)),
        }
    }

    /// The picture that leaves; what the up blocks will need is added to `residuals`.
    pub fn forward(
        &self,
        mut hidden_states: Tensor,
        conditioning: &Conditioning,
        memory: &mut KeyframeMemory,
        residuals: &mut Vec<Tensor>,
    ) -> Tensor {
        for (index, resnet) in self.resnets.iter().enumerate() {
            hidden_states = resnet.forward(&hidden_states, Some(conditioning.temb));
            if let Some(attention) = self.attentions.get(index) {
                hidden_states = attention.forward(&hidden_states, conditioning.text, memory);
            }
            residuals.push(hidden_states.shallow_clone());
        }
        if let Some(downsampler) = &self.downsampler {
            hidden_states = downsampler.forward(&hidden_states);
            residuals.push(hidden_states.shallow_clone());
        }
        hidden_states
    }
}

/// `UNetMidBlock2DCrossAttn` of one layer.
#[derive(Debug)]
pub struct MidBlock {
    resnets: [ResnetBlock2D; 2],
    attentions: Vec<Transformer2DModel>,
}

impl MidBlock {
    /// New weights.
    pub fn new(vs: &Path, resnet: &ResnetConfig, attention: TransformerConfig) -> Self {
        let resnets = vs / "resnets";
        Self {
            resnets: [0, 1].map(|index| ResnetBlock2D::new(&(&resnets / index), resnet)),
            attentions: transformers(vs, Some(attention), 1),
        }
    }

    /// `[n, c, h, w]` to the same.
    pub fn forward(
        &self,
        hidden_states: &Tensor,
        conditioning: &Conditioning,
        memory: &mut KeyframeMemory,
    ) -> Tensor {
        let [before, after] = &self.resnets;
        let mut hidden_states = before.forward(hidden_states, Some(conditioning.temb));
        for attention in &self.attentions {
            hidden_states = attention.forward(&hidden_states, conditioning.text, memory);
        }
        after.forward(&hidden_states, Some(conditioning.temb))
    }
}

/// `UpBlock2D` and `CrossAttnUpBlock2D`.
#[derive(Debug)]
pub struct UpBlock {
    resnets: Vec<ResnetBlock2D>,
    attentions: Vec<Transformer2DModel>,
    /// Key: `upsamplers.0`.
    upsampler: Option<Upsample2D>,
}

impl UpBlock {
    /// - `resnets`: each residual block; its `in_channels` count the skip connection in
    /// - `attention`: `None` for an `UpBlock2D`
    pub fn new(
        vs: &Path,
        resnets: &[ResnetConfig],
        attention: Option<TransformerConfig>,
        upsamples: bool,
    ) -> Self {
        let [keys, upsamplers] = ["resnets", "upsamplers"].map(|key| vs / key);
        let channels = resnets[0].out_channels;
        Self {
            attentions: transformers(vs, attention, resnets.len()),
            resnets: (0..)
                .zip(resnets)
                .map(|(index, config): (i64, _)| ResnetBlock2D::new(&(&keys / index), config))
                .collect(),
            upsampler: upsamples.then(|| Upsample2D::new(&(&upsamplers / 0), channels)),
        }
    }

    /// Takes its skip connections off the end of `residuals`; the next one's size is what it grows to.
    pub fn forward(
        &self,
        mut hidden_states: Tensor,
        residuals: &mut Vec<Tensor>,
        conditioning: &Conditioning,
        memory: &mut KeyframeMemory,
    ) -> Tensor {
        for (index, resnet) in self.resnets.iter().enumerate() {
            let skip = residuals.pop().expect("an up block has a skip connection for each residual block");
            hidden_states = Tensor::cat(&[hidden_states, skip], 1);
            hidden_states = resnet.forward(&hidden_states, Some(conditioning.temb));
            if let Some(attention) = self.attentions.get(index) {
                hidden_states = attention.forward(&hidden_states, conditioning.text, memory);
            }
        }
        match (&self.upsampler, residuals.last()) {
            (Some(upsampler), Some(skip)) => {
                upsampler.forward(&hidden_states, [skip.size()[2], skip.size()[3]])
            }
            _ => hidden_states,
        }
    }
}

fn transformers(vs: &Path, config: Option<TransformerConfig>, layers: usize) -> Vec<Transformer2DModel> {
    let attentions = vs / "attentions";
    let of_layer = |config| {
        let new = move |index| Transformer2DModel::new(&(&attentions / index), &config);
        (0..layers).map(new).collect()
    };
    config.map(of_layer).unwrap_or_default()
}

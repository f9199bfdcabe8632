//! Between pictures and latents: the only place where pictures are -1..1.

use serde::Deserialize;
use tch::{
    Tensor,
    nn::{self, Conv2D, ConvConfig, ConvTranspose2D, ConvTransposeConfig, Path},
};

use super::{
    autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig},
    autoencoder_tiny::{AutoencoderTiny, AutoencoderTinyConfig},
};
use crate::weights::NetworkConfig;

/// `vae/config.json`, by its `_class_name`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "_class_name")]
pub enum VaeConfig {
    /// The embedded model's.
    PatchAutoencoder(PatchAutoencoderConfig),
    /// Stable Diffusion's.
    AutoencoderKL(AutoencoderKlConfig),
    /// A small one for the same latents.
    AutoencoderTiny(AutoencoderTinyConfig),
}

impl NetworkConfig for VaeConfig {
    const CLASSES: &'static [&'static str] = &["PatchAutoencoder", "AutoencoderKL", "AutoencoderTiny"];
}

impl VaeConfig {
    /// Channels of the latents.
    pub fn latent_channels(&self) -> i64 {
        match self {
            Self::PatchAutoencoder(config) => config.latent_channels,
            Self::AutoencoderKL(config) => config.latent_channels,
            Self::AutoencoderTiny(config) => config.latent_channels,
        }
    }

    /// Pixels to a latent, each way.
    pub fn scale_factor(&self) -> i64 {
        match self {
            Self::PatchAutoencoder(config) => config.patch_size,
            Self::AutoencoderKL(config) => config.scale_factor(),
            Self::AutoencoderTiny(config) => config.scale_factor(),
        }
    }
}

/// An autoencoder of pictures.
#[derive(Debug)]
pub enum Vae {
    /// Linear, of square patches.
    Patch(Box<PatchAutoencoder>),
    /// Convolutional, with a Kullback-Leibler loss.
    Kl(Box<AutoencoderKl>),
    /// Convolutional, small and fast.
    Tiny(Box<AutoencoderTiny>),
}

impl Vae {
    /// New weights.
    pub fn new(vs: &Path, config: &VaeConfig) -> Self {
        match config {
            VaeConfig::PatchAutoencoder(config) => Self::Patch(Box::new(PatchAutoencoder::new(vs, config))),
            VaeConfig::AutoencoderKL(config) => Self::Kl(Box::new(AutoencoderKl::new(vs, config))),
            VaeConfig::AutoencoderTiny(config) => Self::Tiny(Box::new(AutoencoderTiny::new(vs, config))),
        }
    }

    /// Pixels to a latent, each way.
    pub fn scale_factor(&self) -> i64 {
        match self {
            Self::Patch(vae) => vae.scale_factor(),
            Self::Kl(vae) => vae.scale_factor(),
            Self::Tiny(vae) => vae.scale_factor(),
        }
    }

    /// - `pictures`: `[n, 3, H, W]`, 0..1
    /// - returns `[n, latent_channels, h, w]`, about unit variance
    pub fn encode(&self, pictures: &Tensor) -> Tensor {
        match self {
            Self::Patch(vae) => vae.encode(pictures),
            Self::Kl(vae) => vae.encode(pictures),
            Self::Tiny(vae) => vae.encode(pictures),
        }
    }

    /// - `latents`: `[n, latent_channels, h, w]`
    /// - returns `[n, 3, H, W]`, about 0..1, not clamped
    pub fn decode(&self, latents: &Tensor) -> Tensor {
        match self {
            Self::Patch(vae) => vae.decode(latents),
            Self::Kl(vae) => vae.decode(latents),
            Self::Tiny(vae) => vae.decode(latents),
        }
    }
}

/// `config.json` of a linear autoencoder of square patches.
#[derive(Debug, Clone, Deserialize)]
pub struct PatchAutoencoderConfig {
    /// Channels of a picture.
    pub in_channels: i64,
    /// Channels of the latents.
    pub latent_channels: i64,
    /// Pixels to a latent, each way.
    pub patch_size: i64,
}

impl NetworkConfig for PatchAutoencoderConfig {
    const CLASSES: &'static [&'static str] = &["PatchAutoencoder"];
}

/// Each patch's principal components. The channels' scaling to unit variance lies in the weights, so its
/// latents need no `scaling_factor`.
#[derive(Debug)]
pub struct PatchAutoencoder {
    encoder: Conv2D,
    decoder: ConvTranspose2D,
    patch_size: i64,
}

impl PatchAutoencoder {
    /// New weights: `encoder.weight` `[latent_channels, in_channels, patch, patch]` and `decoder.weight`, of
    /// the same shape, with a bias each.
    pub fn new(vs: &Path, config: &PatchAutoencoderConfig) -> Self {
        let PatchAutoencoderConfig { in_channels, latent_channels, patch_size } = *config;
        let into = ConvConfig { stride: patch_size, ..Default::default() };
        let back = ConvTransposeConfig { stride: patch_size, ..Default::default() };
        Self {
            encoder: nn::conv2d(vs / "encoder", in_channels, latent_channels, patch_size, into),
            decoder: nn::conv_transpose2d(vs / "decoder", latent_channels, in_channels, patch_size, back),
            patch_size,
        }
    }

    /// Pixels to a latent, each way.
    pub fn scale_factor(&self) -> i64 {
        self.patch_size
    }

    /// - `pictures`: `[n, in_channels, H, W]`, 0..1
    /// - returns `[n, latent_channels, h, w]`, about unit variance
    pub fn encode(&self, pictures: &Tensor) -> Tensor {
        (pictures * 2.0 - 1.0).to_kind(self.encoder.ws.kind()).apply(&self.encoder)
    }

    /// - `latents`: `[n, latent_channels, h, w]`
    /// - returns `[n, in_channels, H, W]`, about 0..1, not clamped
    pub fn decode(&self, latents: &Tensor) -> Tensor {
        latents.to_kind(self.encoder.ws.kind()).apply(&self.decoder) * 0.5 + 0.5
    }
}

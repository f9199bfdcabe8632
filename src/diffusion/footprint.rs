//! What a run of the networks takes in memory, by arithmetic on their configs, and how many keyframes may go through
//! them at once within a limit. `docs/measurements.md` has it as a table; `tests/footprint.rs` counts what libtorch
//! really allocates.

use tch::Kind;

use super::{
    config::{BlocksConfig, DownBlockType, KeyframeAttention, UpBlockType},
    model_configs::ModelConfigs,
    sampling::SamplingOptions,
    unet::UNetConfig,
    vae::VaeConfig,
};
use crate::weights::{ModelFolder, WeightsError};

/// Tensors of a transformer block's width that live at once, at its widest: the feed-forward's eight-fold projection,
/// gates and product, and what flows past them.
const TRANSFORMER: f64 = 22.0;
/// Tensors of a residual block that live at once: what comes in, its norm, and the activation of that.
const RESIDUAL_BLOCK: f64 = 3.0;
/// Sets of skip connections: the UNet's, and two ControlNets' while they are added up.
const SKIP_SETS: f64 = 3.0;
/// Bytes of a number in pictures and latents.
const FULL_PRECISION: f64 = 4.0;
/// Composite, confidence and first edited frame; the result, in parts and whole.
const PICTURE_CHANNELS: f64 = 13.0;
/// Of what each ControlNet is shown.
const CONTROL_CHANNELS: f64 = 3.0;

/// How many go through the networks in one call, at least one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSizes {
    /// Keyframes, through UNet and ControlNets.
    pub keyframes: i64,
    /// Pictures, through the autoencoder.
    pub pictures: i64,
}

impl CallSizes {
    /// The same number of both.
    pub fn both(most: i64) -> Self {
        Self { keyframes: most, pictures: most }
    }

    /// Half as many, rounded up; `None` where both are single.
    pub fn halved(self) -> Option<Self> {
        let half = |most: i64| (most + 1) / 2;
        (self != Self::both(1))
            .then(|| Self { keyframes: half(self.keyframes), pictures: half(self.pictures) })
    }

    /// The fewer of each.
    pub fn min(self, other: Self) -> Self {
        Self { keyframes: self.keyframes.min(other.keyframes), pictures: self.pictures.min(other.pictures) }
    }
}

/// A run, as far as its memory is concerned.
#[derive(Debug, Clone, Copy)]
pub struct RunSize {
    /// Keyframes of the batch.
    pub keyframes: i64,
    /// Width times height of each.
    pub pixels: i64,
    /// Denoising steps.
    pub steps: usize,
    /// Texts: two with classifier-free guidance, else one.
    pub guides: usize,
}

impl RunSize {
    /// Of `keyframes` pictures of so many pixels, sampled with `options`.
    pub fn new(keyframes: i64, pixels: i64, options: &SamplingOptions) -> Self {
        let guides = if options.guidance_scale == 1.0 { 1 } else { 2 };
        Self { keyframes, pixels, steps: options.num_inference_steps, guides }
    }
}

/// The memory of a model's runs. Counts are of numbers a pixel of a picture, in the networks' precision.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    /// Bytes of a number in the networks' precision.
    number: f64,
    /// While one keyframe goes through UNet and ControlNets.
    keyframe: f64,
    /// While one picture goes through the autoencoder.
    picture: f64,
    /// What other keyframes see of one, in one step by one text.
    seen: f64,
    /// Each keyframe's embedded conditions, for the whole run.
    embedded: f64,
    /// Its latents, for the whole run, in full precision: sample, noise, composite, and what is concatenated to them.
    latents: f64,
    /// ControlNets.
    controlnets: f64,
    /// The first keyframe's is kept for later batches, of all steps.
    keeps_anchor: bool,
}

impl Footprint {
    /// Of the model in `folder`, whose networks run in `kind`.
    ///
    /// # Errors
    /// [`WeightsError`] where the folder's configs are unreadable or do not fit together.
    pub fn read(folder: &ModelFolder, kind: Kind) -> Result<Self, WeightsError> {
        Ok(Self::of(&ModelConfigs::read(folder)?, kind))
    }

    pub(super) fn of(configs: &ModelConfigs, kind: Kind) -> Self {
        let ModelConfigs { unet, controlnets, vae, .. } = configs;
        let latent = 1.0 / (vae.scale_factor() as f64).powi(2);
        let channels = unet.blocks.block_out_channels[0] as f64;
        Self {
            number: kind.elt_size_in_bytes() as f64,
            keyframe: latent * (SKIP_SETS * skips(&unet.blocks) + widest(&unet.blocks)),
            picture: coded(vae),
            seen: latent * seen(unet),
            embedded: latent * channels * controlnets.len() as f64,
            latents: latent * (unet.blocks.in_channels + 3 * unet.out_channels) as f64,
            controlnets: controlnets.len() as f64,
            keeps_anchor: unet.flowvid.is_image_model(),
        }
    }

    /// Bytes of a run, beside the weights, when so many go through the networks at once: a little more than measured.
    pub fn bytes(&self, run: &RunSize, calls: CallSizes) -> u64 {
        let denoised = self.keyframe * calls.keyframes as f64;
        let coded = self.picture * calls.pictures as f64;
        (self.resident(run) + self.of_pixels(run, denoised.max(coded))) as u64
    }

    /// As many as fit into `limit` bytes beside the weights; `None` where not even single ones do.
    pub fn fitting(&self, run: &RunSize, limit: u64) -> Option<CallSizes> {
        let room = limit as f64 - self.resident(run);
        let most =
            |one: f64| (room / self.of_pixels(run, one)).floor().clamp(0.0, run.keyframes as f64) as i64;
        let calls = CallSizes { keyframes: most(self.keyframe), pictures: most(self.picture) };
        (calls.keyframes > 0 && calls.pictures > 0).then_some(calls)
    }

    fn of_pixels(&self, run: &RunSize, numbers: f64) -> f64 {
        numbers * run.pixels as f64 * self.number
    }

    /// What stays through all calls of the networks.
    fn resident(&self, run: &RunSize) -> f64 {
        let keyframes = run.keyframes as f64;
        // of this step, the first keyframe and the last one of the call before; of all steps, where it is kept
        let steps = if self.keeps_anchor { run.steps as f64 + 1.0 } else { 1.0 };
        let seen = self.seen * run.guides as f64 * (1.0 + steps);
        let pictures = PICTURE_CHANNELS + CONTROL_CHANNELS * self.controlnets + self.latents;
        self.of_pixels(run, seen + self.embedded * keyframes)
            + FULL_PRECISION * pictures * keyframes * run.pixels as f64
    }
}

/// Each level, from the highest resolution down: its channels, and its pixels over the highest one's.
fn levels(channels: &[i64]) -> impl DoubleEndedIterator<Item = (usize, f64, f64)> {
    channels
        .iter()
        .enumerate()
        .map(|(index, &channels)| (index, channels as f64, 0.25_f64.powi(index as i32)))
}

/// All skip connections.
fn skips(blocks: &BlocksConfig) -> f64 {
    let (channels, last) = (&blocks.block_out_channels, blocks.block_out_channels.len() - 1);
    let level = |(index, channels, area): (usize, f64, f64)| {
        let halved = if index < last { 0.25 } else { 0.0 };
        channels * area * (blocks.layers_per_block.at(index) as f64 + halved)
    };
    channels[0] as f64 + levels(channels).map(level).sum::<f64>()
}

/// The widest transformer or residual block.
fn widest(blocks: &BlocksConfig) -> f64 {
    let channels = &blocks.block_out_channels;
    let level = |(index, own, area): (usize, f64, f64)| {
        let below = channels[(index + 1).min(channels.len() - 1)] as f64;
        (TRANSFORMER * own).max(RESIDUAL_BLOCK * (own + below) + 2.0 * own) * area
    };
    levels(channels).map(level).fold(0.0, f64::max)
}

/// The hidden states of all attentions that other keyframes see.
fn seen(unet: &UNetConfig) -> f64 {
    let UNetConfig { blocks, up_block_types, flowvid, .. } = unet;
    let shared = |attention: KeyframeAttention| attention != KeyframeAttention::Own;
    let last = blocks.block_out_channels.len() - 1;
    let encoder = shared(flowvid.encoder_attention.unwrap_or(flowvid.attention));
    let level = |(index, channels, area): (usize, f64, f64)| {
        let layers = blocks.layers_per_block.at(index);
        let up = up_block_types[last - index] == UpBlockType::CrossAttnUpBlock2D && shared(flowvid.attention);
        let down = blocks.down_block_types[index] == DownBlockType::CrossAttnDownBlock2D && encoder;
        let mid = index == last && blocks.mid_block_type.is_some() && encoder;
        let transformers = if up { layers + 1 } else { 0 } + if down { layers } else { 0 } + usize::from(mid);
        (transformers * blocks.transformer_layers_per_block.at(index)) as f64 * channels * area
    };
    levels(&blocks.block_out_channels).map(level).sum()
}

/// The widest residual block of the autoencoder.
fn coded(vae: &VaeConfig) -> f64 {
    match vae {
        VaeConfig::AutoencoderKL(config) => {
            let channels = &config.block_out_channels;
            let level = |(index, own, area): (usize, f64, f64)| {
                let below = channels[(index + 1).min(channels.len() - 1)] as f64;
                (RESIDUAL_BLOCK * below.max(own) + 2.0 * own) * area
            };
            levels(channels).map(level).fold(0.0, f64::max)
        }
        VaeConfig::AutoencoderTiny(config) => {
            let widest = config.encoder_block_out_channels.iter().chain(&config.decoder_block_out_channels);
            (RESIDUAL_BLOCK + 2.0) * widest.copied().max().unwrap_or_default() as f64
        }
        // picture and latents, and the picture again
        VaeConfig::PatchAutoencoder(config) => {
            let latents = config.latent_channels as f64 / (config.patch_size as f64).powi(2);
            RESIDUAL_BLOCK * config.in_channels as f64 + 2.0 * latents
        }
    }
}

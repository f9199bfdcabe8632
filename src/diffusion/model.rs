//! The networks of a model folder together: what the engine samples with and what the trainer trains.
//!
//! A training step, with `clips` batches of `keyframes` each (`n = clips * keyframes`, in time order):
//! ```no_run
//! # use gstflowvid::diffusion::{DiffusionModel, KeyframeMemory, PictureConditions, StepTime};
//! # use tch::Tensor;
//! # fn step(model: &DiffusionModel, pictures: &PictureConditions, edited: &Tensor, prompts: &[&str],
//! #         timesteps: &Tensor, keyframes: i64) -> Tensor {
//! let conditions = model.encode_conditions(pictures);
//! let text = model.encode_prompts(prompts); // one prompt a sample
//! let original = model.encode_pictures(edited);
//! let noise = original.randn_like();
//! let sample = model.scheduler().noise_schedule().add_noise(&original, &noise, timesteps); // [n], equal within a batch
//! let memory = &mut KeyframeMemory::new(keyframes);
//! let denoised = model.denoise(&sample, StepTime::alone(timesteps), &text, &conditions, memory);
//! // either the v-prediction against the scheduler's velocity ...
//! let velocity = model.scheduler().noise_schedule().velocity(&original, &noise, timesteps);
//! let v_loss = (denoised.model_output() - velocity).square();
//! // ... or, weighing visible pixels and holes alike, the network's own output against its target
//! let loss = (&denoised.output - denoised.target(&original, &noise).unwrap()).square().mean(tch::Kind::Float);
//! # drop(v_loss); loss
//! # }
//! ```

use std::{collections::BTreeMap, path::Path as FilePath};

use tch::{
    Device, Kind, Tensor,
    nn::{Path, VarStore},
};

use super::{
    attention::Text,
    control::{ControlCondition, ControlNetSchedule},
    controlnet::{ControlNetModel, ControlNetResiduals},
    footprint::Footprint,
    keyframes::KeyframeMemory,
    model_configs::{ControlNetPart, ModelConfigs, controlnet_names},
    preconditioning::Preconditioned,
    schedulers::{Progress, Scheduler},
    text_encoder::ClipTextModel,
    tokenizer::{Chunk, Tokenizer},
    unet::{ChannelCondition, FlowVidConfig, UNet2DConditionModel, UNetConfig},
    vae::Vae,
};
use crate::{
    torch::{Placement, channels_last},
    weights::{self, ModelFolder, WeightsError, weights_file},
};

/// Text encoder, UNet, ControlNets, autoencoder, tokenizer and scheduler of one model.
#[derive(Debug)]
pub struct DiffusionModel {
    text_encoder: ClipTextModel,
    tokenizer: Tokenizer,
    unet: UNet2DConditionModel,
    controlnets: Vec<(ControlNetSchedule, ControlNetModel)>,
    vae: Vae,
    scheduler: Scheduler,
    flowvid: FlowVidConfig,
    footprint: Footprint,
    placement: Placement,
}

/// What steers keyframes, as pictures; `n` keyframes of `H` x `W` pixels, multiples of 16.
#[derive(Debug)]
pub struct PictureConditions {
    /// What the warped edits and the proposal tell of each keyframe: `[n, 3, H, W]`, 0..1.
    pub composite: Tensor,
    /// How far to trust it: `[n, 1, H, W]`, 1 = the warped edit is seen there, 0 = it is the proposal.
    pub confidence: Tensor,
    /// The first edited frame, `[n, 3, H, W]` or, the same for all, `[1, 3, H, W]`, 0..1.
    pub first: Tensor,
    /// What each ControlNet is shown, `[n, 3, H, W]`, 0..1 (-1: to be drawn). A network of an image model that
    /// nothing is given for does not run; a video model's, which was trained with the UNet, is shown black.
    pub control: Vec<(ControlCondition, Tensor)>,
}

impl PictureConditions {
    /// Keyframes `start..start + length`.
    pub fn narrow(&self, start: i64, length: i64) -> Self {
        let part = |tensor: &Tensor| tensor.narrow(0, start, length);
        let same_for_all = self.first.size()[0] == 1;
        Self {
            composite: part(&self.composite),
            confidence: part(&self.confidence),
            first: if same_for_all { self.first.shallow_clone() } else { part(&self.first) },
            control: self.control.iter().map(|(condition, picture)| (*condition, part(picture))).collect(),
        }
    }

    /// How many keyframes.
    pub fn keyframes(&self) -> i64 {
        self.composite.size()[0]
    }
}

/// [`PictureConditions`] as the networks take them: all that does not change from step to step.
#[derive(Debug)]
pub struct LatentConditions {
    /// `[n, latent_channels, h, w]`, f32
    pub(super) composite: Tensor,
    /// `[n, 1, h, w]`, f32, 0..1
    pub(super) confidence: Tensor,
    /// Concatenated after the sample: `[n, c, h, w]`, `None` for an image model.
    channels: Option<Tensor>,
    /// Each ControlNet's embedded condition, `[n, block_out_channels[0], h, w]`; `None` where it does not run.
    embeddings: Vec<Option<Tensor>>,
}

impl LatentConditions {
    /// Those of `parts`' keyframes, in their order.
    pub(super) fn cat(parts: &[Self]) -> Self {
        let all = |part: fn(&Self) -> Option<&Tensor>| {
            let tensors = parts.iter().map(part).collect::<Option<Vec<_>>>()?;
            Some(Tensor::cat(&tensors, 0))
        };
        let always = "every keyframe has it";
        let networks = parts.first().map_or(0, |part| part.embeddings.len());
        let embedding = |network: usize| {
            let tensors = parts.iter().map(|part| part.embeddings[network].as_ref());
            Some(Tensor::cat(&tensors.collect::<Option<Vec<_>>>()?, 0))
        };
        Self {
            composite: all(|part| Some(&part.composite)).expect(always),
            confidence: all(|part| Some(&part.confidence)).expect(always),
            channels: all(|part| part.channels.as_ref()),
            embeddings: (0..networks).map(embedding).collect(),
        }
    }
}

/// Where in a run a denoising step is.
#[derive(Debug, Clone, Copy)]
pub struct StepTime<'a> {
    /// What the networks are told, `[n]`; i64 where the model has a prior.
    pub timesteps: &'a Tensor,
    /// Decides how much each ControlNet counts.
    pub progress: Progress,
}

impl<'a> StepTime<'a> {
    /// A step that is no part of a run: of training.
    pub fn alone(timesteps: &'a Tensor) -> Self {
        Self { timesteps, progress: Progress::START }
    }
}

/// What the networks answered for one denoising step.
#[derive(Debug)]
pub struct Denoised {
    /// The UNet's own output, `[n, latent_channels, h, w]`, f32.
    pub output: Tensor,
    preconditioned: Option<Preconditioned>,
}

impl Denoised {
    /// What the scheduler is given: its `prediction_type`.
    pub fn model_output(&self) -> Tensor {
        match &self.preconditioned {
            Some(preconditioned) => preconditioned.velocity(&self.output),
            None => self.output.shallow_clone(),
        }
    }

    /// What [`output`](Self::output) should have been; `None` for a model without a prior.
    pub fn target(&self, original: &Tensor, noise: &Tensor) -> Option<Tensor> {
        self.preconditioned.as_ref().map(|preconditioned| preconditioned.target(original, noise))
    }
}

impl DiffusionModel {
    /// New, untrained networks of the folder's configs on `vs`, under their folders' names: `unet`, `controlnet`,
    /// `controlnet_1`, `vae`, `text_encoder`. Untrained, they answer zero: with a prior, the composite comes back.
    ///
    /// # Errors
    /// [`WeightsError`] where the folder's configs are unreadable or do not fit together.
    pub fn new(vs: &Path, folder: &ModelFolder) -> Result<Self, WeightsError> {
        let configs = ModelConfigs::read(folder)?;
        let footprint = Footprint::of(&configs, vs.kind());
        Ok(Self {
            text_encoder: ClipTextModel::new(&(vs / "text_encoder"), &configs.text_encoder),
            unet: UNet2DConditionModel::new(&(vs / "unet"), &configs.unet),
            controlnets: configs
                .controlnets
                .iter()
                .map(|part| (part.schedule, ControlNetModel::new(&(vs / &part.name), &part.config)))
                .collect(),
            vae: Vae::new(&(vs / "vae"), &configs.vae),
            tokenizer: configs.tokenizer,
            scheduler: Scheduler::new(&configs.scheduler),
            flowvid: configs.unet.flowvid,
            footprint,
            placement: Placement { device: vs.device(), kind: vs.kind() },
        })
    }

    /// The folder's networks with the folder's weights.
    ///
    /// # Errors
    /// See [`WeightsError`].
    pub fn load(folder: &ModelFolder, placement: Placement) -> Result<Self, WeightsError> {
        let configs = ModelConfigs::read(folder)?;
        let footprint = Footprint::of(&configs, placement.kind);
        let component = |name: &str| folder.component(name);
        let controlnet = |part: &ControlNetPart| {
            Ok((part.schedule, weights::load(&component(&part.name)?, placement, ControlNetModel::new)?))
        };
        Ok(Self {
            text_encoder: weights::load(&component("text_encoder")?, placement, ClipTextModel::new)?,
            unet: weights::load(&component("unet")?, placement, |vs, _: &UNetConfig| {
                UNet2DConditionModel::new(vs, &configs.unet)
            })?,
            controlnets: configs.controlnets.iter().map(controlnet).collect::<Result<_, WeightsError>>()?,
            vae: weights::load(&component("vae")?, placement, Vae::new)?,
            tokenizer: configs.tokenizer,
            scheduler: Scheduler::new(&configs.scheduler),
            flowvid: configs.unet.flowvid,
            footprint,
            placement,
        })
    }

    /// Writes the weights of a model that was made by [`new`](Self::new) on `store`'s root into the model
    /// folder `folder`, as `kind`.
    ///
    /// # Errors
    /// [`WeightsError::Unwritable`] names the file that could not be written.
    pub fn save(store: &VarStore, folder: &FilePath, kind: Kind) -> Result<(), WeightsError> {
        let mut components: BTreeMap<String, Vec<(String, Tensor)>> = BTreeMap::new();
        for (key, tensor) in store.variables() {
            let (component, key) = key.split_once('.').expect("a variable lies in its component's folder");
            components.entry(component.into()).or_default().push((key.into(), tensor));
        }
        for (component, tensors) in components {
            weights::save(&tensors, &weights_file(&folder.join(component)), kind)?;
        }
        Ok(())
    }

    /// The noise schedule, and the way through it.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Where and in which precision the networks run.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Bytes of the weights that [`load`](Self::load) made of `folder`'s.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`].
    pub fn weights_bytes(&self, folder: &ModelFolder) -> Result<u64, WeightsError> {
        let names = ["text_encoder", "unet", "vae"].map(String::from).into_iter();
        let names = names.chain(controlnet_names(folder));
        let numbers = names.map(|name| folder.component(&name)?.parameters()).sum::<Result<u64, _>>()?;
        Ok(numbers * self.placement.kind.elt_size_in_bytes() as u64)
    }

    /// What its runs take in memory, beside the weights.
    pub fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    /// A prompt that is longer than the text encoder takes is encoded by parts, one after the other.
    ///
    /// - returns one text a prompt, `[prompts, tokens, cross_attention_dim]`
    pub fn encode_prompts(&self, prompts: &[&str]) -> Text {
        let mut encoded: Vec<Vec<Chunk>> =
            prompts.iter().map(|prompt| self.tokenizer.encode(prompt)).collect();
        let most = encoded.iter().map(Vec::len).max().unwrap_or_default();
        for chunks in encoded.iter_mut().filter(|chunks| chunks.len() < most) {
            chunks.resize(most, self.tokenizer.encode("").remove(0));
        }
        let part = |index: usize| self.encode_chunks(encoded.iter().map(|chunks| &chunks[index]));
        Text::new(Tensor::cat(&(0..most).map(part).collect::<Vec<_>>(), 1))
    }

    /// `[chunks, tokens, cross_attention_dim]`
    fn encode_chunks<'a>(&self, chunks: impl Iterator<Item = &'a Chunk> + Clone) -> Tensor {
        let rows = chunks.clone().count() as i64;
        let on_device = |tensor: Tensor| tensor.view([rows, -1]).to_device(self.placement.device);
        let tokens: Vec<i64> = chunks.clone().flat_map(|chunk| chunk.tokens.iter().copied()).collect();
        let weights: Vec<f32> = chunks.flat_map(|chunk| chunk.weights.iter().copied()).collect();
        let hidden_states = self.text_encoder.forward(&on_device(Tensor::from_slice(&tokens)));
        if weights.iter().all(|&weight| weight == 1.0) {
            return hidden_states;
        }
        weighed(&hidden_states, &on_device(Tensor::from_slice(&weights)))
    }

    /// - `pictures`: `[n, 3, H, W]`, 0..1
    /// - returns latents, `[n, latent_channels, h, w]`, f32
    pub fn encode_pictures(&self, pictures: &Tensor) -> Tensor {
        self.vae.encode(pictures).to_kind(Kind::Float)
    }

    /// - `latents`: `[n, latent_channels, h, w]`
    /// - returns `[n, 3, H, W]`, f32, 0..1
    pub fn decode_latents(&self, latents: &Tensor) -> Tensor {
        self.vae.decode(latents).to_kind(Kind::Float).clamp(0.0, 1.0)
    }

    /// As [`decode_latents`](Self::decode_latents), upon the composite that the latents were made from: what
    /// the autoencoder would lose of it is kept. Without a prior the latents are not the composite's, and are
    /// decoded alone.
    ///
    /// - `latents`: `[n, latent_channels, h, w]`
    /// - `composite`: `[n, 3, H, W]`, 0..1
    /// - returns `[n, 3, H, W]`, f32, about 0..1, not clamped
    pub fn decode_upon(&self, latents: &Tensor, composite: &Tensor) -> Tensor {
        let decode = |latents: &Tensor| self.vae.decode(latents).to_kind(Kind::Float);
        match self.flowvid.prior {
            Some(_) => decode(latents) + composite - decode(&self.encode_pictures(composite)),
            None => decode(latents),
        }
    }

    /// Encodes what steers the keyframes, once for all steps. All tensors on the model's device.
    pub fn encode_conditions(&self, pictures: &PictureConditions) -> LatentConditions {
        let composite = self.encode_pictures(&pictures.composite); // [n, latent_channels, h, w]
        // any pixel that is not trusted makes its latent not trusted (method of Rerender and FRESCO)
        let factor = [self.vae.scale_factor(); 2];
        let confidence = pictures.confidence.to_kind(Kind::Float);
        let confidence = -(-confidence).max_pool2d(factor, factor, [0, 0], [1, 1], false); // [n, 1, h, w]
        let first = || self.encode_pictures(&pictures.first).expand_as(&composite);
        let channels: Vec<Tensor> = self
            .flowvid
            .conditions
            .iter()
            .map(|condition| match condition {
                ChannelCondition::Composite => composite.shallow_clone(),
                ChannelCondition::First => first(),
                ChannelCondition::Confidence => confidence.shallow_clone(),
            })
            .collect();
        LatentConditions {
            channels: (!channels.is_empty()).then(|| Tensor::cat(&channels, 1)),
            composite,
            confidence,
            embeddings: self.embed_control(pictures),
        }
    }

    /// One a ControlNet.
    fn embed_control(&self, pictures: &PictureConditions) -> Vec<Option<Tensor>> {
        let shown = |condition: ControlCondition| {
            let given = pictures.control.iter().find(|(given, _)| *given == condition);
            let black = || (!self.is_image_model()).then(|| pictures.composite.zeros_like());
            given.map(|(_, picture)| picture.shallow_clone()).or_else(black)
        };
        let embed = |(schedule, controlnet): &(ControlNetSchedule, ControlNetModel)| {
            shown(schedule.condition).map(|picture| controlnet.embed_condition(&self.network_input(&picture)))
        };
        self.controlnets.iter().map(embed).collect()
    }

    /// Whether the networks were trained on single pictures only.
    pub fn is_image_model(&self) -> bool {
        self.flowvid.is_image_model()
    }

    /// What the ControlNets were trained on, in their order.
    pub fn control_conditions(&self) -> impl Iterator<Item = ControlCondition> {
        self.controlnets.iter().map(|(schedule, _)| schedule.condition)
    }

    /// One call of the networks.
    ///
    /// - `sample`: noisy latents, `[n, latent_channels, h, w]`, f32
    /// - `time`: where in the run
    /// - `text`: one a sample or one for all, from [`encode_prompts`](Self::encode_prompts)
    pub fn denoise(
        &self,
        sample: &Tensor,
        time: StepTime,
        text: &Text,
        conditions: &LatentConditions,
        memory: &mut KeyframeMemory,
    ) -> Denoised {
        let StepTime { timesteps, progress } = time;
        let LatentConditions { composite, confidence, channels, embeddings } = conditions;
        let preconditioned = self.flowvid.prior.map(|prior| {
            prior.at(sample, composite, confidence, &self.scheduler.noise_schedule().noise_level(timesteps))
        });
        let own = preconditioned.as_ref().map_or_else(|| sample.shallow_clone(), Preconditioned::input);
        let input = match channels {
            Some(channels) => Tensor::cat(&[&own, channels], 1),
            None => own,
        };
        let input = self.network_input(&input);
        let counting =
            self.controlnets.iter().zip(embeddings).filter_map(|((schedule, controlnet), embedding)| {
                Some((controlnet, embedding.as_ref()?, schedule.scale_at(progress)?))
            });
        let residuals = counting
            .map(|(controlnet, embedding, scale)| {
                controlnet.forward(&input, timesteps, text, embedding, scale)
            })
            .reduce(ControlNetResiduals::plus);
        let output = self.unet.forward(&input, timesteps, text, residuals.as_ref(), memory);
        Denoised { output: output.to_kind(Kind::Float), preconditioned }
    }

    /// In the networks' precision, and on a CPU with channels last.
    fn network_input(&self, tensor: &Tensor) -> Tensor {
        let tensor = tensor.to_kind(self.placement.kind);
        if self.placement.device == Device::Cpu { channels_last(&tensor) } else { tensor }
    }
}

/// Each token times its weight, the text's mean kept, as the common user interfaces do.
///
/// - `hidden_states`: `[n, tokens, dim]`
/// - `weights`: `[n, tokens]`
fn weighed(hidden_states: &Tensor, weights: &Tensor) -> Tensor {
    let mean = |tensor: &Tensor| tensor.mean_dim([1, 2].as_slice(), true, Kind::Float); // [n, 1, 1]
    let scaled = hidden_states * weights.unsqueeze(-1);
    let restored = mean(hidden_states) / mean(&scaled);
    (scaled * restored).to_kind(hidden_states.kind())
}

//! Keyframes by diffusion: composite, masks and spatial condition in, pictures out (FlowVid 4.2, 4.3).

use serde::Deserialize;
use tch::{Device, Tensor};

use super::{
    CancelToken, EditParameters, EngineError,
    fault::{guarded, halved_once},
};
use crate::{
    diffusion::{
        AnchorMemory, CallSizes, ControlCondition, DiffusionModel, PictureConditions, RunSize, Sampling,
        SamplingInput, SamplingOptions,
    },
    editors::diffusion::edit,
    torch::{Placement, card_memory},
    weights::{ModelFolder, WeightsError},
};

/// A batch's keyframes in time order, `H` and `W` multiples of 16. Those that lead are finished already: their
/// composite is their edit. The others see them, and they come back unchanged.
#[derive(Debug)]
pub struct KeyframeConditions {
    /// Warped edits, holes filled by the proposal, with what steers the networks beside them.
    pub pictures: PictureConditions,
    /// How many are finished, at least one: the first keyframe, after the anchor where that is to be shown too.
    pub finished: i64,
    /// What an earlier batch's keyframes saw of the anchor, where it does not lead this one.
    pub anchor: Option<AnchorMemory>,
    /// Nanoseconds, one a keyframe: which noise it gets.
    pub stream_times: Vec<u64>,
}

/// Keyframes, finished.
#[derive(Debug)]
pub struct Diffused {
    /// `[keyframes, 3, H, W]`, 0..1
    pub pictures: Tensor,
    /// What they saw of the first one, for batches to come; see [`Sampling::into_anchor_memory`].
    pub anchor: Option<AnchorMemory>,
}

/// `model_index.json`, `flowvid`: what the model does when the user asks for nothing else.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
struct Defaults {
    num_inference_steps: usize,
    guidance_scale: f64,
    /// Of an image model's keyframes: how much of the run is taken.
    strength: f64,
    flow_trust: Option<f64>,
    /// On a CPU, so many pixels (width times height, summed over keyframes) go through the networks in one
    /// call, at least one keyframe: a call cannot be cancelled.
    pixels_per_call: i64,
}

impl Default for Defaults {
    /// FlowVid section 5.1.
    fn default() -> Self {
        Self {
            num_inference_steps: 20,
            guidance_scale: 7.5,
            strength: 1.0,
            flow_trust: None,
            pixels_per_call: 0,
        }
    }
}

/// Bytes of a card that are left to all that is no diffusion: CUDA's own context and workspaces, flow, interpolation,
/// pictures at the video's size.
const FOR_ALL_ELSE: u64 = 3 << 29;

/// A model of single pictures was not taught to keep what a warped edit shows.
const IMAGE_MODELS_FLOW_TRUST: f64 = 0.5;

/// The diffusion model of a folder, ready to sample.
#[derive(Debug)]
pub struct Propagator {
    model: DiffusionModel,
    defaults: Defaults,
    /// Bytes of the networks' weights.
    weights: u64,
    /// What the diffusion may take where the user sets no limit.
    room: Option<u64>,
}

impl Propagator {
    /// Loads text encoder, UNet, ControlNets and autoencoder of `folder`.
    ///
    /// # Errors
    /// See [`WeightsError`].
    pub fn load(folder: &ModelFolder, placement: Placement) -> Result<Self, WeightsError> {
        let defaults = Defaults::deserialize(serde_json::Value::Object(folder.options()?));
        let defaults = defaults.map_err(|error| WeightsError::Unreadable {
            file: folder.index_file(),
            cause: format!("flowvid: {error}"),
        })?;
        let model = DiffusionModel::load(folder, placement)?;
        let weights = model.weights_bytes(folder)?;
        let room = card_memory(placement.device).map(|bytes| bytes.saturating_sub(FOR_ALL_ELSE));
        Ok(Self { model, defaults, weights, room })
    }

    /// Whether the model draws the first frame of a shot too, and all of a shot from one noise.
    pub fn is_image_model(&self) -> bool {
        self.model.is_image_model()
    }

    /// What the ControlNets are shown.
    pub fn control_conditions(&self) -> Vec<ControlCondition> {
        self.model.control_conditions().collect()
    }

    /// Whether `anchor` is what a batch with `parameters` would show of it.
    pub fn fits(&self, anchor: &AnchorMemory, parameters: &EditParameters) -> bool {
        anchor.fits(&self.options(parameters))
    }

    /// Samples all keyframes but those that are finished.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`], at most one call of the networks after the token was raised;
    /// [`EngineError::OutOfMemory`] where half of the usual micro-batch is too much as well;
    /// [`EngineError::Settings`] for more steps than the model's scheduler has, and for a memory limit that single
    /// keyframes are too much for.
    pub fn diffuse(
        &self,
        conditions: &KeyframeConditions,
        parameters: &EditParameters,
        cancel: &CancelToken,
    ) -> Result<Diffused, EngineError> {
        let options = self.checked_options(parameters)?;
        let calls = self.call_sizes(&conditions.pictures.composite, &options, parameters.memory_limit)?;
        let device = self.model.placement().device_name();
        halved_once(&device, calls, |calls| self.sample(conditions, &options, calls, cancel))
    }

    /// The edit of a shot's first frame by the model itself, at the settings' strength.
    ///
    /// - `source`: `[1, 3, H, W]`, 0..1
    /// - `control`: what the ControlNets are shown of it
    /// - returns `[1, 3, H, W]`, 0..1
    ///
    /// # Errors
    /// As [`diffuse`](Self::diffuse).
    pub fn edit(
        &self,
        source: &Tensor,
        control: Vec<(ControlCondition, Tensor)>,
        stream_time: u64,
        parameters: &EditParameters,
        cancel: &CancelToken,
    ) -> Result<Tensor, EngineError> {
        let options = SamplingOptions { strength: parameters.strength, ..self.checked_options(parameters)? };
        if options.strength == 0.0 {
            return Ok(source.shallow_clone());
        }
        self.call_sizes(source, &options, parameters.memory_limit)?;
        let device = self.model.placement().device_name();
        let _no_grad = tch::no_grad_guard();
        guarded(&device, || edit(&self.model, source, control, stream_time, &options, || cancel.check()))
    }

    /// As [`diffuse`](Self::diffuse), with at most so many in one call of the networks.
    fn sample(
        &self,
        conditions: &KeyframeConditions,
        options: &SamplingOptions,
        calls: CallSizes,
        cancel: &CancelToken,
    ) -> Result<Diffused, EngineError> {
        let _no_grad = tch::no_grad_guard();
        let input = SamplingInput {
            pictures: &conditions.pictures,
            stream_times: &conditions.stream_times,
            finished: conditions.finished,
            anchor: conditions.anchor.as_ref(),
            calls,
        };
        let mut sampling = Sampling::begin(&self.model, &input, options, || cancel.check())?;
        while sampling.step(|| cancel.check())? {}
        let pictures = self.decode(conditions, sampling.latents(), calls.pictures, cancel)?;
        Ok(Diffused { pictures, anchor: sampling.into_anchor_memory() })
    }

    fn options(&self, parameters: &EditParameters) -> SamplingOptions {
        let or = |value: f64, unset: f64, default: f64| if value == unset { default } else { value };
        let trust = if self.is_image_model() { IMAGE_MODELS_FLOW_TRUST } else { 0.0 };
        SamplingOptions {
            prompt: parameters.prompt.clone(),
            negative_prompt: parameters.negative_prompt.clone(),
            num_inference_steps: match parameters.num_inference_steps {
                0 => self.defaults.num_inference_steps,
                steps => steps,
            },
            guidance_scale: or(parameters.guidance_scale, 0.0, self.defaults.guidance_scale),
            strength: self.defaults.strength,
            flow_trust: match parameters.flow_trust {
                unset if unset < 0.0 => self.defaults.flow_trust.unwrap_or(trust),
                trust => trust,
            },
            seed: parameters.seed,
        }
    }

    /// # Errors
    /// [`EngineError::Settings`] for more steps than the model's scheduler has.
    fn checked_options(&self, parameters: &EditParameters) -> Result<SamplingOptions, EngineError> {
        let (options, most) = (self.options(parameters), self.model.scheduler().most_steps());
        if options.num_inference_steps > most {
            return Err(EngineError::Settings(format!(
                "this model is sampled in {most} steps at most: lower steps"
            )));
        }
        Ok(options)
    }

    /// How many go through the networks at once, unless memory is short all the same.
    ///
    /// # Errors
    /// [`EngineError::Settings`] where the limit that the user set is too low for single ones.
    fn call_sizes(
        &self,
        pictures: &Tensor,
        options: &SamplingOptions,
        limit: u64,
    ) -> Result<CallSizes, EngineError> {
        let [keyframes, _, height, width] = pictures.size()[..] else { panic!("[keyframes, 3, H, W]") };
        let most = match self.model.placement().device {
            Device::Cpu => (self.defaults.pixels_per_call / (height * width)).clamp(1, keyframes),
            _ => keyframes,
        };
        let Some(room) = (limit > 0).then_some(limit).or(self.room) else { return Ok(CallSizes::both(most)) };
        let run = RunSize::new(keyframes, height * width, options);
        let footprint = self.model.footprint();
        match footprint.fitting(&run, room.saturating_sub(self.weights)) {
            Some(calls) => Ok(calls.min(CallSizes::both(most))),
            // the card may hold more than the arithmetic says
            None if limit == 0 => Ok(CallSizes::both(1)),
            None => {
                let least = self.weights + footprint.bytes(&run, CallSizes::both(1));
                Err(EngineError::Settings(format!(
                    "memory-limit={limit} is too little: this model's diffusion takes at least {least} bytes at \
                     {width}x{height}, {} steps and {keyframes} keyframes. Raise memory-limit (0 takes what the device \
                     has), or lower processing-size, batch-size or steps",
                    options.num_inference_steps
                )))
            }
        }
    }

    /// The sampled keyframes' pictures, after the finished ones' edits.
    fn decode(
        &self,
        conditions: &KeyframeConditions,
        sample: &Tensor,
        most: i64,
        cancel: &CancelToken,
    ) -> Result<Tensor, EngineError> {
        let (composite, finished) = (&conditions.pictures.composite, conditions.finished);
        let mut pictures = vec![composite.narrow(0, 0, finished)];
        let keyframes = composite.size()[0];
        for start in (finished..keyframes).step_by(most as usize) {
            cancel.check()?;
            let [latents, composite] =
                [sample, composite].map(|all| all.narrow(0, start, most.min(keyframes - start)));
            pictures.push(self.model.decode_upon(&latents, &composite).clamp(0.0, 1.0));
        }
        Ok(Tensor::cat(&pictures, 0))
    }
}

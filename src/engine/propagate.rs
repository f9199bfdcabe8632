//! Keyframes by diffusion: composite, masks and spatial condition in, pictures out (FlowVid 4.2, 4.3).

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::{CancelToken, EditParameters, EngineError, fault::halved_once};
use crate::{
    diffusion::{DiffusionModel, KeyframeMemory, LatentConditions, PictureConditions, Sampler, noise},
    torch::Placement,
    weights::{ModelFolder, WeightsError},
};

/// A batch's keyframes in time order, `H` and `W` multiples of 16. The first one is finished already: its
/// composite is its edit. The others see it, and it comes back unchanged.
#[derive(Debug)]
pub struct KeyframeConditions {
    /// Warped edits, holes filled by the proposal: `[keyframes, 3, H, W]`, 0..1.
    pub composite: Tensor,
    /// `[keyframes, 1, H, W]`, 0..1: 1 = a warped edit is seen there, 0 = it is the proposal.
    pub confidence: Tensor,
    /// The spatial condition, `[keyframes, 3, H, W]`, 0..1.
    pub condition: Tensor,
    /// The first edited frame, `[1, 3, H, W]`, 0..1.
    pub first: Tensor,
    /// Nanoseconds, one a keyframe.
    pub stream_times: Vec<u64>,
}

/// `model_index.json`, `flowvid`: what the model does when the user asks for nothing else.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
struct Defaults {
    num_inference_steps: usize,
    guidance_scale: f64,
    /// On a CPU, so many pixels (width times height, summed over keyframes) go through the networks in one
    /// call, at least one keyframe: a call cannot be cancelled.
    pixels_per_call: i64,
}

impl Default for Defaults {
    /// FlowVid section 5.1.
    fn default() -> Self {
        Self { num_inference_steps: 20, guidance_scale: 7.5, pixels_per_call: 0 }
    }
}

/// The diffusion model of a folder, ready to sample.
#[derive(Debug)]
pub struct Propagator {
    model: DiffusionModel,
    defaults: Defaults,
}

/// A text and the memory of the keyframes that were denoised by it in the step under way.
#[derive(Debug)]
struct Guide {
    /// `[1, tokens, cross_attention_dim]`
    text: Tensor,
    weight: f64,
    memory: KeyframeMemory,
}

impl Propagator {
    /// Loads text encoder, UNet, ControlNet and autoencoder of `folder`.
    ///
    /// # Errors
    /// See [`WeightsError`].
    pub fn load(folder: &ModelFolder, placement: Placement) -> Result<Self, WeightsError> {
        let index = folder.index()?;
        let defaults =
            index.get("flowvid").map(|defaults| serde_json::from_value(defaults.clone())).transpose();
        let defaults = defaults.map_err(|error| WeightsError::Unreadable {
            file: folder.index_file(),
            cause: format!("flowvid: {error}"),
        })?;
        Ok(Self { model: DiffusionModel::load(folder, placement)?, defaults: defaults.unwrap_or_default() })
    }

    /// Whether the text encoder was taught a word of this prompt.
    pub fn understands(&self, prompt: &str) -> bool {
        self.model.tokenizer().understands(prompt)
    }

    /// Samples all keyframes but the first, which is finished: `[keyframes, 3, H, W]`, 0..1.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`], at most one call of the networks after the token was raised;
    /// [`EngineError::OutOfMemory`] where half of the usual micro-batch is too much as well.
    pub fn diffuse(
        &self,
        conditions: &KeyframeConditions,
        parameters: &EditParameters,
        cancel: &CancelToken,
    ) -> Result<Tensor, EngineError> {
        let device = self.model.placement().device_name();
        halved_once(&device, self.keyframes_per_call(&conditions.composite), |most| {
            self.sample(conditions, parameters, most, cancel)
        })
    }

    /// As [`diffuse`](Self::diffuse), with at most `most` keyframes in one call of the networks.
    fn sample(
        &self,
        conditions: &KeyframeConditions,
        parameters: &EditParameters,
        most: i64,
        cancel: &CancelToken,
    ) -> Result<Tensor, EngineError> {
        let _no_grad = tch::no_grad_guard();
        // 1. what is known of each keyframe, as latents
        let calls = calls(conditions.composite.size()[0], most);
        let latents = self.encode(conditions, &calls, cancel)?;
        let finished = self.model.encode_pictures(&conditions.composite.narrow(0, 0, 1)); // [1, c, h, w]
        // 2. random noise, a function of (seed, stream time)
        let [channels, height, width] = [1, 2, 3].map(|dim| finished.size()[dim]);
        let shape = [channels, height, width];
        let drawn = |draw| {
            noise(parameters.seed, draw, &conditions.stream_times, shape, self.model.placement().device)
        };
        let noise = drawn(0);
        // 3. denoise, the finished keyframe kept at the step's own noise
        let mut sampler = self.sampler(parameters)?;
        let mut sample = sampler.start(&noise); // [keyframes, c, h, w]
        for step in 1.. {
            let Some(timestep) = sampler.timestep() else { break };
            let seen = sampler.add_noise(&finished, &noise.narrow(0, 0, 1));
            let others = sample.narrow(0, 1, sample.size()[0] - 1);
            sample = Tensor::cat(&[seen, others], 0);
            let mut guides = self.guides(parameters);
            let mut outputs = Vec::new();
            for (&(start, length), latents) in calls.iter().zip(&latents) {
                let part = sample.narrow(0, start, length);
                outputs.push(self.model_output(&part, timestep, latents, &mut guides, cancel)?);
            }
            sample = sampler.step(&Tensor::cat(&outputs, 0), &sample, || drawn(step));
        }
        // 4. decode
        self.decode(conditions, &sample, &calls, cancel)
    }

    /// # Errors
    /// [`EngineError::Settings`] for more steps than the model's scheduler has.
    fn sampler(&self, parameters: &EditParameters) -> Result<Sampler<'_>, EngineError> {
        let steps = match parameters.num_inference_steps {
            0 => self.defaults.num_inference_steps,
            steps => steps,
        };
        let (scheduler, most) = (self.model.scheduler(), self.model.scheduler().most_steps());
        if steps > most {
            return Err(EngineError::Settings(format!(
                "this model is sampled in {most} steps at most: lower steps"
            )));
        }
        Ok(scheduler.sampler(steps))
    }

    /// How many keyframes go through the networks at once, unless memory is short.
    fn keyframes_per_call(&self, pictures: &Tensor) -> i64 {
        let [keyframes, _, height, width] = pictures.size()[..] else { panic!("[keyframes, 3, H, W]") };
        match self.model.placement().device {
            Device::Cpu => (self.defaults.pixels_per_call / (height * width)).clamp(1, keyframes),
            _ => keyframes,
        }
    }

    fn encode(
        &self,
        conditions: &KeyframeConditions,
        calls: &[(i64, i64)],
        cancel: &CancelToken,
    ) -> Result<Vec<LatentConditions>, EngineError> {
        let encode = |&(start, length): &(i64, i64)| {
            cancel.check()?;
            Ok(self.model.encode_conditions(&PictureConditions {
                composite: conditions.composite.narrow(0, start, length),
                confidence: conditions.confidence.narrow(0, start, length),
                condition: conditions.condition.narrow(0, start, length),
                first: conditions.first.shallow_clone(),
            }))
        };
        calls.iter().map(encode).collect()
    }

    /// Classifier-free guidance: prompt and negative prompt, weighted; the prompt alone at scale 1.
    fn guides(&self, parameters: &EditParameters) -> Vec<Guide> {
        let scale = match parameters.guidance_scale {
            0.0 => self.defaults.guidance_scale,
            scale => scale,
        };
        let guide = |prompt: &str, weight| Guide {
            text: self.model.encode_prompts(&[prompt]),
            weight,
            memory: KeyframeMemory::new(0),
        };
        let mut guides = vec![guide(&parameters.prompt, scale)];
        if scale != 1.0 {
            guides.push(guide(&parameters.negative_prompt, 1.0 - scale));
        }
        guides
    }

    fn model_output(
        &self,
        sample: &Tensor,
        timestep: f64,
        latents: &LatentConditions,
        guides: &mut [Guide],
        cancel: &CancelToken,
    ) -> Result<Tensor, EngineError> {
        let keyframes = sample.size()[0];
        let timesteps = self.times(timestep, keyframes);
        let mut mixed = sample.zeros_like();
        for guide in guides {
            cancel.check()?;
            guide.memory.next_call(keyframes);
            let text = guide.text.expand([keyframes, -1, -1], false);
            let denoised = self.model.denoise(sample, &timesteps, &text, latents, &mut guide.memory);
            mixed += denoised.model_output() * guide.weight;
        }
        Ok(mixed)
    }

    fn decode(
        &self,
        conditions: &KeyframeConditions,
        sample: &Tensor,
        calls: &[(i64, i64)],
        cancel: &CancelToken,
    ) -> Result<Tensor, EngineError> {
        let mut pictures = Vec::new();
        for &(start, length) in calls {
            cancel.check()?;
            let [latents, composite] =
                [sample, &conditions.composite].map(|all| all.narrow(0, start, length));
            pictures.push(self.model.decode_upon(&latents, &composite).clamp(0.0, 1.0));
        }
        let pictures = Tensor::cat(&pictures, 0);
        let others = pictures.narrow(0, 1, pictures.size()[0] - 1);
        Ok(Tensor::cat(&[conditions.composite.narrow(0, 0, 1), others], 0))
    }

    fn times(&self, timestep: f64, keyframes: i64) -> Tensor {
        let kind = if timestep.fract() == 0.0 { Kind::Int64 } else { Kind::Float };
        Tensor::full(keyframes, timestep, (kind, self.model.placement().device))
    }
}

/// Start and length of the micro-batches that `keyframes` go through the networks in, `most` at once.
fn calls(keyframes: i64, most: i64) -> Vec<(i64, i64)> {
    (0..keyframes).step_by(most as usize).map(|start| (start, most.min(keyframes - start))).collect()
}

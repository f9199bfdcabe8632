//! A run from noise to a batch's keyframes: guidance, the finished keyframes held, the warped edits mixed in.

use std::rc::Rc;

use tch::{Kind, Tensor};

use super::{
    attention::Text,
    flow_trust,
    footprint::CallSizes,
    keyframes::KeyframeMemory,
    model::{DiffusionModel, LatentConditions, PictureConditions, StepTime},
    noise::noise,
    schedulers::Sampler,
};

/// How a run is sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingOptions {
    /// What the keyframes should show.
    pub prompt: String,
    /// What they should not show; counts where `guidance_scale` is not 1.
    pub negative_prompt: String,
    /// Denoising steps, 1..=[`Scheduler::most_steps`](super::Scheduler::most_steps).
    pub num_inference_steps: usize,
    /// Classifier-free guidance; 1 is off.
    pub guidance_scale: f64,
    /// How much of an image model's run is taken, above 0 to 1; less leaves more of the composite.
    pub strength: f64,
    /// 0..1, how far what a warped edit sees is held while it is denoised.
    pub flow_trust: f64,
    /// Random seed.
    pub seed: u64,
}

/// What a run is about.
#[derive(Debug)]
pub struct SamplingInput<'a> {
    /// The keyframes in time order; finished ones lead, and their composite is their edit.
    pub pictures: &'a PictureConditions,
    /// Nanoseconds, one a keyframe: which noise it gets.
    pub stream_times: &'a [u64],
    /// How many keyframes lead that are finished: the others see them, at the step's own noise.
    pub finished: i64,
    /// What the keyframes see of the anchor, where it is not their first.
    pub anchor: Option<&'a AnchorMemory>,
    /// At most so many go through the networks in one call.
    pub calls: CallSizes,
}

/// What the first keyframe of a run showed the others, step by step: with it, a later run's keyframes see that
/// keyframe without its being run again. Only of an image model.
#[derive(Debug, Clone)]
pub struct AnchorMemory {
    made_with: SamplingOptions,
    /// `[step][guide][layer]`: `[1, 1, tokens, dim]`
    layers: Rc<Vec<Vec<Vec<Tensor>>>>,
}

impl AnchorMemory {
    /// Whether a run with `options` would have shown the same.
    pub fn fits(&self, options: &SamplingOptions) -> bool {
        let without_trust =
            |options: &SamplingOptions| SamplingOptions { flow_trust: 0.0, ..options.clone() };
        without_trust(&self.made_with) == without_trust(options)
    }
}

/// A text, and its weight in the networks' answer.
#[derive(Debug)]
struct Guide {
    /// The same for all keyframes.
    text: Text,
    weight: f64,
}

/// A run that is under way.
#[derive(Debug)]
pub struct Sampling<'a> {
    model: &'a DiffusionModel,
    options: &'a SamplingOptions,
    input: &'a SamplingInput<'a>,
    sampler: Sampler<'a>,
    guides: Vec<Guide>,
    /// Start and length of each call, and what steers its keyframes.
    calls: Vec<((i64, i64), LatentConditions)>,
    /// The composite's latents, `[n, latent_channels, h, w]`.
    reference: Tensor,
    /// `[n, 1, h, w]`
    confidence: Tensor,
    /// The noise that the run begins with, `[n, latent_channels, h, w]`.
    noise: Tensor,
    sample: Tensor,
    seen_of_first: Vec<Vec<Vec<Tensor>>>,
}

impl<'a> Sampling<'a> {
    /// Encodes what steers the keyframes; `check` is asked between two calls of the networks.
    ///
    /// # Errors
    /// Those of `check`.
    pub fn begin<E>(
        model: &'a DiffusionModel,
        input: &'a SamplingInput<'a>,
        options: &'a SamplingOptions,
        check: impl Fn() -> Result<(), E>,
    ) -> Result<Self, E> {
        let encode = |(start, length)| {
            let encode = |(after, length)| {
                check()?;
                Ok(model.encode_conditions(&input.pictures.narrow(start + after, length)))
            };
            let parts = spans(length, input.calls.pictures).map(encode).collect::<Result<Vec<_>, E>>()?;
            Ok(((start, length), LatentConditions::cat(&parts)))
        };
        let spans = spans(input.pictures.keyframes(), input.calls.keyframes);
        let calls = spans.map(encode).collect::<Result<Vec<_>, E>>()?;
        let all = |part: fn(&LatentConditions) -> &Tensor| {
            Tensor::cat(&calls.iter().map(|(_, latents)| part(latents)).collect::<Vec<_>>(), 0)
        };
        let (reference, confidence) = (all(|latents| &latents.composite), all(|latents| &latents.confidence));
        let noise = draw(&reference, options.seed, 0, input.stream_times);
        let sampler = model.scheduler().sampler_from(options.num_inference_steps, options.strength);
        // an image model's run never ends in noise alone, and begins as it was taught to: with the picture's tone
        let sample = if model.is_image_model() {
            sampler.add_noise(&reference, &noise)
        } else {
            sampler.start(&noise)
        };
        let (guides, seen_of_first) = (guides(model, options), Vec::new());
        Ok(Self {
            model,
            options,
            input,
            sampler,
            guides,
            calls,
            reference,
            confidence,
            noise,
            sample,
            seen_of_first,
        })
    }

    /// One step of all keyframes; `false` where the run is at its end.
    ///
    /// # Errors
    /// Those of `check`; the run is then of no use any more.
    pub fn step<E>(&mut self, check: impl Fn() -> Result<(), E>) -> Result<bool, E> {
        let Some(timestep) = self.sampler.timestep() else { return Ok(false) };
        self.hold_finished();
        let output = self.model_output(timestep, check)?;
        let draws = 1 + self.sampler.progress().taken as u64;
        let renewed = self
            .sampler
            .renews_noise()
            .then(|| draw(&self.noise, self.options.seed, draws, self.input.stream_times));
        let noise = renewed.as_ref().unwrap_or(&self.noise);
        self.sample = self.sampler.step(&output, &self.sample, noise);
        let weight = flow_trust::weight(
            self.options.flow_trust,
            self.sampler.progress(),
            self.sampler.is_consistency_model(),
        );
        if weight > 0.0 {
            // with the noise that the step left in: the sample's variance stays
            let known = self.sampler.add_noise(&self.reference, noise);
            self.sample = self.sample.lerp_tensor(&known, &(&self.confidence * weight));
        }
        Ok(true)
    }

    /// `[n, latent_channels, h, w]`, f32; those of finished keyframes mean nothing.
    pub fn latents(&self) -> &Tensor {
        &self.sample
    }

    /// At the run's end, what its first keyframe showed the others; `None` where that was given to it, where no
    /// keyframe is finished, or where the model is a video's.
    pub fn into_anchor_memory(self) -> Option<AnchorMemory> {
        self.remembers_first()
            .then(|| AnchorMemory { made_with: self.options.clone(), layers: Rc::new(self.seen_of_first) })
    }

    fn remembers_first(&self) -> bool {
        self.model.is_image_model() && self.input.anchor.is_none() && self.input.finished > 0
    }

    /// The finished keyframes are at the step's own noise.
    fn hold_finished(&mut self) {
        let count = self.input.finished;
        let seen =
            self.sampler.add_noise(&self.reference.narrow(0, 0, count), &self.noise.narrow(0, 0, count));
        let others = self.sample.narrow(0, count, self.sample.size()[0] - count);
        self.sample = Tensor::cat(&[seen, others], 0);
    }

    /// What the networks predict, guides weighed.
    fn model_output<E>(&mut self, timestep: f64, check: impl Fn() -> Result<(), E>) -> Result<Tensor, E> {
        let step = self.sampler.progress().taken;
        let known = self.input.anchor.and_then(|anchor| anchor.layers.get(step));
        let memory = |guide: usize| known.map(|guides| KeyframeMemory::after_first(&guides[guide]));
        let mut memories: Vec<KeyframeMemory> = (0..self.guides.len())
            .map(|guide| memory(guide).unwrap_or_else(|| KeyframeMemory::new(0)))
            .collect();
        let mut outputs = Vec::new();
        for ((start, length), latents) in &self.calls {
            let part = self.sample.narrow(0, *start, *length);
            outputs.push(self.guided(&part, timestep, latents, &mut memories, &check)?);
        }
        if self.remembers_first() {
            self.seen_of_first.push(memories.iter().map(KeyframeMemory::first).collect());
        }
        Ok(Tensor::cat(&outputs, 0))
    }

    fn guided<E>(
        &self,
        sample: &Tensor,
        timestep: f64,
        latents: &LatentConditions,
        memories: &mut [KeyframeMemory],
        check: &impl Fn() -> Result<(), E>,
    ) -> Result<Tensor, E> {
        let keyframes = sample.size()[0];
        let kind = if timestep.fract() == 0.0 { Kind::Int64 } else { Kind::Float };
        let timesteps = Tensor::full(keyframes, timestep, (kind, sample.device()));
        let mut mixed = sample.zeros_like();
        for (guide, memory) in self.guides.iter().zip(memories) {
            check()?;
            memory.next_call(keyframes);
            let time = StepTime { timesteps: &timesteps, progress: self.sampler.progress() };
            let denoised = self.model.denoise(sample, time, &guide.text, latents, memory);
            mixed += denoised.model_output() * guide.weight;
        }
        Ok(mixed)
    }
}

/// Classifier-free guidance: prompt and negative prompt, weighted; the prompt alone at scale 1.
fn guides(model: &DiffusionModel, options: &SamplingOptions) -> Vec<Guide> {
    let guide = |prompt: &str, weight| Guide { text: model.encode_prompts(&[prompt]), weight };
    let scale = options.guidance_scale;
    let mut guides = vec![guide(&options.prompt, scale)];
    if scale != 1.0 {
        guides.push(guide(&options.negative_prompt, 1.0 - scale));
    }
    guides
}

/// Noise of the shape of `like`, `[n, latent_channels, h, w]`.
fn draw(like: &Tensor, seed: u64, draw: u64, stream_times: &[u64]) -> Tensor {
    let shape = [1, 2, 3].map(|dim| like.size()[dim]);
    noise(seed, draw, stream_times, shape, like.device())
}

/// Start and length of the calls that `keyframes` go through the networks in, `most` at once.
fn spans(keyframes: i64, most: i64) -> impl Iterator<Item = (i64, i64)> {
    (0..keyframes).step_by(most as usize).map(move |start| (start, most.min(keyframes - start)))
}

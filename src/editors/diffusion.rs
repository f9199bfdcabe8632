//! The first frame of a shot, drawn by an image model from the frame itself.

use tch::Tensor;

use crate::diffusion::{
    CallSizes, ControlCondition, DiffusionModel, PictureConditions, Sampling, SamplingInput, SamplingOptions,
};

/// Image-to-image: the source's latents, so much noise as `options.strength` asks for, and the way back by the prompt,
/// with ControlNets that hold the source's structure.
///
/// - `source`: `[1, 3, H, W]`, 0..1, `H` and `W` multiples of 16
/// - `control`: what the ControlNets are shown, `[1, 3, H, W]` each
/// - `stream_time`: nanoseconds; with the seed it decides the noise
/// - returns `[1, 3, H, W]`, 0..1
///
/// # Errors
/// Those of `check`, which is asked between two calls of the networks.
///
/// Source: SDEdit (Meng et al. 2108.01073), as diffusers' `StableDiffusionControlNetImg2ImgPipeline`.
pub fn edit<E>(
    model: &DiffusionModel,
    source: &Tensor,
    control: Vec<(ControlCondition, Tensor)>,
    stream_time: u64,
    options: &SamplingOptions,
    check: impl Fn() -> Result<(), E>,
) -> Result<Tensor, E> {
    let pictures = PictureConditions {
        composite: source.shallow_clone(),
        confidence: source.narrow(1, 0, 1).zeros_like(),
        first: source.shallow_clone(),
        control,
    };
    let input = SamplingInput {
        pictures: &pictures,
        stream_times: &[stream_time],
        finished: 0,
        anchor: None,
        calls: CallSizes::both(1),
    };
    let mut sampling = Sampling::begin(model, &input, options, &check)?;
    while sampling.step(&check)? {}
    check()?;
    Ok(model.decode_latents(sampling.latents()))
}

//! All networks of one model folder, on one device.

use crate::{
    conditions::{flow::FlowEstimator, gmflow::GmFlow},
    editors::looks::Looks,
    engine::propagate::Propagator,
    interpolation::Rife,
    torch::Placement,
    weights::{ModelFolder, WeightsError, load},
};

/// The networks of a model, each component as its folder says.
#[derive(Debug)]
pub struct Model {
    /// Device and dtype.
    pub placement: Placement,
    /// Motion between source frames.
    pub flow: FlowEstimator,
    /// Looks by prompt.
    pub looks: Looks,
    /// The interpolation network, where the model brings one.
    pub rife: Option<Rife>,
    /// The video diffusion model, where the model brings one.
    pub propagator: Option<Propagator>,
}

impl Model {
    /// Loads the components of `folder`.
    ///
    /// # Errors
    /// [`WeightsError`] names the file.
    pub fn load(folder: &ModelFolder, placement: Placement) -> Result<Self, WeightsError> {
        // Flow and interpolation stay in full precision: their matching overflows in half.
        let full = Placement { kind: tch::Kind::Float, ..placement };
        let gmflow = load(&folder.component("flow")?, full, GmFlow::new)?;
        let rife = optional(folder, "interpolation", |part| load(part, full, Rife::new))?;
        Ok(Self {
            placement,
            flow: FlowEstimator::new(gmflow),
            looks: Looks::load(folder, full)?,
            rife,
            propagator: if folder.has("unet") { Some(Propagator::load(folder, placement)?) } else { None },
        })
    }
}

fn optional<T>(
    folder: &ModelFolder,
    name: &str,
    load: impl FnOnce(&crate::weights::Component) -> Result<T, WeightsError>,
) -> Result<Option<T>, WeightsError> {
    if folder.has(name) { load(&folder.component(name)?).map(Some) } else { Ok(None) }
}

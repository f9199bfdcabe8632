//! All networks of one model folder, on one device.

use super::{CancelToken, EngineError, propagate::Propagator};
use crate::{
    conditions::{depth::DepthAnything, flow::FlowEstimator, gmflow::GmFlow},
    editors::looks::Looks,
    interpolation::Rife,
    torch::{Placement, PlacementError},
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
    /// Depth of source frames, where the model brings a network for it.
    pub depth: Option<DepthAnything>,
    /// The interpolation network, where the model brings one.
    pub rife: Option<Rife>,
    /// The video diffusion model, where the model brings one.
    pub propagator: Option<Propagator>,
    /// Keyframes in a batch, where the model or its preset says so.
    pub batch_size: Option<usize>,
    /// What the user should know of how it is run.
    pub notes: Vec<String>,
}

impl Model {
    /// Loads the components of `folder`, unless nobody wants them any more.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] names the file; [`EngineError::Cancelled`].
    pub fn load(
        folder: &ModelFolder,
        placement: Placement,
        abandoned: &CancelToken,
    ) -> Result<Self, EngineError> {
        // Flow and interpolation stay in full precision: their matching overflows in half.
        let full = Placement { kind: tch::Kind::Float, ..placement };
        folder.check()?;
        let gmflow = load(&folder.component("flow")?, full, GmFlow::new)?;
        abandoned.check()?;
        let depth = optional(folder, "depth", |part| load(part, full, DepthAnything::new))?;
        let rife = optional(folder, "interpolation", |part| load(part, full, Rife::new))?;
        let looks = Looks::load(folder, full)?;
        abandoned.check()?;
        let propagator = if folder.has("unet") { Some(Propagator::load(folder, placement)?) } else { None };
        let batch_size = folder.options()?.get("batch_size").and_then(serde_json::Value::as_u64);
        let batch_size = batch_size.map(|keyframes| keyframes as usize);
        let (flow, notes) = (FlowEstimator::new(gmflow), folder.notes()?);
        Ok(Self { placement, flow, depth, looks, rife, propagator, batch_size, notes })
    }
}

impl From<WeightsError> for EngineError {
    fn from(error: WeightsError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<PlacementError> for EngineError {
    fn from(error: PlacementError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

fn optional<T>(
    folder: &ModelFolder,
    name: &str,
    load: impl FnOnce(&crate::weights::Component) -> Result<T, WeightsError>,
) -> Result<Option<T>, WeightsError> {
    if folder.has(name) { load(&folder.component(name)?).map(Some) } else { Ok(None) }
}

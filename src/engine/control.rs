//! What a model's ControlNets are shown of the source.

use tch::Tensor;

use super::{Condition, EngineError, propagate::Propagator, work::Work};
use crate::{
    conditions::canny::{Hysteresis, canny},
    diffusion::ControlCondition,
};

impl Work<'_> {
    /// The spatial condition that is asked for and that the model was trained on; none where none is wanted.
    ///
    /// - `sources`: `[n, 3, h, w]`, 0..1
    /// - returns `[n, 3, h, w]` a condition, 0..1
    ///
    /// # Errors
    /// [`EngineError::Settings`] where the model has no ControlNet for it, [`EngineError::Cancelled`].
    pub fn control(
        &mut self,
        propagator: &Propagator,
        sources: &Tensor,
    ) -> Result<Vec<(ControlCondition, Tensor)>, EngineError> {
        let known = propagator.control_conditions();
        let wanted = match self.parameters.condition {
            Condition::None => return Ok(Vec::new()),
            Condition::Auto if !known.contains(&ControlCondition::Canny) => return Ok(Vec::new()),
            Condition::Auto | Condition::Canny => ControlCondition::Canny,
            Condition::Depth => return Err(EngineError::Settings(NO_DEPTH.into())),
        };
        if !known.contains(&wanted) {
            return Err(EngineError::Settings(NO_CANNY.into()));
        }
        let edges = self.run("condition", || canny(sources, Hysteresis::default()))?;
        Ok(vec![(wanted, edges)])
    }
}

const NO_DEPTH: &str = "this model folder has no depth network: set condition=canny or condition=auto";
const NO_CANNY: &str = "this model folder has no ControlNet for canny edges: set condition=auto";

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
        let depth = self.model.depth.as_ref();
        let wanted = match self.parameters.condition {
            Condition::None => return Ok(Vec::new()),
            Condition::Canny => ControlCondition::Canny,
            Condition::Depth => ControlCondition::Depth,
            Condition::Auto if known.contains(&ControlCondition::Canny) => ControlCondition::Canny,
            Condition::Auto if known.contains(&ControlCondition::Depth) && depth.is_some() => {
                ControlCondition::Depth
            }
            Condition::Auto => return Ok(Vec::new()),
        };
        let lacks = |what: &str| EngineError::Settings(what.into());
        let picture = match (wanted, depth) {
            (ControlCondition::Depth, None) => return Err(lacks(NO_DEPTH)),
            (ControlCondition::Depth, _) if !known.contains(&wanted) => return Err(lacks(NO_DEPTH_CONTROL)),
            (ControlCondition::Depth, Some(depth)) => self.run("condition", || depth.condition(sources))?,
            _ if !known.contains(&wanted) => return Err(lacks(NO_CANNY)),
            _ => self.run("condition", || canny(sources, Hysteresis::default()))?,
        };
        Ok(vec![(wanted, picture)])
    }
}

const NO_DEPTH: &str = "this model folder has no depth network: set condition=canny or condition=auto";
const NO_DEPTH_CONTROL: &str = "this model folder has no ControlNet for depth: set condition=auto";
const NO_CANNY: &str = "this model folder has no ControlNet for canny edges: set condition=auto";

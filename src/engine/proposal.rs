//! What a frame's edit may look like where no edited frame shows it.

use tch::Tensor;

use super::{calibrate::match_color, composite::Composite, prior::Evidence, sharpness};
use crate::editors::looks::{Frozen, Look, Looks};

/// Where a shot's proposals come from.
#[derive(Debug)]
pub enum Proposer {
    /// The prompt's look of the very frame.
    Look {
        /// Which look.
        look: Look,
        /// 0 is the source, 1 the look.
        strength: f64,
        /// The anchor's statistics, which the whole shot keeps.
        frozen: Frozen,
    },
    /// The closed-form prior, for an edit that nobody can recompute.
    Prior {
        /// What the anchor and its edit tell.
        anchor: Evidence,
        /// Laplacian energy of the anchor's edit over that of its source.
        sharpness: f64,
    },
}

impl Proposer {
    /// Learns from an edit made by an unknown hand.
    ///
    /// - `source`, `edit`: `[1, 3, h, w]`, 0..1
    pub fn from_edit(source: &Tensor, edit: &Tensor) -> Self {
        let everywhere = source.narrow(1, 0, 1).ones_like();
        let energy = |picture: &Tensor| sharpness::energy(picture, &everywhere);
        Self::Prior {
            anchor: Evidence::new(source, edit, &everywhere),
            sharpness: energy(edit) / energy(source).max(1e-9),
        }
    }

    /// The edit of `source` as far as it can be known from the source alone, `[1, 3, h, w]`, 0..1.
    pub fn edit(&self, looks: &Looks, source: &Tensor) -> Tensor {
        match self {
            Self::Look { look, strength, frozen } => looks.apply(look, source, *strength, Some(frozen)),
            Self::Prior { anchor, .. } => anchor.solve().propose(source),
        }
    }

    /// A proposal for `source` that fits what its warped edits show.
    ///
    /// - `composite`: those edits
    /// - returns `[1, 3, h, w]`, 0..1
    pub fn propose(&self, looks: &Looks, source: &Tensor, composite: &Composite) -> Tensor {
        let seen = composite.picture();
        match self {
            Self::Look { .. } => match_color(&self.edit(looks, source), &seen, &composite.confidence),
            Self::Prior { anchor, .. } => {
                anchor.with(&Evidence::new(source, &seen, &composite.confidence)).solve().propose(source)
            }
        }
    }

    /// The Laplacian energy that the edit of `source` should have where `confidence` is high; see
    /// [`sharpness::hold`].
    ///
    /// - `proposal`: what [`propose`](Self::propose) gave for this frame
    pub fn sharpness(&self, source: &Tensor, proposal: &Tensor, confidence: &Tensor) -> f64 {
        match self {
            Self::Look { .. } => sharpness::energy(proposal, confidence),
            Self::Prior { sharpness, .. } => sharpness * sharpness::energy(source, confidence),
        }
    }
}

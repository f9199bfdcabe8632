//! What a frame's edit may look like where no edited frame shows it.

use tch::Tensor;

use super::{calibrate::match_color, composite::Composite, prior::Evidence, sharpness, shot::Edited};
use crate::editors::looks::{Frozen, Look, Looks};

/// What the pictures before are worth beside a new one.
const REMEMBERED: f64 = 0.05;

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
        /// What the user's pictures and their sources tell.
        pictures: Evidence,
        /// Laplacian energy of the pictures, and that of their sources.
        energy: [f64; 2],
    },
}

impl Proposer {
    /// Learns from an edit made by an unknown hand.
    ///
    /// - `source`, `edit`: `[1, 3, h, w]`, 0..1
    pub fn from_edit(source: &Tensor, edit: &Tensor) -> Self {
        Self::from_part(source, edit, &source.narrow(1, 0, 1).ones_like())
    }

    /// Learns from a picture of the user's, on top of what was `learned` from others. They speak where this one is
    /// silent: two edits of one colour would else be mixed.
    pub fn taught(learned: Option<&Self>, picture: &Edited) -> Self {
        let Edited { source, edit, mask, .. } = picture;
        let own = match mask {
            Some(mask) => Self::from_part(source, edit, mask),
            None => Self::from_edit(source, edit),
        };
        match (learned, own) {
            (Some(Self::Prior { pictures, energy }), Self::Prior { pictures: own, energy: own_energy }) => {
                Self::Prior {
                    pictures: pictures.scaled(REMEMBERED).with(&own),
                    energy: [0, 1].map(|of| REMEMBERED * energy[of] + own_energy[of]),
                }
            }
            (_, own) => own,
        }
    }

    /// `edited`: `[1, 1, h, w]`, 0..1, where there is something to learn.
    fn from_part(source: &Tensor, edit: &Tensor, edited: &Tensor) -> Self {
        Self::Prior {
            pictures: Evidence::new(source, edit, edited),
            energy: [edit, source].map(|picture| sharpness::energy(picture, edited)),
        }
    }

    /// The edit of `source` as far as it can be known from the source alone, `[1, 3, h, w]`, 0..1.
    pub fn edit(&self, looks: &Looks, source: &Tensor) -> Tensor {
        match self {
            Self::Look { look, strength, frozen } => looks.apply(look, source, *strength, Some(frozen)),
            Self::Prior { pictures, .. } => pictures.solve().propose(source),
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
            Self::Prior { pictures, .. } => {
                pictures.with(&Evidence::new(source, &seen, composite.tells())).solve().propose(source)
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
            Self::Prior { energy: [edits, sources], .. } => {
                edits / sources.max(1e-9) * sharpness::energy(source, confidence)
            }
        }
    }
}

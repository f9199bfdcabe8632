//! What a frame's edit may look like where no edited frame shows it.

use tch::Tensor;

use super::{
    calibrate::match_color,
    composite::Composite,
    known::{Appearance, Known},
    prior::{Evidence, Features, Prior},
    sharpness,
    shot::Edited,
    texture,
    tone::Witness,
};
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
        /// The last of them.
        anchor: Anchor,
    },
}

/// What a frame's edit may look like.
#[derive(Debug)]
pub struct Proposal {
    /// `[1, 3, h, w]`, 0..1
    pub edit: Tensor,
    /// Tone and colour by the closed-form prior alone, the same shape: fitted to what the frame shows as well, and by the pictures
    /// alone; `None` where a look proposes.
    pub priors: Option<[Tensor; 2]>,
}

/// The picture that texture is copied from.
#[derive(Debug)]
pub struct Anchor {
    /// `[1, 3, h, w]`, 0..1
    source: Tensor,
    /// `[1, 3, h, w]`, 0..1
    edit: Tensor,
    /// Where it is edited, `[1, 1, h, w]`, 0..1; `None`: everywhere.
    mask: Option<Tensor>,
    features: Features,
    appearance: Appearance,
}

impl Proposer {
    /// Learns from an edit made by an unknown hand.
    ///
    /// - `source`, `edit`: `[1, 3, h, w]`, 0..1
    pub fn from_edit(source: &Tensor, edit: &Tensor) -> Self {
        Self::from_part(source, edit, None)
    }

    /// Learns from a picture of the user's, on top of what was `learned` from others. They speak where this one is
    /// silent: two edits of one colour would else be mixed.
    pub fn taught(learned: Option<&Self>, picture: &Edited) -> Self {
        let Edited { source, edit, mask, .. } = picture;
        match (learned, Self::from_part(source, edit, mask.as_ref())) {
            (
                Some(Self::Prior { pictures, energy, .. }),
                Self::Prior { pictures: own, energy: own_energy, anchor },
            ) => Self::Prior {
                pictures: pictures.scaled(REMEMBERED).with(&own),
                energy: [0, 1].map(|of| REMEMBERED * energy[of] + own_energy[of]),
                anchor,
            },
            (_, own) => own,
        }
    }

    /// `mask`: `[1, 1, h, w]`, 0..1, where there is something to learn; `None`: everywhere.
    fn from_part(source: &Tensor, edit: &Tensor, mask: Option<&Tensor>) -> Self {
        let features = Features::new(source);
        let edited = mask.map_or_else(|| source.narrow(1, 0, 1).ones_like(), Tensor::shallow_clone);
        Self::Prior {
            pictures: Evidence::new(&features, edit, &edited),
            energy: [edit, source].map(|picture| sharpness::energy(picture, &edited)),
            anchor: Anchor {
                source: source.shallow_clone(),
                edit: edit.shallow_clone(),
                mask: mask.map(Tensor::shallow_clone),
                appearance: Appearance::of(source),
                features,
            },
        }
    }

    /// The edit of `source` as far as it can be known from the source alone, `[1, 3, h, w]`, 0..1.
    pub fn edit(&self, looks: &Looks, source: &Tensor) -> Tensor {
        match self {
            Self::Look { look, strength, frozen } => looks.apply(look, source, *strength, Some(frozen)),
            Self::Prior { pictures, .. } => pictures.solve().propose(&Features::new(source)),
        }
    }

    /// A proposal for `source` that fits what its warped edits show.
    ///
    /// - `composite`: those edits
    /// - `followed`: what the frames beside it [tell](Self::told) of it
    pub fn propose(
        &self,
        looks: &Looks,
        source: &Tensor,
        composite: &Composite,
        followed: Option<&Witness>,
    ) -> Proposal {
        let seen = composite.picture();
        let Self::Prior { pictures, anchor, .. } = self else {
            let edit = self.edit(looks, source);
            let edit = match self.knows_tone(looks) {
                true => edit,
                false => match_color(&edit, &seen, &composite.confidence),
            };
            return Proposal { edit, priors: None };
        };
        let features = Features::new(source);
        let prior = fitted(pictures, &features, composite);
        let [theirs, own] = [&anchor.features, &features].map(|features| prior.propose(features));
        let everywhere = composite.tells().ones_like();
        let plain = pictures.solve().propose(&features);
        let edited = Known {
            source: &anchor.source,
            prior: &theirs,
            edit: &anchor.edit,
            known: anchor.mask.as_ref().unwrap_or(&everywhere),
        };
        let edit = texture::transfer(
            (&edited, &anchor.appearance),
            &Known { source, prior: &own, edit: &seen, known: composite.tells() },
            &(1.0 - &composite.confidence),
            followed.map(|witness| (witness, &plain)),
        );
        Proposal { edit, priors: Some([own, plain]) }
    }

    /// As [`propose`](Self::propose); and `composite`, with what the proposal knows for sure: all of a look that is light, and
    /// the tone of one that a medium draws.
    pub fn complete(
        &self,
        looks: &Looks,
        source: &Tensor,
        composite: Composite,
        followed: Option<&Witness>,
    ) -> (Proposal, Composite) {
        let proposal = self.propose(looks, source, &composite, followed);
        let composite = match self {
            Self::Look { look, .. } if looks.is_light(look) => composite.showing(&proposal.edit),
            _ if self.knows_tone(looks) => composite.toned(&proposal.edit),
            _ => composite,
        };
        (proposal, composite)
    }

    /// Whether proposals have the very tone that their frames should have: of a look that is arithmetic on pixels. A network
    /// that paints flickers in tone as well, and a prior knows less than the composite.
    fn knows_tone(&self, looks: &Looks) -> bool {
        matches!(self, Self::Look { look, .. } if !looks.is_painterly(look))
    }

    /// What a finished picture tells of tone, over the prior that the user's pictures alone tell. `None` where a look proposes,
    /// which needs no witness.
    pub fn told(&self, looks: &Looks, picture: &Edited) -> Option<Witness> {
        matches!(self, Self::Prior { .. }).then(|| picture.told(&self.edit(looks, &picture.source)))
    }

    /// The Laplacian energy that the edit of `source` should have where `confidence` is high; see
    /// `sharpness::hold`.
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

/// The prior that the user's pictures and the frame's own warped edits tell.
fn fitted(pictures: &Evidence, frame: &Features, composite: &Composite) -> Prior {
    pictures.with(&Evidence::new(frame, &composite.picture(), composite.tells())).solve()
}

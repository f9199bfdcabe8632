//! What is remembered of a shot between its batches.

use tch::Tensor;

use super::{EditParameters, composite::WarpedEdit, known::Known, proposal::Proposer, tone::Witness};
use crate::{
    conditions::{
        flow::FlowPair,
        occlusion::{Thresholds, confidence, same_surface, visible_fraction},
        warp::{Border, Sampling, warp},
    },
    diffusion::AnchorMemory,
};

/// Below this share of the seed frame that the anchor still shows, the seed frame becomes the anchor.
const ANCHOR_WORTH: f64 = 0.2;

/// An edited frame with the source frame it was made from, at processing size, `[1, 3, h, w]` each.
#[derive(Debug)]
pub struct Edited {
    /// The source frame.
    pub source: Tensor,
    /// Its finished edit.
    pub edit: Tensor,
    /// Where it is edited, `[1, 1, h, w]`, 0..1; `None`: everywhere.
    pub mask: Option<Tensor>,
    /// Nanoseconds; decides the frame's noise.
    pub stream_time: u64,
}

impl Edited {
    /// Both, sharing their storage with these.
    pub fn shallow_clone(&self) -> Self {
        let mask = self.mask.as_ref().map(Tensor::shallow_clone);
        Self { source: self.source.shallow_clone(), edit: self.edit.shallow_clone(), mask, ..*self }
    }

    /// What it tells of tone over what the `prior` makes of its source, `[1, 3, h, w]`.
    pub fn told(&self, prior: &Tensor) -> Witness {
        Witness::of(&Known { source: &self.source, prior, edit: &self.edit, known: &self.mask_or_ones() })
    }

    /// `[1, 1, h, w]`
    pub fn mask_or_ones(&self) -> Tensor {
        let everywhere = || self.source.narrow(1, 0, 1).ones_like();
        self.mask.as_ref().map_or_else(everywhere, Tensor::shallow_clone)
    }

    /// Both in storage of their own, for what outlives the batch: a frame of it would hold it whole.
    fn copy(&self) -> Self {
        let mask = self.mask.as_ref().map(Tensor::copy);
        Self { source: self.source.copy(), edit: self.edit.copy(), mask, ..*self }
    }
}

/// The motion from one frame to a reference and back, and how far each pixel of the frame is seen there.
#[derive(Debug)]
pub struct Sight {
    /// `to` leads from the frame to the reference.
    pub flow: FlowPair,
    /// `[1, 1, h, w]`, 0..1.
    pub confidence: Tensor,
}

impl Sight {
    /// Judges `flow` on the two sources.
    pub fn new(flow: FlowPair, source: &Tensor, reference: &Tensor) -> Self {
        let confidence = confidence(&flow.to, &flow.from, source, reference, &Thresholds::default());
        Self { flow, confidence }
    }

    /// One of several that were judged together.
    pub fn narrow(&self, index: i64) -> Self {
        let one = |all: &Tensor| all.narrow(0, index, 1);
        Self {
            flow: FlowPair { to: one(&self.flow.to), from: one(&self.flow.from) },
            confidence: one(&self.confidence),
        }
    }

    /// A frame's sight of itself.
    pub fn of_itself(source: &Tensor) -> Self {
        let zero = source.narrow(1, 0, 2).zeros_like();
        let flow = FlowPair { to: zero.shallow_clone(), from: zero };
        Self { flow, confidence: source.narrow(1, 0, 1).ones_like() }
    }

    /// Both, sharing their storage with these.
    pub fn shallow_clone(&self) -> Self {
        let flow = FlowPair { to: self.flow.to.shallow_clone(), from: self.flow.from.shallow_clone() };
        Self { flow, confidence: self.confidence.shallow_clone() }
    }

    /// The share of the frame that is seen, 0..1.
    pub fn visible_fraction(&self) -> f64 {
        visible_fraction(&self.confidence)
    }

    /// See [`same_surface`]; of the sources that this sight was judged on.
    pub fn same_surface(&self, source: &Tensor, reference: &Tensor) -> Tensor {
        same_surface(&self.flow.to, &self.flow.from, source, reference)
    }

    /// A reference's edit and its mask, sampled onto the frame.
    pub fn warp(&self, reference: &Edited) -> WarpedEdit {
        let sampled = |image: &Tensor, sampling| warp(image, &self.flow.to, sampling, Border::Replicate);
        WarpedEdit {
            picture: sampled(&reference.edit, Sampling::Bicubic).clamp(0.0, 1.0),
            // Bilinear: nothing around the mask is ever above zero.
            mask: reference.mask.as_ref().map(|mask| sampled(mask, Sampling::Bilinear)),
            confidence: self.confidence.shallow_clone(),
        }
    }
}

/// A shot that is under way.
#[derive(Debug)]
pub struct Shot {
    /// The edited frame that all others are warped from first.
    pub anchor: Edited,
    /// The last keyframe that was finished, first of the next batch.
    pub seed: Edited,
    /// The seed frame's sight of the anchor; where the next keyframe's tracking begins.
    pub seed_sees_anchor: Sight,
    /// For what no edited frame shows.
    pub proposer: Proposer,
    /// The settings that the anchor was edited with.
    pub parameters: EditParameters,
    /// Stream time of the shot's first frame, in nanoseconds.
    pub began: u64,
    /// What the keyframes of an image model saw of the anchor.
    pub anchor_memory: Option<AnchorMemory>,
}

impl Shot {
    /// A shot that begins with `first`.
    pub fn begin(first: &Edited, proposer: Proposer, parameters: EditParameters) -> Self {
        let first = first.copy();
        let seed_sees_anchor = Sight::of_itself(&first.source);
        Self {
            seed: first.shallow_clone(),
            began: first.stream_time,
            anchor: first,
            seed_sees_anchor,
            proposer,
            parameters,
            anchor_memory: None,
        }
    }

    /// Whether the next batch begins with the anchor itself.
    pub fn anchor_is_seed(&self) -> bool {
        self.anchor.stream_time == self.seed.stream_time
    }

    /// Whether a batch with `parameters` can go on with this shot's edit, or must edit anew.
    pub fn fits(&self, parameters: &EditParameters) -> bool {
        let edit = |p: &EditParameters| {
            (
                p.prompt.clone(),
                p.negative_prompt.clone(),
                p.edited_frame.clone(),
                p.mask_location.clone(),
                p.strength.to_bits(),
                p.processing_size,
            )
        };
        edit(&self.parameters) == edit(parameters)
    }

    /// A run ends on the user's own picture: it is the anchor from here on, and the proposer learns from it.
    pub fn arrive(&mut self, picture: &Edited) {
        self.proposer = Proposer::taught(Some(&self.proposer), picture);
        self.anchor_at(picture);
    }

    fn anchor_at(&mut self, finished: &Edited) {
        self.anchor = finished.copy();
        self.anchor_memory = None;
        self.seed = self.anchor.shallow_clone();
        self.seed_sees_anchor = Sight::of_itself(&self.seed.source);
    }

    /// The run's last keyframe becomes the seed frame, and the anchor too where the old one shows too
    /// little of it.
    pub fn hand_over(&mut self, seed: &Edited, sees_anchor: Sight) {
        self.seed = seed.copy();
        self.seed_sees_anchor = sees_anchor;
        if self.seed_sees_anchor.visible_fraction() < ANCHOR_WORTH {
            self.anchor_at(seed);
        }
    }
}

//! What the keyframes of a batch see of each other, also when the batch is run in several calls.

use tch::{Tensor, nn::Linear};

use super::config::KeyframeAttention;

/// The hidden states that later keyframes of a batch will ask for, a layer each: the first keyframe's and
/// the last one's of the calls before. One memory serves all calls of one denoising step; a network called
/// with all keyframes at once and one called with a few at a time, in order, give the same result.
#[derive(Debug)]
pub struct KeyframeMemory {
    /// Keyframes of each batch in this call; a call of `n` samples holds `n / keyframes` batches.
    keyframes: i64,
    layers: Vec<Layer>,
    /// The layer that asks next.
    next: usize,
}

#[derive(Debug)]
struct Layer {
    /// `[batches, 1, tokens, dim]`
    first: Tensor,
    /// `[batches, 1, tokens, dim]`
    last: Tensor,
}

impl KeyframeMemory {
    /// A step's memory, empty. A call's samples are ordered batch by batch, in time order within a batch.
    ///
    /// - `keyframes`: keyframes of each batch that come in the next call
    pub fn new(keyframes: i64) -> Self {
        Self { keyframes, layers: Vec::new(), next: 0 }
    }

    /// The memory of a step whose first keyframe was run already, in another batch; the next call's are the ones
    /// after it.
    ///
    /// - `layers`: what [`first`](Self::first) gave then
    pub fn after_first(layers: &[Tensor]) -> Self {
        let layer = |first: &Tensor| Layer { first: first.shallow_clone(), last: first.shallow_clone() };
        Self { keyframes: 0, layers: layers.iter().map(layer).collect(), next: 0 }
    }

    /// What all keyframes see of the first one: `[batches, 1, tokens, dim]` a layer.
    pub fn first(&self) -> Vec<Tensor> {
        self.layers.iter().map(|layer| layer.first.shallow_clone()).collect()
    }

    /// Announces the next call of the same step, with `keyframes` more of each batch.
    pub fn next_call(&mut self, keyframes: i64) {
        self.keyframes = keyframes;
    }

    /// A network's first layer is the next to ask.
    pub(super) fn begin(&mut self) {
        self.next = 0;
    }

    /// What `hidden_states` (`[n, tokens, dim]`, in time order) take their keys and values from.
    pub(super) fn context(&mut self, hidden_states: &Tensor, attention: KeyframeAttention) -> Context {
        if attention == KeyframeAttention::Own {
            return Context::Own(hidden_states.shallow_clone());
        }
        let own = hidden_states.unflatten(0, [-1, self.keyframes]); // [batches, keyframes, tokens, dim]
        let alone = self.keyframes == 1 && self.next == self.layers.len();
        let (first, before) = self.remember(&own);
        if alone {
            // a first keyframe would see itself several times, which changes no average
            return Context::Own(hidden_states.shallow_clone());
        }
        Context::Keyframes { own, first, before, with_own: attention == KeyframeAttention::SelfFirstPrevious }
    }

    /// The batch's first keyframe and the one before this call's first (position 0 is its own predecessor).
    fn remember(&mut self, own: &Tensor) -> (Tensor, Tensor) {
        let only = self.keyframes == 1;
        // a view would keep all of the call's
        let alone = |index| if only { own.shallow_clone() } else { own.narrow(1, index, 1).copy() };
        let last = alone(self.keyframes - 1);
        let layer = self.next;
        self.next += 1;
        match self.layers.get_mut(layer) {
            Some(layer) => (layer.first.shallow_clone(), std::mem::replace(&mut layer.last, last)),
            None => {
                let first = alone(0);
                self.layers.push(Layer { first: first.shallow_clone(), last });
                (first.shallow_clone(), first)
            }
        }
    }
}

/// The hidden states that an attention takes its keys and values from.
#[derive(Debug)]
pub(super) enum Context {
    /// The samples' own, `[n, tokens, dim]`.
    Own(Tensor),
    /// Other keyframes'.
    Keyframes {
        /// `[batches, keyframes, tokens, dim]`
        own: Tensor,
        /// The first keyframe's, `[batches, 1, tokens, dim]`.
        first: Tensor,
        /// The one before this call's first, `[batches, 1, tokens, dim]`.
        before: Tensor,
        /// Each keyframe sees itself too.
        with_own: bool,
    },
}

impl Context {
    /// Keys or values, `[n, context_tokens, projection's width]`; each keyframe is projected once, however many
    /// see it.
    pub(super) fn projected(&self, projection: &Linear) -> Tensor {
        match self {
            Self::Own(hidden_states) => hidden_states.apply(projection),
            Self::Keyframes { own, first, before, with_own } => {
                let [own, first, before] = [own, first, before].map(|states| states.apply(projection));
                let previous = Tensor::cat(&[&before, &own.narrow(1, 0, own.size()[1] - 1)], 1);
                let first = first.expand_as(&own);
                let seen = if *with_own { vec![own, first, previous] } else { vec![first, previous] };
                Tensor::cat(&seen, 2).flatten(0, 1)
            }
        }
    }
}

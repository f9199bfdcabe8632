//! What the keyframes of a batch see of each other, also when the batch is run in several calls.

use tch::Tensor;

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

    /// Announces the next call of the same step, with `keyframes` more of each batch.
    pub fn next_call(&mut self, keyframes: i64) {
        self.keyframes = keyframes;
    }

    /// A network's first layer is the next to ask.
    pub(super) fn begin(&mut self) {
        self.next = 0;
    }

    /// What `hidden_states` (`[n, tokens, dim]`, in time order) take their keys and values from:
    /// `[n, context_tokens, dim]`.
    pub(super) fn context(&mut self, hidden_states: &Tensor, attention: KeyframeAttention) -> Tensor {
        if attention == KeyframeAttention::Own {
            return hidden_states.shallow_clone();
        }
        let own = hidden_states.unflatten(0, [-1, self.keyframes]); // [batches, keyframes, tokens, dim]
        let (first, before) = self.remember(&own);
        let previous = Tensor::cat(&[before, own.narrow(1, 0, self.keyframes - 1)], 1);
        let first = first.expand_as(&own);
        let seen = match attention {
            KeyframeAttention::SelfFirstPrevious => Tensor::cat(&[&own, &first, &previous], 2),
            _ => Tensor::cat(&[first, previous], 2),
        };
        seen.flatten(0, 1)
    }

    /// The batch's first keyframe and the one before this call's first (position 0 is its own predecessor).
    fn remember(&mut self, own: &Tensor) -> (Tensor, Tensor) {
        let last = own.narrow(1, self.keyframes - 1, 1);
        let layer = self.next;
        self.next += 1;
        match self.layers.get_mut(layer) {
            Some(layer) => (layer.first.shallow_clone(), std::mem::replace(&mut layer.last, last)),
            None => {
                let first = own.narrow(1, 0, 1);
                self.layers.push(Layer { first: first.shallow_clone(), last });
                (first.shallow_clone(), first)
            }
        }
    }
}

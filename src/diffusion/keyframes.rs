//! What the keyframes of a batch see of each other, also where the batch is run in several calls.

use std::sync::mpsc::{Receiver, Sender, channel};

use tch::{Tensor, nn::Linear};

use super::config::KeyframeAttention;

/// What one call of a network is shown of a batch's keyframes that other calls run, and what it shows the next one. A
/// network called with all keyframes at once and one called with a few at a time give the same result. Calls may run
/// at the same time, as long as each begins after the one before it: at each layer it waits for that one.
#[derive(Debug)]
pub struct KeyframeMemory {
    /// Keyframes of each batch in this call; a call of `n` samples holds `n / keyframes` batches.
    keyframes: i64,
    /// What the call before showed, layer by layer; `None`: this is the first one.
    before: Option<Receiver<Shown>>,
    /// To the call after.
    after: Option<Sender<Shown>>,
}

/// The hidden states of one layer that later keyframes will ask for.
#[derive(Debug)]
struct Shown {
    /// The batch's first keyframe's, `[batches, 1, tokens, dim]`.
    first: Tensor,
    /// The call's last one's, `[batches, 1, tokens, dim]`.
    last: Tensor,
}

/// What the calls of a step have shown at its end.
#[derive(Debug)]
pub struct StepMemory(Option<Receiver<Shown>>);

impl StepMemory {
    /// What all keyframes saw of the first one: `[batches, 1, tokens, dim]` a layer.
    pub fn first(self) -> Vec<Tensor> {
        self.0.iter().flat_map(Receiver::try_iter).map(|shown| shown.first).collect()
    }
}

impl KeyframeMemory {
    /// Of a call that runs all keyframes of its batches. Its samples are ordered batch by batch, in time order within a
    /// batch.
    ///
    /// - `keyframes`: of each batch
    pub fn new(keyframes: i64) -> Self {
        Self { keyframes, before: None, after: None }
    }

    /// Of the calls of one denoising step.
    ///
    /// - `calls`: how many keyframes of each batch every call runs, in time order
    /// - `first`: where the batch's first keyframe was run already, in another batch, what [`StepMemory::first`] gave then
    pub fn chain(calls: &[i64], first: Option<&[Tensor]>) -> (Vec<Self>, StepMemory) {
        let mut before = first.map(known);
        let of_call = |&keyframes: &i64| {
            let (after, shown) = channel();
            Self { keyframes, before: before.replace(shown), after: Some(after) }
        };
        let memories = calls.iter().map(of_call).collect();
        (memories, StepMemory(before))
    }

    /// What `hidden_states` (`[n, tokens, dim]`, in time order) take their keys and values from.
    pub(super) fn context(&mut self, hidden_states: &Tensor, attention: KeyframeAttention) -> Context {
        if attention == KeyframeAttention::Own {
            return Context::Own(hidden_states.shallow_clone());
        }
        let own = hidden_states.unflatten(0, [-1, self.keyframes]); // [batches, keyframes, tokens, dim]
        // Where the call before was given up, so is the run: what comes of this one is thrown away.
        let seen = self.before.as_ref().and_then(|before| before.recv().ok());
        let leads = seen.is_none();
        let Shown { first, last: before } = seen.unwrap_or_else(|| {
            let first = self.alone(&own, 0);
            Shown { last: first.shallow_clone(), first }
        });
        if let Some(after) = &self.after {
            // Nobody listens where the calls after were given up.
            let _ = after
                .send(Shown { first: first.shallow_clone(), last: self.alone(&own, self.keyframes - 1) });
        }
        if leads && self.keyframes == 1 {
            // a first keyframe would see itself several times, which changes no average
            return Context::Own(hidden_states.shallow_clone());
        }
        Context::Keyframes { own, first, before, with_own: attention == KeyframeAttention::SelfFirstPrevious }
    }

    /// One keyframe's; a view would keep all of the call's.
    fn alone(&self, own: &Tensor, index: i64) -> Tensor {
        if self.keyframes == 1 { own.shallow_clone() } else { own.narrow(1, index, 1).copy() }
    }
}

/// As if a call had shown `layers`, of a keyframe that leads.
fn known(layers: &[Tensor]) -> Receiver<Shown> {
    let (after, shown) = channel();
    for first in layers {
        let _ = after.send(Shown { first: first.shallow_clone(), last: first.shallow_clone() });
    }
    shown
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

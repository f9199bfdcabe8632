//! AdamW whose state can be saved: tch's own optimiser cannot be resumed.
//!
//! Source: Loshchilov and Hutter 2019.

use tch::{Kind, Tensor, nn::VarStore};

const BETAS: (f64, f64) = (0.9, 0.98);
const EPSILON: f64 = 1e-10;
/// Of parameters with at least two dimensions.
const WEIGHT_DECAY: f64 = 1e-3;
/// Largest norm of all gradients together: about the usual one, so that rare clips do not rule.
const CLIP: f64 = 0.1;

/// A trained parameter with its moments and its moving average.
struct Parameter {
    key: String,
    value: Tensor,
    mean: Tensor,
    square: Tensor,
    average: Tensor,
}

/// The optimiser, with an exponential moving average of the parameters.
pub struct AdamW {
    parameters: Vec<Parameter>,
    step: u64,
}

impl AdamW {
    /// Of all variables of `store` that want a gradient.
    pub fn new(store: &VarStore) -> Self {
        let mut variables: Vec<_> =
            store.variables().into_iter().filter(|(_, value)| value.requires_grad()).collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        let new = |(key, value): (String, Tensor)| Parameter {
            key,
            mean: value.detach().zeros_like(),
            square: value.detach().zeros_like(),
            average: value.detach().copy(),
            value,
        };
        Self { parameters: variables.into_iter().map(new).collect(), step: 0 }
    }

    /// Steps done.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// One step along the gradients, which are then cleared; returns their norm.
    pub fn step(&mut self, learning_rate: f64) -> f64 {
        let _no_grad = tch::no_grad_guard();
        self.step += 1;
        let norms: Vec<Tensor> = self.gradients().map(|(_, gradient)| gradient.norm()).collect();
        let norm = Tensor::stack(&norms, 0).norm().double_value(&[]);
        let scale = (CLIP / norm.max(1e-12)).min(1.0);
        let correction = |beta: f64| 1.0 - beta.powf(self.step as f64);
        let (first, second) = (correction(BETAS.0), correction(BETAS.1));
        let keep = (self.step as f64 / (self.step as f64 + 10.0)).min(0.997);
        for parameter in &mut self.parameters {
            let mut gradient = parameter.value.grad();
            if !gradient.defined() {
                continue;
            }
            let scaled = &gradient * scale;
            let _ = parameter.mean.lerp_(&scaled, 1.0 - BETAS.0);
            let _ = parameter.square.lerp_(&scaled.square(), 1.0 - BETAS.1);
            let change = (&parameter.mean / first) / ((&parameter.square / second).sqrt() + EPSILON);
            if parameter.value.dim() > 1 {
                let _ = parameter.value.g_mul_scalar_(1.0 - learning_rate * WEIGHT_DECAY);
            }
            let _ = parameter.value.g_sub_(&(change * learning_rate));
            let _ = parameter.average.lerp_(&parameter.value, 1.0 - keep);
            let _ = gradient.zero_();
        }
        norm
    }

    /// Forgets what was not stepped along.
    pub fn clear_gradients(&mut self) {
        for parameter in &mut self.parameters {
            parameter.value.zero_grad();
        }
    }

    fn gradients(&self) -> impl Iterator<Item = (&Parameter, Tensor)> {
        self.parameters.iter().map(|p| (p, p.value.grad())).filter(|(_, gradient)| gradient.defined())
    }

    /// Exchanges the parameters with their averages; a second call undoes it.
    pub fn swap_averages(&mut self) {
        let _no_grad = tch::no_grad_guard();
        for parameter in &mut self.parameters {
            let value = parameter.value.copy();
            parameter.value.copy_(&parameter.average);
            parameter.average.copy_(&value);
        }
    }

    /// All state by name.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let of = |p: &Parameter| {
            [("value", &p.value), ("mean", &p.mean), ("square", &p.square), ("average", &p.average)]
                .map(|(part, tensor)| (format!("{part}.{}", p.key), tensor.detach()))
        };
        let step = Tensor::from_slice(&[self.step as f32]).to_kind(Kind::Float);
        self.parameters.iter().flat_map(of).chain([("step".to_owned(), step)]).collect()
    }

    /// Puts a saved state back.
    pub fn restore(&mut self, state: &std::collections::HashMap<String, Tensor>) -> anyhow::Result<()> {
        let _no_grad = tch::no_grad_guard();
        let find = |key: &str| state.get(key).ok_or_else(|| anyhow::anyhow!("the checkpoint lacks {key}"));
        for p in &mut self.parameters {
            let key = p.key.clone();
            let targets = [
                ("value", &mut p.value),
                ("mean", &mut p.mean),
                ("square", &mut p.square),
                ("average", &mut p.average),
            ];
            for (part, target) in targets {
                target.f_copy_(find(&format!("{part}.{key}"))?)?;
            }
        }
        self.step = find("step")?.double_value(&[0]) as u64;
        Ok(())
    }
}

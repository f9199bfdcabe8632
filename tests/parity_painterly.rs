//! The painterly network against onnxruntime on the published file, with the real weights on a real frame,
//! made by `tests/parity/painterly/make.py`. Measured at writing: 4e-5 (starry), 4e-6 (ukiyo-e), 2e-6 (blend).

mod common;

use common::{Fixture, assert_relative, model};
use gstflowvid::{editors::looks::Painterly, torch::Placement, weights::load};
use tch::Tensor;

const TOLERANCE: f64 = 1e-4;

fn painterly() -> Painterly {
    load(&model("painterly"), Placement::cpu(), Painterly::new).expect("the painterly network's weights")
}

/// The fixture keeps every 4th value.
fn thin(frames: &Tensor) -> Tensor {
    frames.slice(2, 0, None, 4).slice(3, 0, None, 4)
}

#[test]
fn styles_and_blends_match_onnxruntime() {
    let (fixture, network, _no_grad) = (Fixture::open("painterly"), painterly(), tch::no_grad_guard());
    let frame = fixture.picture("frame");
    for (name, styles) in
        [("starry", vec![(19, 1.0)]), ("ukiyo-e", vec![(24, 1.0)]), ("blend", vec![(15, 1.0), (12, 1.0)])]
    {
        let painted = network.forward(&frame, &styles, None);
        assert_relative(name, &thin(&painted), &fixture.tensor(name), TOLERANCE);
    }
}

#[test]
fn frozen_statistics_hold_the_colours_when_the_scene_changes() {
    let (fixture, network, _no_grad) = (Fixture::open("painterly"), painterly(), tch::no_grad_guard());
    let anchor = fixture.picture("frame");
    let styles = [(0, 1.0)];
    let statistics = network.statistics(&anchor, &styles);
    // The same numbers as its own statistics on the anchor itself.
    let own = network.forward(&anchor, &styles, None);
    assert_relative("anchor", &network.forward(&anchor, &styles, Some(&statistics)), &own, 1e-5);
    // A white car drives in on the right: the left side must keep its colours.
    let changed = anchor.copy();
    let _ = changed.narrow(3, 224, 224).fill_(1.0);
    let left = |frames: Tensor| frames.narrow(3, 0, 160);
    let moved = |statistics| {
        let painted = left(network.forward(&changed, &styles, statistics));
        (painted - left(own.shallow_clone())).abs().mean(tch::Kind::Float).double_value(&[]) * 255.0
    };
    let (frozen, free) = (moved(Some(&statistics)), moved(None));
    println!("change of the untouched side: {frozen:.2} frozen, {free:.2} free (0-255)");
    assert!(frozen < 0.2 * free, "{frozen} frozen, {free} free");
}

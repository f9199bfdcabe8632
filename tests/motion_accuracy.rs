//! Flow and occlusion mask against motion that is known exactly; `examples/flow_accuracy.rs` prints all of it,
//! `docs/measurements.md` tells what was measured. Bounds leave a third above that.

mod common;

use common::{
    model,
    motion::{Accuracy, Scene, scenes},
};
use gstflowvid::{
    conditions::{
        flow::{FlowEstimator, FlowPair, TRACKED},
        gmflow::GmFlow,
        occlusion::{Thresholds, confidence, visible_fraction},
    },
    torch::Placement,
    weights::load,
};
use tch::Tensor;

fn estimator() -> FlowEstimator {
    FlowEstimator::new(load(&model("gmflow"), Placement::cpu(), GmFlow::new).expect("GMFlow's weights"))
}

fn scene(name: &str) -> Scene {
    scenes().into_iter().find(|(found, _)| *found == name).expect("a scene of that name").1
}

/// What each scene may show at most: mean and median end-point error, pixels, and the share of visible pixels
/// called hidden.
type Bounds<'a> = &'a [(&'a str, [f64; 3])];

#[track_caller]
fn assert_all(bounds: Bounds, estimate: impl Fn(&Scene) -> Accuracy) {
    for (name, most) in bounds {
        assert_accurate(name, &estimate(&scene(name)), *most);
    }
}

/// From the frame at time 1 to the one at time 0.
fn accuracy(scene: &Scene, estimate: impl Fn(&Tensor, &Tensor) -> FlowPair) -> Accuracy {
    let (frame, reference) = (scene.frame(1.0), scene.frame(0.0));
    let pair = estimate(&frame, &reference);
    let seen = confidence(&pair.to, &pair.from, &frame, &reference, &Thresholds::default());
    Accuracy::of(&pair.to, &seen, &scene.truth(1.0, 0.0))
}

#[track_caller]
fn assert_accurate(name: &str, found: &Accuracy, [mean, median, false_alarm]: [f64; 3]) {
    println!("{name}: {found:.3?}");
    let good = found.mean < mean && found.median < median && found.false_alarm < false_alarm;
    assert!(good, "{name}: {found:?}, allowed {mean} / {median} px, {false_alarm} called hidden");
}

#[test]
fn global_matching_with_refinement_finds_any_motion() {
    let (flow, _no_grad) = (estimator(), tch::no_grad_guard());
    let bounds = [
        ("shift 0.3 px", [0.14, 0.12, 0.01]),
        ("shift 1 px", [0.25, 0.17, 0.01]),
        ("shift 3 px", [0.54, 0.28, 0.02]),
        ("shift 8 px", [0.28, 0.18, 0.03]),
        ("turn 6 degrees", [0.38, 0.24, 0.04]),
        ("zoom 1.12", [0.36, 0.27, 0.01]),
    ];
    assert_all(&bounds, |scene| accuracy(scene, |frame, reference| flow.far(frame, reference)));
}

#[test]
fn the_mask_finds_what_is_hidden() {
    let (flow, _no_grad) = (estimator(), tch::no_grad_guard());
    for (name, most, [precision, recall]) in [
        ("shift 20 px", [0.46, 0.24, 0.04], [0.6, 0.97]),
        ("shift 40 px", [0.34, 0.16, 0.03], [0.75, 0.97]),
        ("ellipse 6 px left over 3 px right", [0.66, 0.31, 0.05], [0.25, 0.85]),
        ("ellipse 24 px left over 8 px right", [0.64, 0.2, 0.11], [0.3, 0.97]),
    ] {
        let found = accuracy(&scene(name), |frame, reference| flow.far(frame, reference));
        assert_accurate(name, &found, most);
        let good = found.precision > precision && found.recall > recall;
        assert!(good, "{name}: {found:?}, at least {precision} and {recall}");
    }
}

#[test]
fn near_frames_need_no_matching() {
    let (flow, _no_grad) = (estimator(), tch::no_grad_guard());
    let bounds = [
        ("shift 0.3 px", [0.18, 0.14, 0.01]),
        ("shift 1 px", [0.23, 0.15, 0.03]),
        ("shift 3 px", [0.31, 0.16, 0.06]),
        ("shift 8 px", [0.4, 0.16, 0.1]),
    ];
    assert_all(&bounds, |scene| accuracy(scene, |frame, reference| flow.near(frame, reference)));
}

/// Four keyframes apart, the middle ones passed through.
#[test]
fn tracking_does_not_drift() {
    let (flow, _no_grad) = (estimator(), tch::no_grad_guard());
    let bounds = [
        ("shift 40 px", [0.72, 0.23, 0.04]),
        ("turn 6 degrees", [1.12, 0.4, 0.06]),
        ("ellipse 24 px left over 8 px right", [1.19, 0.35, 0.12]),
    ];
    let tracked = |scene: &Scene| {
        accuracy(scene, |frame, anchor| {
            let steps = [scene.frame(0.25), scene.frame(0.5), scene.frame(0.75), frame.shallow_clone()];
            let first = flow.far(&steps[0], anchor);
            steps.windows(2).fold(first, |known, pair| {
                let to_between = flow.far(&pair[1], &pair[0]);
                flow.tracked(&known, &to_between, &pair[1], anchor)
            })
        })
    };
    assert_all(&bounds, tracked);
}

/// A frame that comes late, or that is shown twice, is not where steady motion between its keyframes has it.
#[test]
fn a_frame_between_is_seen_though_motion_is_not_steady() {
    let (flow, _no_grad) = (estimator(), tch::no_grad_guard());
    for (name, most) in [
        ("shift 20 px", [0.54, 0.2, 0.08]),
        ("shift 40 px", [0.54, 0.2, 0.12]),
        ("ellipse 24 px left over 8 px right", [0.76, 0.2, 0.15]),
    ] {
        let scene = scene(name);
        let ends = [0.0, 1.0].map(|time| scene.frame(time));
        let motion = flow.far(&ends[1], &ends[0]);
        for (time, end) in [(0.5, 0), (0.5, 1), (0.8, 0), (0.8, 1)] {
            let frame = scene.frame(time);
            let both = flow.between(&frame, ends.each_ref(), &motion, 0.5);
            let [to, from] = [&both.to, &both.from].map(|flow| flow.narrow(0, end as i64, 1));
            let seen = confidence(&to, &from, &frame, &ends[end], &Thresholds::default());
            let found = Accuracy::of(&to, &seen, &scene.truth(time, end as f64));
            assert_accurate(&format!("{name}, at {time}, to {end}"), &found, most);
            assert!(found.recall > 0.9, "what is hidden seems seen: {found:?}");
        }
    }
}

/// By the share that is seen, a keyframe is matched anew on fast motion that tracking could not follow, and
/// not on slow.
#[test]
fn a_lost_reference_is_noticed() {
    let (flow, _no_grad) = (estimator(), tch::no_grad_guard());
    let share = |name: &str, found: bool| {
        let scene = scene(name);
        let (frame, between, reference) = (scene.frame(1.0), scene.frame(0.5), scene.frame(0.0));
        let still =
            || FlowPair { to: frame.narrow(1, 0, 2).zeros_like(), from: frame.narrow(1, 0, 2).zeros_like() };
        let step = |a: &Tensor, b: &Tensor| if found { flow.far(a, b) } else { still() };
        let (known, to_between) = (step(&between, &reference), step(&frame, &between));
        let pair = flow.tracked(&known, &to_between, &frame, &reference);
        let seen = confidence(&pair.to, &pair.from, &frame, &reference, &Thresholds::default());
        visible_fraction(&seen)
    };
    for (name, found, lost) in [
        ("shift 3 px", false, false), // refinement alone follows it
        ("shift 40 px", true, false),
        ("shift 40 px", false, true),
    ] {
        let share = share(name, found);
        assert_eq!(share < TRACKED, lost, "{name}, steps found: {found}: {share} is seen");
    }
}

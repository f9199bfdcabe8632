//! Edges and cuts of real footage: Canny against OpenCV's (version in the fixture), bit for bit, and the cuts
//! that a person sees; made by `tests/parity/footage/make.py`.

mod common;

use common::Fixture;
use gstflowvid::{
    conditions::{
        canny::{Hysteresis, canny},
        cuts,
    },
    engine::EditParameters,
};
use tch::{Kind, Tensor};

#[test]
fn canny_is_opencvs() {
    let fixture = Fixture::open("footage");
    for clip in ["bigbuckbunny", "bikes"] {
        for (kind, thresholds) in
            [("default", Hysteresis::default()), ("fine", Hysteresis { low: 50, high: 100 })]
        {
            let edges = canny(&fixture.picture(&format!("{clip}.picture")), thresholds);
            let expected = fixture.tensor(&format!("{clip}.canny.{kind}")).gt(0).to_kind(Kind::Float);
            let different =
                (edges.select(1, 0).squeeze_dim(0) - &expected).abs().sum(Kind::Float).double_value(&[]);
            assert!(expected.sum(Kind::Float).double_value(&[]) > 500.0, "{clip} {kind}: there are edges");
            assert_eq!(different, 0.0, "{clip} {kind}: pixels that differ");
        }
    }
}

#[test]
fn cuts_are_found_and_nothing_else() {
    let (fixture, _no_grad) = (Fixture::open("footage"), tch::no_grad_guard());
    let find = |key: &str| {
        let frames = fixture.tensor(key).permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0;
        let thumbnails: Vec<Tensor> =
            (0..frames.size()[0]).map(|index| cuts::thumbnail(&frames.narrow(0, index, 1))).collect();
        let threshold = EditParameters::default().cut_threshold;
        let cut = |&index: &usize| cuts::is_cut(&thumbnails, index, threshold);
        (1..thumbnails.len()).filter(cut).collect::<Vec<usize>>()
    };
    // six frames around each of five cuts; the fixture's own joints between them lie in one shot each
    let found = find("bikes.around_cuts");
    let seen: Vec<usize> = (0..5).map(|cut| cut * 6 + 3).filter(|cut| found.contains(cut)).collect();
    assert_eq!(seen, [3, 9, 15, 21, 27], "of {found:?}");
    let within: Vec<&usize> = found.iter().filter(|index| ![0, 3].contains(&(*index % 6))).collect();
    assert!(within.is_empty(), "neighbours within a shot: {within:?}");
    assert_eq!(find("bigbuckbunny.every_third"), [0_usize; 0], "one shot, three frames apart");
}

//! `make verify`: a network whose numbers are the published ones is a yes, any other a no with both numbers.

#[path = "../examples/verify/check.rs"]
mod check;
#[path = "../examples/random_model/folder.rs"]
mod folder;
#[path = "../examples/verify/slices.rs"]
mod slices;

use std::path::PathBuf;

use anyhow::Context;
use check::{Verdict, check, told};
use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use gstflowvid::{diffusion::noise, torch::Placement, weights::ModelFolder};
use slices::{Corner, Slice, Weights, array_name, corner, published};
use tch::{Kind, Tensor};

/// A tiny random model, and input arrays of its sizes.
struct Setting {
    root: tempfile::TempDir,
    model: ModelFolder,
}

impl Setting {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let model = RandomModel {
            size: Size::Tiny,
            vae: Autoencoder::Kl,
            scheduler: SchedulerKind::Ddim,
            seed: 1,
            kind: Kind::Float,
        };
        model.write(&root.path().join("tiny")).unwrap();
        let model = ModelFolder::find("tiny", &[root.path().into()]).unwrap();
        Self { root, model }
    }

    /// Writes the arrays that these slices ask for.
    fn write_arrays(&self, slices: &[Slice]) {
        let device = Placement::cpu().device;
        for seed in slices.iter().map(|slice| slice.seed) {
            for shape in [[4, 4, 64, 64], [4, 77, 32, 0], [3, 4, 64, 64], [4, 3, 512, 512]] {
                let sides: Vec<i64> = shape.into_iter().filter(|&side| side > 0).collect();
                let values = noise(seed, 0, &[0], [1, 1, sides.iter().product()], device).view(&sides[..]);
                values.write_npy(self.array(&array_name(seed, shape))).unwrap();
            }
        }
    }

    fn array(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn check(&self, component: &str, slices: &[Slice]) -> anyhow::Result<Vec<Verdict>> {
        let array = |name: &str| Some(self.array(name)).filter(|file| file.exists()).context("no such array");
        check(&self.model, component, slices, Placement::cpu(), &array)
    }
}

#[test]
fn other_weights_are_a_no_with_the_numbers_and_the_same_weights_a_yes() {
    let setting = Setting::new();
    for (component, number) in [("unet", "0.8878"), ("vae", "0.9866")] {
        let slices: Vec<_> =
            published(Weights::V15).into_iter().filter(|slice| slice.component == component).collect();
        setting.write_arrays(&slices);
        let verdicts = setting.check(component, &slices).unwrap();
        assert_eq!(verdicts.len(), slices.len());
        let text: Vec<_> = verdicts.iter().map(told).collect();
        assert!(verdicts.iter().all(|verdict| !verdict.is_yes()), "{text:?}");
        assert!(text.iter().all(|line| line.starts_with("no ") && line.contains("found")), "{text:?}");
        assert!(text.iter().any(|line| line.contains(number)), "{text:?}");
        // what was found, expected: the tests' own weights
        let own: Vec<_> = slices
            .iter()
            .zip(&verdicts)
            .map(|(slice, verdict)| Slice { expected: verdict.found, ..slice.clone() })
            .collect();
        for verdict in setting.check(component, &own).unwrap() {
            assert!(verdict.is_yes() && told(&verdict).starts_with("yes "), "{}", told(&verdict));
        }
    }
}

#[test]
fn a_number_that_is_none_is_a_no() {
    let setting = Setting::new();
    let slices = &published(Weights::V14)[..1];
    setting.write_arrays(slices);
    let mut verdict = setting.check("unet", slices).unwrap().remove(0);
    verdict.found = verdict.expected;
    assert!(verdict.is_yes());
    verdict.found[3] = f64::NAN;
    assert!(!verdict.is_yes());
}

#[test]
fn an_array_that_is_missing_or_of_another_model_is_told_by_name() {
    let setting = Setting::new();
    let slices = &published(Weights::V15)[..1];
    let said = |setting: &Setting| format!("{:#}", setting.check("unet", slices).unwrap_err());
    assert!(said(&setting).contains("no such array"));
    setting.write_arrays(slices);
    let name = array_name(slices[0].seed, [4, 77, 32, 0]);
    assert_eq!(name, "gaussian_noise_s=33_shape=4_77_32.npy");
    Tensor::zeros([4, 77, 31], (Kind::Float, Placement::cpu().device))
        .write_npy(setting.array(&name))
        .unwrap();
    let said = said(&setting);
    assert!(said.contains(&name) && said.contains("[4, 77, 31]"), "{said}");
}

/// `sample[-1, -2:, -2:, :2]` and `sample[-1, -2:, :2, -2:]` in Python.
#[test]
fn the_corners_are_pythons() {
    let tensor = Tensor::arange(3 * 4 * 5, (Kind::Float, Placement::cpu().device)).view([1, 3, 4, 5]);
    assert_eq!(corner(&tensor, Corner::Channels), [30.0, 31.0, 35.0, 36.0, 50.0, 51.0, 55.0, 56.0]);
    assert_eq!(corner(&tensor, Corner::Columns), [23.0, 24.0, 28.0, 29.0, 43.0, 44.0, 48.0, 49.0]);
}

#[test]
fn each_weights_have_slices_of_their_own() {
    let tests = |weights| published(weights).into_iter().map(|slice| slice.test).collect::<Vec<_>>();
    assert!(tests(Weights::V15).iter().any(|test| test.ends_with("test_compvis_sd_v1_5")));
    assert!(tests(Weights::V14).iter().any(|test| test.ends_with("test_compvis_sd_v1_4")));
}

use gstflowvid::conditions::filters::gaussian;
use tch::{Device, Kind, Tensor};

use crate::{
    holes::{Figures, HoleMeter},
    objects::{Object, paint},
    shot::Shot,
};

/// Grains of some three pixels in colours, `[1, 3, 96, 128]`; another one for each seed.
fn texture(seed: i64) -> Tensor {
    tch::manual_seed(seed);
    let noise = Tensor::randn([1, 3, 96, 128], (Kind::Float, Device::Cpu));
    let grains = gaussian(&noise, 1.2);
    (&grains / grains.std(true) * 0.15 + 0.5).clamp(0.0, 1.0)
}

fn figures(picture: &Tensor, truth: &Tensor) -> Figures {
    judged(picture, truth, &picture.narrow(1, 0, 1).ones_like().gt(0.5))
}

fn judged(picture: &Tensor, truth: &Tensor, judged: &Tensor) -> Figures {
    let mut meter = HoleMeter::default();
    meter.add(picture, truth, judged);
    meter.figures()
}

#[test]
fn the_truth_itself_has_no_error_and_its_own_sharpness() {
    let truth = texture(1);
    let Figures { error, low, sharpness, texture, .. } = figures(&truth, &truth);
    assert_eq!([error, low, sharpness, texture], [Some(0.0), Some(0.0), Some(1.0), Some(0.0)]);
}

#[test]
fn a_brighter_picture_errs_by_as_much_in_all_but_sharpness() {
    let truth = texture(1) * 0.9;
    let Figures { error, low, sharpness, .. } = figures(&(&truth + 0.02), &truth);
    assert!((error.unwrap() - 5.1).abs() < 0.01 && (low.unwrap() - 5.1).abs() < 0.01, "{error:?}, {low:?}");
    assert!((sharpness.unwrap() - 1.0).abs() < 1e-3, "{sharpness:?}");
}

#[test]
fn blur_keeps_low_frequencies_and_loses_sharpness_and_texture() {
    let truth = texture(1);
    let Figures { error, low, sharpness, texture, .. } = figures(&gaussian(&truth, 2.0), &truth);
    assert!(sharpness.unwrap() < 0.05, "{sharpness:?}");
    assert!(low.unwrap() < 0.2 * error.unwrap(), "{low:?} of {error:?}");
    assert!(texture.unwrap() > 10.0, "{texture:?}");
}

#[test]
fn the_same_texture_in_other_places_errs_but_is_near() {
    let truth = texture(1);
    let Figures { error, texture: elsewhere, .. } = figures(&truth.roll([31, 47], [2, 3]), &truth);
    let Figures { texture: alike, .. } = figures(&texture(2), &truth);
    let Figures { error: blurred_error, texture: blurred, .. } = figures(&gaussian(&truth, 2.0), &truth);
    assert!(error > blurred_error, "{error:?}, blurred {blurred_error:?}");
    for near in [elsewhere, alike] {
        assert!(near.unwrap() < 0.2 * blurred.unwrap(), "{near:?}, blurred {blurred:?}");
    }
}

#[test]
fn only_judged_pixels_count() {
    let truth = texture(1);
    let left = Tensor::arange(128, (Kind::Float, Device::Cpu)).lt(64.0).expand([1, 1, 96, 128], false);
    let wrong_right = truth.where_self(&left, &truth.zeros_like());
    let inner = left.logical_and(&left.roll([-12], [3]));
    let Figures { pixels, error, low, texture, .. } = judged(&wrong_right, &truth, &inner);
    assert_eq!((pixels, error, texture), (96.0 * 52.0, Some(0.0), Some(0.0)));
    assert!(low.unwrap() < 1e-3);
    assert!(judged(&wrong_right, &truth, &left.logical_not()).error.unwrap() > 100.0);
    let none = judged(&truth, &truth, &left.zeros_like());
    assert_eq!((none.error, none.texture), (None, None));
}

#[test]
fn an_object_is_recoloured_alone_and_goes_behind_the_post_and_comes_back() {
    let keyframes: Vec<Tensor> = (0..16).map(|_| texture(3).narrow(2, 0, 64) * 0.8).collect();
    for object in [Object::Ball, Object::Piece, Object::Drum] {
        let edited =
            paint(object, &Shot { keyframes: keyframes.iter().map(Tensor::shallow_clone).collect() });
        let seen = edited.judged.as_ref().unwrap();
        let pixels: Vec<f64> = seen.iter().map(|seen| seen.sum(Kind::Double).double_value(&[])).collect();
        let least = pixels.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(least < 0.1 * pixels[0] && pixels[10] > 0.9 * pixels[0], "{object:?}: {pixels:?}");
        for (((source, truth), seen), pixels) in
            edited.sources.iter().zip(&edited.truth).zip(seen).zip(&pixels)
        {
            let difference = (source - truth).abs().mean_dim([1].as_slice(), true, Kind::Float);
            let rim = seen.to_kind(Kind::Float).max_pool2d([5, 5], [1, 1], [2, 2], [1, 1], false).gt(0.5);
            let beside = difference.masked_select(&rim.logical_not()).max().double_value(&[]);
            let on_it = difference.masked_select(seen).mean(Kind::Double).double_value(&[]);
            let recoloured = *pixels == 0.0 || on_it > 0.08;
            assert!(beside == 0.0 && recoloured, "{object:?}: {beside} beside it, {on_it} on it");
        }
    }
}

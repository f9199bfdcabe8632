//! Whether an edited frame has its outlines where the source has them.

use tch::{Kind, Tensor};

use crate::conditions::filters::{gaussian, scharr};

/// Outlines are looked at as coarsely as this share of the width, so that a look's texture is none of them.
const SIGMA: f64 = 1.0 / 112.0;

/// Below this agreement an edit lies elsewhere: looks have 0.4 and more, an edit that is a thirtieth of the width off
/// has 0.3 and less (tests/looks.rs).
pub const ALIGNED: f64 = 0.3;

/// How well the outlines of `edit` and `source` agree, -1..1: the correlation of their coarse gradients' strengths.
///
/// - `source`, `edit`: `[1, 3, H, W]`, 0..1
///
/// An edit that lies elsewhere is warped along motion that is not its own: FlowVid's first limitation (section 5.5).
pub fn outline_agreement(source: &Tensor, edit: &Tensor) -> f64 {
    let [source, edit] = [source, edit].map(outlines);
    let mean = |tensor: Tensor| tensor.mean(Kind::Float).double_value(&[]);
    let deviations = (mean(source.square()) * mean(edit.square())).sqrt();
    // a picture without outlines has none that could lie elsewhere
    if deviations < f64::from(f32::EPSILON) { 1.0 } else { mean(source * edit) / deviations }
}

/// The strength of the coarse gradients of all channels, less its mean, `[1, 1, H, W]`: other colours move no outline.
fn outlines(picture: &Tensor) -> Tensor {
    let width = picture.size()[3];
    let channels = gaussian(picture, width as f64 * SIGMA).transpose(0, 1); // [3, 1, H, W]
    let (x, y) = scharr(&channels);
    let strength = (x.square() + y.square()).sum_dim_intlist([0].as_slice(), true, None).sqrt();
    &strength - strength.mean(Kind::Float)
}

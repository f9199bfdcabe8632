//! The procedural looks by name.

use tch::Tensor;

use super::{drawing, graphic, painting, photograph, scene};

/// A look: `[n, 3, H, W]`, 0..1, to the same shape; the result may leave 0..1 and is then cut off.
pub type Procedure = fn(&Tensor) -> Tensor;

const PROCEDURES: &[(&str, Procedure)] = &[
    ("pencil", drawing::pencil),
    ("charcoal", drawing::charcoal),
    ("ink", drawing::ink),
    ("blueprint", drawing::blueprint),
    ("oil", painting::oil),
    ("watercolour", painting::watercolour),
    ("pastel", painting::pastel),
    ("clay", painting::clay),
    ("cartoon", graphic::cartoon),
    ("comic", graphic::comic),
    ("poster", graphic::poster),
    ("vintage", photograph::vintage),
    ("noir", photograph::noir),
    ("cyanotype", photograph::cyanotype),
    ("thermal", photograph::thermal),
    ("infrared", photograph::infrared),
    ("dream", photograph::dream),
    ("winter", scene::winter),
    ("autumn", scene::autumn),
    ("sunset", scene::sunset),
    ("night", scene::night),
    ("neon", scene::neon),
];

/// The look of that name.
pub fn find(name: &str) -> Option<Procedure> {
    PROCEDURES.iter().find(|(known, _)| *known == name).map(|&(_, procedure)| procedure)
}

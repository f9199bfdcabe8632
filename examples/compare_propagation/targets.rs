//! What a carried look must hold, beside the same look computed for each frame alone.

use super::metrics::{Measures, ratio};

/// Most of the per-frame look's warp error that a carried look may have: a network that paints draws its strokes anew
/// in each frame, arithmetic on pixels hardly flickers to begin with.
const PAINTERLY_ERROR: f64 = 0.6;
const PROCEDURAL_ERROR: f64 = 1.0;
/// Of the per-frame look's, in areas that must be re-drawn.
const LEAST_SHARPNESS: f64 = 0.8;
const SEAM: (f64, f64) = (0.95, 1.1);
/// In 0..255, in 100 frames.
const MOST_DRIFT: f64 = 2.0;
/// A difference between two ways that says nothing.
const EQUAL: f64 = 0.01;

/// What the measures are compared with.
pub struct Targets<'a> {
    pub painterly: bool,
    pub per_frame: &'a Measures,
    pub warp: &'a Measures,
}

impl Targets<'_> {
    /// Where the diffused video falls short, in words; a measure that could not be taken falls short of nothing.
    pub fn missed(&self, diffusion: &Measures) -> Vec<String> {
        let error = if self.painterly { PAINTERLY_ERROR } else { PROCEDURAL_ERROR };
        let near = |other: &Measures| ratio(diffusion.near, other.near);
        let far = |other: &Measures| ratio(diffusion.far, other.far);
        let above = |value: Option<f64>, most: f64| value.filter(|&value| value > most);
        let below = |value: Option<f64>, least: f64| value.filter(|&value| value < least);
        let checks = [
            ("1 apart", above(near(self.per_frame), error)),
            ("16 apart", above(far(self.per_frame), error)),
            ("sharpness re-drawn", below(diffusion.redrawn, LEAST_SHARPNESS)),
            ("seam", below(diffusion.seam, SEAM.0).or(above(diffusion.seam, SEAM.1))),
            ("drift", above(diffusion.drift, MOST_DRIFT)),
            ("1 apart, over warp", above(near(self.warp), 1.0 + EQUAL)),
            ("16 apart, over warp", above(far(self.warp), 1.0 + EQUAL)),
        ];
        checks.into_iter().filter_map(|(name, value)| Some(format!("{name} {:.2}", value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures(near: f64) -> Measures {
        Measures {
            near: Some(near),
            far: Some(near * 2.0),
            anchor: None,
            flicker: None,
            drift: Some(0.5),
            redrawn: Some(0.9),
            held: None,
            seam: Some(1.0),
            batch_seam: None,
            edit: None,
            edit_over_truth: None,
        }
    }

    #[test]
    fn a_painterly_look_must_be_much_steadier_than_its_frames_and_a_procedural_one_no_worse() {
        let (per_frame, carried) = (measures(10.0), measures(8.0));
        let missed =
            |painterly| Targets { painterly, per_frame: &per_frame, warp: &carried }.missed(&carried);
        assert_eq!(missed(true), ["1 apart 0.80", "16 apart 0.80"]);
        assert!(missed(false).is_empty());
    }

    #[test]
    fn each_bound_is_told_by_its_name() {
        let (per_frame, warp) = (measures(10.0), measures(4.0));
        let bad = Measures { redrawn: Some(0.5), seam: Some(1.3), drift: Some(3.0), ..measures(5.0) };
        let missed = Targets { painterly: true, per_frame: &per_frame, warp: &warp }.missed(&bad);
        assert_eq!(
            missed,
            [
                "sharpness re-drawn 0.50",
                "seam 1.30",
                "drift 3.00",
                "1 apart, over warp 1.25",
                "16 apart, over warp 1.25"
            ]
        );
        let soft = Measures { seam: Some(0.9), ..measures(4.0) };
        assert_eq!(
            Targets { painterly: true, per_frame: &per_frame, warp: &warp }.missed(&soft),
            ["seam 0.90"]
        );
        let unknown = Measures { near: None, far: None, drift: None, redrawn: None, seam: None, ..soft };
        assert!(Targets { painterly: true, per_frame: &per_frame, warp: &warp }.missed(&unknown).is_empty());
    }
}

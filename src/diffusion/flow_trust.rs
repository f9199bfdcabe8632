//! How far a sample is held to the warped edits while it is denoised.

use super::schedulers::Progress;

/// Up to here the window and the shares below hold; from here to 1 they grow to "all of it, to the end".
const SOFT: f64 = 0.5;
/// Of a run with a deterministic scheduler, this part mixes the warped edits in.
const WINDOW: (f64, f64) = (0.3, 0.8);
/// A consistency model's few steps by the share of the run behind them, and how much is mixed in, as parts of the
/// trust. Source: method of AS-Warp, 0.6, 0.5, 0.3, 0 in four steps at a trust of 0.5.
const CONSISTENCY: [(f64, f64); 4] = [(0.25, 1.2), (0.5, 1.0), (0.75, 0.6), (1.0, 0.0)];

/// The weight, 0..1, that the warped edits have in the sample once `after` of the run lies behind.
///
/// - `flow_trust`: 0 = FlowVid's soft condition alone, 1 = what a warped edit sees is not drawn again
/// - `consistency_model`: the scheduler is LCM's
///
/// Source: Rerender-A-Video's pixel-aware latent fusion (its window ends at 0.8 of the steps).
pub fn weight(flow_trust: f64, after: Progress, consistency_model: bool) -> f64 {
    let part = if consistency_model { consistency(after.share()) } else { window(after.share()) };
    let soft = flow_trust.min(SOFT) * part;
    soft + (1.0 - soft) * ((flow_trust - SOFT) / (1.0 - SOFT)).max(0.0)
}

fn window(share: f64) -> f64 {
    f64::from(u8::from(share >= WINDOW.0 && share <= WINDOW.1))
}

fn consistency(share: f64) -> f64 {
    let above = CONSISTENCY.iter().position(|&(at, _)| share <= at).unwrap_or(CONSISTENCY.len() - 1);
    let [low, high] = [CONSISTENCY[above.saturating_sub(1)], CONSISTENCY[above]];
    if above == 0 { high.1 } else { low.1 + (share - low.0) / (high.0 - low.0) * (high.1 - low.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(flow_trust: f64, steps: usize, consistency_model: bool) -> Vec<f64> {
        let at = |taken| weight(flow_trust, Progress { taken, steps }, consistency_model);
        (1..=steps).map(|taken| (at(taken) * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn between_soft_and_hard() {
        assert_eq!(weights(0.5, 10, false), [0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0]);
        assert_eq!(weights(0.5, 4, true), [0.6, 0.5, 0.3, 0.0]);
        assert_eq!(weights(0.5, 2, true), [0.5, 0.0]);
        for consistency_model in [false, true] {
            assert_eq!(weights(0.0, 5, consistency_model), [0.0; 5]);
            assert_eq!(weights(1.0, 5, consistency_model), [1.0; 5]);
            let more = weights(0.75, 5, consistency_model);
            assert!(more.iter().zip(weights(0.5, 5, consistency_model)).all(|(more, less)| *more > less));
        }
    }
}

//! Where shots begin.
//!
//! A frame belongs to the shot before it if a camera's move, one shift and one zoom of the whole frame, lays
//! enough of it over the frame before so that they show the same shapes. Shapes are compared by normalised
//! correlation, which is blind to brightness: fades and switched lights change nothing. What stands in
//! between for some frames only (a flash, a frame lost) is looked past.

use tch::{Kind, Tensor};

use super::{
    filters::{luma, mean, resize},
    warp::{Border, Sampling, warp},
};

/// Frames are compared at this height and width.
const SIZE: (i64, i64) = (64, 112);
/// The camera's move is searched for at this height and width.
const COARSE: (i64, i64) = (32, 56);
/// Zooms from one frame to the next that are searched for.
const ZOOMS: [f64; 4] = [0.8, 0.9, 1.11, 1.25];
/// A move must leave this share of the frame in sight.
const OVERLAP: f64 = 0.3;
/// Side of the windows in which shapes are compared, pixels, and the correlation that makes them the same.
const WINDOW: i64 = 11;
const SAME: f64 = 0.5;
/// Mean absolute luma difference (0..1) below which frames need no comparison, and from which on even a blank
/// frame is another shot's.
const SIMILAR: f64 = 0.02;
const JUMP: f64 = 0.15;
/// Standard deviation of luma (0..1) below which a frame is blank: it has no shapes to compare.
const BLANK: f64 = 0.02;
/// So many frames may stand between two frames of a shot.
const FLASH: usize = 3;
/// Luma (0..1) above which a pixel is blown out, and the share of the frame that a flash blows out.
const WHITE: f64 = 0.9;
const BLOWN_OUT: f64 = 0.3;

/// How many frames before a frame decide with it.
pub const HISTORY: usize = FLASH + 1;

/// What is compared of a frame: its luma, small.
///
/// - `frame`: `[1, 3, H, W]`, 0..1
/// - returns `[1, 1, h, w]`, 0..1
pub fn thumbnail(frame: &Tensor) -> Tensor {
    luma(&resize(frame, SIZE))
}

/// Whether a shot begins with the frame `index`, at least 1. Frames around it are looked at where they
/// are there.
///
/// - `thumbnails`: of successive frames
/// - `threshold`: the share of a frame that must be found in one before, 0..1
pub fn is_cut(thumbnails: &[Tensor], index: usize, threshold: f64) -> bool {
    let (before, after) = (&thumbnails[index - 1], &thumbnails[index]);
    if found(before, after) >= threshold {
        return false;
    }
    let unfinished = index + FLASH >= thumbnails.len();
    if unfinished && blown_out(after) >= blown_out(before) + BLOWN_OUT {
        return false; // most likely a flash; if not, the frames to come cannot tell either
    }
    let around = (0..=FLASH).flat_map(|back| (0..=FLASH - back).map(move |on| (back, on)));
    let mut pairs = around.skip(1).filter_map(|(back, on)| {
        Some((thumbnails.get((index - 1).checked_sub(back)?)?, thumbnails.get(index + on)?))
    });
    !pairs.any(|(before, after)| found(before, after) >= threshold)
}

/// The share of `after`'s shapes, by contrast, that are found in `before`, 0..1.
fn found(before: &Tensor, after: &Tensor) -> f64 {
    let difference = (before - after).abs().mean(Kind::Float).double_value(&[]);
    if difference < SIMILAR {
        return 1.0;
    }
    if contrast(before).min(contrast(after)) < BLANK {
        return f64::from(u8::from(difference < JUMP));
    }
    let moves = Move::likely(before, after);
    moves.iter().map(|camera| same_shapes(before, after, camera)).fold(0.0, f64::max)
}

fn contrast(frame: &Tensor) -> f64 {
    frame.std(false).double_value(&[])
}

fn blown_out(frame: &Tensor) -> f64 {
    frame.gt(WHITE).to_kind(Kind::Float).mean(Kind::Float).double_value(&[])
}

/// The share of windows, weighted by contrast, that correlate after the move.
fn same_shapes(before: &Tensor, after: &Tensor, camera: &Move) -> f64 {
    let flow = camera.flow(after);
    let in_sight = warp(&before.ones_like(), &flow, Sampling::Bilinear, Border::Zeros);
    let moved = warp(before, &flow, Sampling::Bilinear, Border::Replicate);
    let average = |maps: &Tensor| mean(maps, WINDOW);
    let (mean_after, mean_moved) = (average(after), average(&moved));
    let covariance = average(&(after * &moved)) - &mean_after * &mean_moved;
    let variance_after = average(&after.square()) - mean_after.square();
    let variance_moved = average(&moved.square()) - mean_moved.square();
    let noise = 1e-4;
    let correlation: Tensor = covariance / ((&variance_after + noise) * (&variance_moved + noise)).sqrt();
    let weight = (variance_after.maximum(&variance_moved).clamp_min(0.0) + 1e-6).sqrt();
    let same = correlation.gt(SAME).logical_and(&in_sight.gt(0.5));
    ((same.to_kind(Kind::Float) * &weight).sum(Kind::Float) / weight.sum(Kind::Float)).double_value(&[])
}

/// A camera's move from one frame to the next.
#[derive(Debug, Clone, Copy)]
struct Move {
    /// A length in the frame after, in lengths of the frame before.
    zoom: f64,
    /// Where the later frame's corner lies in the frame before, as a share of its width and height.
    shift: (f64, f64),
}

impl Move {
    /// None at all, and the moves with and without a zoom that correlate the frames best.
    fn likely(before: &Tensor, after: &Tensor) -> [Self; 3] {
        let before = resize(before, COARSE);
        let at_zoom = |zoom: f64| {
            let side = |length: i64| (length as f64 * zoom).round() as i64;
            let after = resize(after, (side(COARSE.0), side(COARSE.1)));
            let (correlation, (x, y)) = best_overlay(&before, &after);
            (correlation, Self { zoom, shift: (x as f64 / COARSE.1 as f64, y as f64 / COARSE.0 as f64) })
        };
        let unzoomed = at_zoom(1.0);
        let best = ZOOMS.into_iter().map(at_zoom).fold(unzoomed, |a, b| if b.0 > a.0 { b } else { a });
        [Self { zoom: 1.0, shift: (0.0, 0.0) }, unzoomed.1, best.1]
    }

    /// From `after` to the frame before, `[1, 2, h, w]`, pixels.
    fn flow(&self, after: &Tensor) -> Tensor {
        let [.., height, width] = after.size()[..] else { unreachable!("an image is 4-dimensional") };
        let along = |length: i64, shift: f64, view: [i64; 4]| {
            let place = Tensor::arange(length, (Kind::Float, after.device())) + 0.5;
            let motion = place * (self.zoom - 1.0) + shift * length as f64;
            motion.view(view).expand([1, 1, height, width], false)
        };
        let x = along(width, self.shift.0, [1, 1, 1, width]);
        let y = along(height, self.shift.1, [1, 1, height, 1]);
        Tensor::cat(&[x, y], 1)
    }
}

/// Where `over` correlates best with `under`, and how well: normalised over the part where they overlap.
///
/// - `under`, `over`: `[1, 1, h, w]` of any two sizes
/// - returns the correlation, at most 1, and the place of `over`'s corner, pixels
fn best_overlay(under: &Tensor, over: &Tensor) -> (f64, (i64, i64)) {
    let ([.., h, w], [.., over_h, over_w]) = (&under.size()[..], &over.size()[..]) else {
        unreachable!("an image is 4-dimensional")
    };
    // Transforms of a length that is a prime, as some of the sums are, take many times as long.
    let fast = |length: i64| length.unsigned_abs().next_power_of_two() as i64;
    let (size, dims) = ([fast(h + over_h), fast(w + over_w)], [-2, -1]);
    let spectrum = |map: &Tensor| map.fft_rfft2(size.as_slice(), dims.as_slice(), "backward");
    let spectra =
        |map: &Tensor| [map.ones_like(), map.shallow_clone(), map.square()].map(|map| spectrum(&map));
    let ([under_1, under_x, under_xx], [over_1, over_x, over_xx]) = (spectra(under), spectra(over));
    // For each place of `over`: a sum over the overlap, by the correlation theorem.
    let sum = |under: &Tensor, over: &Tensor| {
        (under * over.conj()).fft_irfft2(size.as_slice(), dims.as_slice(), "backward")
    };
    let pixels = sum(&under_1, &over_1).round();
    let enough = pixels.ge(OVERLAP * (h * w).min(over_h * over_w) as f64);
    let pixels = pixels.clamp_min(1.0);
    let (mean_under, mean_over) = (sum(&under_x, &over_1) / &pixels, sum(&under_1, &over_x) / &pixels);
    let variance_under = sum(&under_xx, &over_1) / &pixels - mean_under.square();
    let variance_over = sum(&under_1, &over_xx) / &pixels - mean_over.square();
    let covariance = sum(&under_x, &over_x) / &pixels - &mean_under * &mean_over;
    let noise = 1e-4;
    let correlation: Tensor =
        covariance / (variance_under.clamp_min(noise) * variance_over.clamp_min(noise)).sqrt();
    let correlation = correlation.where_scalarother(&enough, -1.0);
    let best = correlation.argmax(None, false).int64_value(&[]);
    let wrapped = |place: i64, length: i64, period: i64| if place < length { place } else { place - period };
    let corner = (wrapped(best % size[1], *w, size[1]), wrapped(best / size[1], *h, size[0]));
    (correlation.max().double_value(&[]), corner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conditions::filters::gaussian, torch::testing::uniform};

    /// A smooth random texture, 0..1.
    fn texture(seed: u64, height: i64, width: i64) -> Tensor {
        let texture = gaussian(&uniform(seed, &[1, 1, height, width]), 3.0);
        (&texture - texture.min()) / (texture.max() - texture.min())
    }

    #[test]
    fn an_overlay_is_found_at_its_place() {
        let under = texture(1, 32, 56);
        for (x, y, w, h) in [(9, 4, 30, 20), (0, 0, 56, 32), (20, 12, 36, 20)] {
            let over = under.narrow(2, y, h).narrow(3, x, w) * 0.5 + 0.2;
            let (correlation, place) = best_overlay(&under, &over);
            assert!(correlation > 0.99 && place == (x, y), "{correlation} at {place:?}, not {x}, {y}");
        }
        let beyond = texture(2, 32, 90);
        let (left, right) = (beyond.narrow(3, 0, 56), beyond.narrow(3, 34, 56));
        assert_eq!(best_overlay(&left, &right).1, (34, 0));
        assert_eq!(best_overlay(&right, &left).1, (-34, 0));
    }

    #[test]
    fn a_swing_and_a_dimmed_light_are_no_cut_but_another_picture_is() {
        let wide = texture(3, 64, 200);
        let frames = |views: [&Tensor; 2]| Vec::from(views.map(Tensor::shallow_clone));
        let (left, right) = (wide.narrow(3, 0, 112), wide.narrow(3, 50, 112));
        assert!(!is_cut(&frames([&left, &right]), 1, 0.25), "swing");
        assert!(!is_cut(&frames([&left, &(&left * 0.4)]), 1, 0.25), "light");
        assert!(is_cut(&frames([&left, &texture(6, 64, 112)]), 1, 0.25), "another picture");
        assert!(is_cut(&frames([&left, &(left.zeros_like())]), 1, 0.25), "black");
    }

    #[test]
    fn a_flash_is_looked_past() {
        let (scene, other) = (texture(5, 64, 112), texture(6, 64, 112));
        let white = scene.ones_like();
        let cuts = |frames: &[&Tensor]| -> Vec<usize> {
            let frames: Vec<Tensor> = frames.iter().map(|frame| frame.shallow_clone()).collect();
            (1..frames.len()).filter(|&index| is_cut(&frames, index, 0.25)).collect()
        };
        let none: [usize; 0] = [];
        assert_eq!(cuts(&[&scene, &white, &white, &white, &scene]), none);
        assert_eq!(cuts(&[&scene, &white]), none, "what follows is not known yet");
        assert_eq!(cuts(&[&scene, &white, &white, &white, &white, &scene]), [1, 5], "too long for a flash");
        assert_eq!(cuts(&[&scene, &scene, &other, &other]), [2]);
    }
}

//! What the prior does not know of an edit, its texture and the colours of single objects, copied from there in the
//! anchor that looks like the place where it is missing.
//!
//! Pieces stay whole: each pixel takes one of a few offsets that many places agree on, chosen by costs that are averaged
//! over its neighbourhood. What is copied is what the prior leaves unexplained of the anchor, so tone and
//! colour stay the prior's. Sources: He and Sun, "Statistics of patch offsets for image completion"; Rhemann et al.,
//! "Fast cost-volume filtering".

use std::collections::BTreeMap;

use tch::{IndexOp, Kind, Tensor};

use crate::conditions::filters::{gaussian, luma};

/// Pixels a cell of the grid on which places are compared, each way.
const CELL: i64 = 4;
/// A cell is a hole where more of it is unseen, 0..1.
const UNSEEN: f64 = 0.3;
/// Offsets that pieces may be copied along.
const OFFSETS: usize = 64;
/// Offsets are told apart by so many cells.
const STEP: i64 = 2;
/// Holes are sampled at about so many cells to find the offsets.
const SAMPLES: i64 = 600;
/// Likeliest places of the anchor for each sample.
const PLACES: i64 = 4;
/// Radius of the neighbourhood that chooses together, in cells.
const RADIUS: i64 = 2;
/// Sigma that parts texture from tone, in pixels.
const TONE: f64 = 3.0;
/// Mean squared difference at which a place is no longer the same thing, whose tone may be copied too.
const SAME: f64 = 0.002;
/// Where the frame is calmer than the place that is copied, so is its texture, but for this share.
const CALMEST: f64 = 0.3;
/// A busyness below which none can be told, 0..1.
const CALM: f64 = 0.003;
/// A mean squared difference that nothing reaches.
const NOWHERE: f64 = 1.0;

/// An edited frame beside what the prior makes of its source.
#[derive(Debug)]
pub struct Pair<'a> {
    /// `[1, 3, h, w]`, 0..1, sides multiples of 4.
    pub source: &'a Tensor,
    /// The prior's edit of it, the same shape.
    pub prior: &'a Tensor,
}

/// Adds the anchor's texture to the prior's edit of a frame.
///
/// - `anchor`: the anchor, and `edit`: its true edit, `[1, 3, h, w]`; `edited`: where that is one,
///   `[1, 1, h, w]`, 0..1, `None`: everywhere
/// - `frame`: the frame; `unseen`: where its texture is missing, `[1, 1, h, w]`, 0..1
/// - returns `[1, 3, h, w]`, 0..1; unchanged where nothing is unseen
pub fn transfer(
    (anchor, edit, edited): (&Pair, &Tensor, Option<&Tensor>),
    frame: &Pair,
    unseen: &Tensor,
) -> Tensor {
    let holes = cells(unseen).flatten(0, -1).gt(UNSEEN).nonzero().squeeze_dim(1);
    if holes.numel() == 0 {
        return frame.prior.shallow_clone();
    }
    let [busy, own_busy] = [anchor, frame].map(|pair| busyness(pair.source, 1.0));
    let (theirs, own) = (describe(anchor, &busy), describe(frame, &own_busy));
    let offsets = common_offsets(&theirs, &own, &holes);
    let (differences, choice) = choose(&theirs, &own, &offsets);
    let unexplained = edit - anchor.prior;
    let unexplained = edited.map_or_else(|| unexplained.shallow_clone(), |edited| &unexplained * edited);
    let tone = gaussian(&unexplained, TONE);
    let places = places(&choice, &offsets);
    let copied = |maps: &Tensor| maps.flatten(2, 3).index_select(2, &places).view_as(maps);
    let [.., height, width] = frame.source.size()[..] else { unreachable!("a picture is 4-dimensional") };
    let enlarged = |maps: &Tensor| maps.upsample_bilinear2d([height, width], false, None, None);
    let same = enlarged(&(differences / -SAME).exp());
    let [busy, own_busy] = [busy, own_busy].map(|maps| enlarged(&(maps + CALM)));
    let calmer = (own_busy / copied(&busy)).clamp(CALMEST, 1.0);
    let texture = copied(&(&unexplained - &tone)) * calmer;
    (frame.prior + texture + gaussian(&copied(&tone), TONE) * same).clamp(0.0, 1.0)
}

/// What a cell looks like: colours near and far, what the prior makes of them, and how busy it is at two scales;
/// `[1, features, h / 4, w / 4]`.
///
/// - `busy`: its [`busyness`] at the finer scale
fn describe(pair: &Pair, busy: &Tensor) -> Tensor {
    let (source, prior) = (cells(pair.source), cells(pair.prior));
    Tensor::cat(
        &[
            source.shallow_clone(),
            gaussian(&source, 0.75) * 2.0,
            gaussian(&source, 2.0) * 1.5,
            gaussian(&prior, 0.75) * 1.5,
            busy * 8.0,
            busyness(pair.source, 2.5) * 8.0,
        ],
        1,
    )
}

/// How much detail of about that size a cell and its surroundings have, `[1, 1, h / 4, w / 4]`, 0..1.
fn busyness(source: &Tensor, sigma: f64) -> Tensor {
    let luma = luma(source);
    let detail = gaussian(&luma, sigma) - gaussian(&luma, 2.0 * sigma);
    gaussian(&cells(&detail.abs()), 1.5)
}

fn cells(maps: &Tensor) -> Tensor {
    maps.avg_pool2d([CELL; 2], [CELL; 2], [0, 0], false, true, None)
}

/// The offsets, down and to the right in cells, from unseen places to places of the anchor that look like them: the
/// most frequent ones, and none at all.
///
/// - `holes`: the unseen cells, flat, one at least
fn common_offsets(anchor: &Tensor, frame: &Tensor, holes: &Tensor) -> Vec<(i64, i64)> {
    let width = anchor.size()[3];
    let every = (holes.size()[0] / SAMPLES).max(1);
    let sampled = holes.slice(0, 0, None, every);
    let rows = |maps: &Tensor| maps.flatten(2, 3).squeeze_dim(0).transpose(0, 1);
    let apart = Tensor::cdist(&rows(frame).index_select(0, &sampled), &rows(anchor), 2.0, None);
    let (_, likeliest) = apart.topk(PLACES.min(apart.size()[1]), 1, false, true);
    let [sampled, likeliest] = [sampled, likeliest.flatten(0, -1)]
        .map(|places| Vec::<i64>::try_from(&places).expect("a flat tensor of whole numbers"));
    let mut frequent: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    let rounded = |offset: i64| (offset as f64 / STEP as f64).round() as i64 * STEP;
    for (own, places) in sampled.iter().zip(likeliest.chunks(likeliest.len() / sampled.len())) {
        for place in places {
            let offset = (rounded(place / width - own / width), rounded(place % width - own % width));
            *frequent.entry(offset).or_default() += 1;
        }
    }
    let mut offsets: Vec<_> = frequent.into_iter().filter(|&(offset, _)| offset != (0, 0)).collect();
    offsets.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let offsets = offsets.into_iter().take(OFFSETS).map(|(offset, _)| offset);
    std::iter::once((0, 0)).chain(offsets).collect()
}

/// Each cell's offset: how far its neighbourhood differs from the anchor's there, `[1, 1, h, w]`, and its index,
/// `[h, w]`.
fn choose(anchor: &Tensor, frame: &Tensor, offsets: &[(i64, i64)]) -> (Tensor, Tensor) {
    let [_, _, height, width] = frame.size()[..] else { unreachable!("maps are 4-dimensional") };
    let far = NOWHERE * 1e3;
    let padded = anchor.pad([width, width, height, height], "constant", far);
    let difference = |&(down, right): &(i64, i64)| {
        let there = padded.narrow(2, height + down, height).narrow(3, width + right, width);
        (frame - there).square().mean_dim([1].as_slice(), true, Kind::Float).clamp_max(NOWHERE)
    };
    let differences = Tensor::cat(&offsets.iter().map(difference).collect::<Vec<_>>(), 1);
    let side = 2 * RADIUS + 1;
    let together = differences.avg_pool2d([side; 2], [1, 1], [RADIUS; 2], false, false, None);
    let (least, choice) = together.min_dim(1, true);
    (least, choice.i((0, 0)))
}

/// Where each pixel is copied from: its index among the anchor's pixels, flat.
fn places(choice: &Tensor, offsets: &[(i64, i64)]) -> Tensor {
    let device = choice.device();
    let [rows, columns] = choice.size()[..] else { unreachable!("a choice a cell") };
    let (height, width) = (rows * CELL, columns * CELL);
    let pixels = choice.repeat_interleave_self_int(CELL, 0, None).repeat_interleave_self_int(CELL, 1, None);
    let along = |part: fn(&(i64, i64)) -> i64| {
        let offsets: Vec<i64> = offsets.iter().map(|offset| part(offset) * CELL).collect();
        Tensor::from_slice(&offsets)
            .to_device(device)
            .index_select(0, &pixels.flatten(0, -1))
            .view_as(&pixels)
    };
    let row = Tensor::arange(height, (Kind::Int64, device)).unsqueeze(1);
    let column = Tensor::arange(width, (Kind::Int64, device));
    let [row, column] = [
        (row + along(|offset| offset.0)).clamp(0, height - 1),
        (column + along(|offset| offset.1)).clamp(0, width - 1),
    ];
    (row * width + column).flatten(0, -1)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::torch::testing::uniform;

    const HEIGHT: i64 = 96;
    const WIDTH: i64 = 160;

    fn along_x() -> Tensor {
        Tensor::arange(WIDTH, (Kind::Float, Device::Cpu)).expand([1, 1, HEIGHT, WIDTH], false)
    }

    /// A smooth picture, brown on one side of `border` and blue on the other.
    fn source(border: f64, seed: u64) -> Tensor {
        let [brown, blue] = [[0.6f32, 0.4, 0.2], [0.2, 0.3, 0.7]]
            .map(|colour| Tensor::from_slice(&colour).view([1, 3, 1, 1]));
        let smooth = uniform(seed, &[1, 3, HEIGHT / 16, WIDTH / 16]);
        let smooth = smooth.upsample_bicubic2d([HEIGHT, WIDTH], false, None, None) * 0.08;
        brown.where_self(&along_x().lt(border), &blue) + smooth
    }

    /// Stripes on what is brown.
    fn edit(source: &Tensor) -> Tensor {
        let stripes = (along_x() * 1.3).sin() * 0.2;
        source + stripes * source.narrow(1, 0, 1).gt(0.45)
    }

    fn energy(picture: &Tensor) -> f64 {
        let rough = picture - gaussian(picture, 2.0);
        rough.square().mean(Kind::Float).double_value(&[])
    }

    /// What comes of a prior that knows no stripes, where all of the frame is unseen.
    fn found(anchor: &Tensor, frame: &Tensor, unseen: f64, edited: Option<&Tensor>) -> Tensor {
        let unseen = Tensor::full([1, 1, HEIGHT, WIDTH], unseen, (Kind::Float, Device::Cpu));
        let pair = |source| Pair { source, prior: source };
        transfer((&pair(anchor), &edit(anchor), edited), &pair(frame), &unseen)
    }

    #[test]
    fn texture_comes_back_on_the_same_thing_elsewhere_and_on_nothing_else() {
        let (anchor, frame) = (source(90.0, 1), source(60.0, 2));
        let (found, truth) = (found(&anchor, &frame, 1.0, None), edit(&frame));
        let inside = |picture: &Tensor, from: i64, to: i64| energy(&picture.narrow(3, from, to - from));
        let striped = inside(&found, 4, 48) / inside(&truth, 4, 48);
        assert!((0.6..1.2).contains(&striped), "{striped}");
        let plain = inside(&found, 72, 156) / inside(&truth, 4, 48);
        assert!(plain < 0.05, "{plain}");
    }

    #[test]
    fn the_anchors_own_frame_gets_its_edit_back() {
        let anchor = source(80.0, 3);
        let error = (found(&anchor, &anchor, 1.0, None) - edit(&anchor)).abs().mean(Kind::Float);
        let missing = (&anchor - edit(&anchor)).abs().mean(Kind::Float);
        assert!((error / missing).double_value(&[]) < 0.2);
    }

    #[test]
    fn what_is_seen_or_not_edited_changes_nothing() {
        let (anchor, frame) = (source(90.0, 1), source(60.0, 2));
        assert_eq!(found(&anchor, &frame, 0.0, None), frame);
        let nowhere = Tensor::zeros([1, 1, HEIGHT, WIDTH], (Kind::Float, Device::Cpu));
        let difference = (found(&anchor, &frame, 1.0, Some(&nowhere)) - frame).abs().max();
        assert!(difference.double_value(&[]) < 1e-6);
    }

    #[test]
    fn an_offset_never_leads_out_of_the_anchor() {
        let choice = Tensor::from_slice(&[0i64, 1, 2, 3, 0, 1]).view([2, 3]);
        let places = places(&choice, &[(0, 0), (-50, 2), (50, -2), (2, 50)]);
        assert_eq!(places.size(), [2 * 3 * CELL * CELL]);
        assert!(places.min().int64_value(&[]) >= 0 && places.max().int64_value(&[]) < 2 * 3 * CELL * CELL);
    }
}

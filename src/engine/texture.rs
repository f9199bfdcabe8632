//! What the prior does not know of an edit: its texture, copied from there in the anchor that looks like the place where
//! it is missing, and the [`tone`] of single things.
//!
//! Pieces stay whole: each pixel takes one of a few offsets that many places agree on, chosen by costs that are averaged
//! over its neighbourhood. What is copied is what the prior leaves unexplained of the anchor. Sources: He and Sun,
//! "Statistics of patch offsets for image completion"; Rhemann et al., "Fast cost-volume filtering".

use std::collections::BTreeMap;

use tch::{IndexOp, Kind, Tensor};

use super::{
    known::{Appearance, CELL, DARK, Known, TONE, cells, rows},
    local::Lesson,
    tone::{self, Witness},
};
use crate::conditions::filters::{gaussian, mean, resize, smoothstep};

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
/// Side of the neighbourhood that chooses together, in cells.
const TOGETHER: i64 = 5;
/// Mean squared difference at which a place is no longer the same thing, whose tone may be copied too.
const SAME: f64 = 0.002;
/// Where the frame is calmer than the place that is copied, so is its texture, but for this share.
const CALMEST: f64 = 0.3;
/// A busyness below which none can be told, 0..1.
const CALM: f64 = 0.003;
/// How surely the edit left a place as it was so that it begins to be left so, and so that it is; what is edited may look
/// much like what is not.
const UNSURE: f64 = 0.5;
const SURE: f64 = 0.9;
/// A mean squared difference that nothing reaches.
const NOWHERE: f64 = 1.0;

/// Adds to the prior's edit of a frame what the prior doesn't know of it.
///
/// - `anchor`: with what its source looks like
/// - `unseen`: where the frame's edit is missing, `[1, 1, h, w]`, 0..1
/// - `followed`: what finished frames beside it tell of its tone, and the prior's edit that this is told over, `[1, 3, h, w]`
/// - returns `[1, 3, h, w]`, 0..1; unchanged where nothing is unseen
pub fn transfer(
    (anchor, appearance): (&Known, &Appearance),
    frame: &Known,
    unseen: &Tensor,
    followed: Option<(&Witness, &Tensor)>,
) -> Tensor {
    let holes = cells(unseen).flatten(0, -1).gt(UNSEEN).nonzero().squeeze_dim(1);
    if holes.numel() == 0 {
        return frame.prior.shallow_clone();
    }
    let own_appearance = Appearance::of(frame.source);
    let [theirs, own] = [anchor.describe(appearance), frame.describe(&own_appearance)];
    let offsets = common_offsets(&theirs, &own, &holes);
    let (differences, choice) = choose(&theirs, &own, &offsets);
    let places = Places::new(&choice, &offsets);

    let lesson = Lesson::of(anchor, &theirs);
    let their_prior = lesson.correct(anchor, &theirs, &holes.narrow(0, 0, 0));
    let own_prior = lesson.correct(frame, &own, &holes);
    let [anchor, frame] = [Known { prior: &their_prior, ..*anchor }, Known { prior: &own_prior, ..*frame }];

    let followed = followed.map(|(witness, over)| witness.over(&frame, over));
    let told = anchor.tone();
    let copied = Witness { tone: places.copy(&told), sure: (differences / -SAME).exp() };
    let alike = tone::alike([&theirs, &own], &told, &holes);
    let tone = enlarged(&tone::tone(&frame, followed.as_ref(), &copied, &alike));
    let calmer = (own_appearance.busy + CALM) / (places.copy(&appearance.busy) + CALM);
    let unexplained = anchor.unexplained();
    let texture = places.copy(&(&unexplained - gaussian(&unexplained, TONE)));
    let texture = texture * enlarged(&calmer.clamp(CALMEST, 1.0));
    let edit = ((frame.prior + DARK) * tone.narrow(1, 0, 3).exp() - DARK + texture).clamp(0.0, 1.0);
    let left = smoothstep(&tone.narrow(1, 3, 1), UNSURE, SURE);
    &edit + left * (frame.source - &edit)
}

/// From a value a cell to one a pixel.
fn enlarged(maps: &Tensor) -> Tensor {
    let [_, _, height, width] = maps.size()[..] else { unreachable!("maps are 4-dimensional") };
    resize(maps, (height * CELL, width * CELL))
}

/// The offsets, down and to the right in cells, from unseen places to places of the anchor that look like them: the
/// most frequent ones, and none at all.
///
/// - `holes`: the unseen cells, flat, one at least
fn common_offsets(anchor: &Tensor, frame: &Tensor, holes: &Tensor) -> Vec<(i64, i64)> {
    let width = anchor.size()[3];
    let every = (holes.size()[0] / SAMPLES).max(1);
    let sampled = holes.slice(0, 0, None, every);
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
    let (least, choice) = mean(&differences, TOGETHER).min_dim(1, true);
    (least, choice.i((0, 0)))
}

/// Where each cell is copied from: its number, row by row, `[h, w]`.
struct Places(Tensor);

impl Places {
    /// `choice`: each cell's index among the `offsets`, `[h, w]`.
    fn new(choice: &Tensor, offsets: &[(i64, i64)]) -> Self {
        let [height, width] = choice.size()[..] else { unreachable!("a choice a cell") };
        let along = |part: fn(&(i64, i64)) -> i64| {
            let offsets: Vec<i64> = offsets.iter().map(part).collect();
            let offsets = Tensor::from_slice(&offsets).to_device(choice.device());
            offsets.index_select(0, &choice.flatten(0, -1)).view_as(choice)
        };
        let count = |length: i64| Tensor::arange(length, (Kind::Int64, choice.device()));
        let row = (count(height).unsqueeze(1) + along(|offset| offset.0)).clamp(0, height - 1);
        let column = (count(width) + along(|offset| offset.1)).clamp(0, width - 1);
        Self(row * width + column)
    }

    /// `maps`, `[1, c, H, W]`, the grid's size or a multiple of it, as they are there.
    fn copy(&self, maps: &Tensor) -> Tensor {
        let [height, width] = self.0.size()[..] else { unreachable!("a place a cell") };
        let pixels = maps.size()[2] / height; // of a cell, each way
        let copied = rows(&maps.pixel_unshuffle(pixels)).contiguous().index_select(0, &self.0.flatten(0, -1));
        copied.transpose(0, 1).view([1, -1, height, width]).pixel_shuffle(pixels)
    }
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
        let everywhere = unseen.ones_like();
        let known = |source, edit, known| Known { source, prior: source, edit, known };
        let edit = edit(anchor);
        let anchor = known(anchor, &edit, edited.unwrap_or(&everywhere));
        let seen = 1.0 - &unseen;
        let appearance = Appearance::of(anchor.source);
        transfer((&anchor, &appearance), &known(frame, frame, &seen), &unseen, None)
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

    /// Whatever the prior makes of it.
    #[test]
    fn what_the_edit_left_as_it_was_is_the_source() {
        let (anchor, frame) = (source(90.0, 1), source(60.0, 2));
        let everywhere = Tensor::ones([1, 1, HEIGHT, WIDTH], (Kind::Float, Device::Cpu));
        let edit = anchor.where_self(&along_x().gt(90.0), &(&anchor * 0.5));
        let wrong = &frame + (along_x() * 1.3).sin() * 0.2;
        let known = |source, prior, edit, known| Known { source, prior, edit, known };
        let (anchor, nowhere) = (known(&anchor, &anchor, &edit, &everywhere), 1.0 - &everywhere);
        let unseen = known(&frame, &wrong, &frame, &nowhere);
        let found = transfer((&anchor, &Appearance::of(anchor.source)), &unseen, &everywhere, None);
        let apart = |from: i64, to: i64| {
            let part = |picture: &Tensor| picture.narrow(3, from, to - from);
            (part(&found) - part(&frame)).abs().mean(Kind::Float).double_value(&[])
        };
        let (left, edited) = (apart(80, 150), apart(10, 50));
        assert!(left < 0.005 && edited > 0.1, "{left} and {edited}");
    }

    #[test]
    fn an_offset_never_leads_out_of_the_anchor() {
        let choice = Tensor::from_slice(&[0i64, 1, 2, 3, 0, 1]).view([2, 3]);
        let places = Places::new(&choice, &[(0, 0), (-50, 2), (50, -2), (2, 50)]);
        let expected = Tensor::from_slice(&[0i64, 2, 3, 5, 4, 2]).view([2, 3]);
        assert_eq!(places.0, expected);
        let numbered =
            Tensor::arange(2 * 3 * CELL * CELL, (Kind::Float, Device::Cpu)).view([1, 1, 2 * CELL, 3 * CELL]);
        let copied = places.copy(&numbered);
        assert_eq!(copied.size(), numbered.size());
        assert_eq!(places.copy(&cells(&numbered)), cells(&copied), "a cell is copied whole");
    }
}

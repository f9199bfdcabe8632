//! The tone that a frame's edit has where nobody shows it, beyond what the prior says.
//!
//! Of each cell it is asked how much lighter the edit is than the prior says, and whether the edit left it as it was: see
//! [`Known::tone`]. Four witnesses tell: the frame's own seen part, the frames beside it where they show the same surface, the place
//! in the anchor that texture is copied from, and all of the anchor's places that look alike. What they tell is spread
//! as far as the source shows one thing.

use tch::{Kind, Tensor};

use super::{
    alike::Likes,
    known::{CELL, Known, cells, rows},
    shot::Sight,
    spread::spread,
};
use crate::conditions::warp::{Border, Sampling, warp};

/// How surely a cell has the tone that is seen of it, that of the place whose texture it gets, and the mean of places
/// that look alike; beside the bond of 1 between two cells that look the same. What is seen is not sure: noise of a
/// texture would be spread, and averages out between many cells.
const SEEN: f64 = 0.05;
const COPIED: f64 = 0.04;
const ALIKE: f64 = 0.05;
/// And that of what it was in a frame beside it. Surer than all others: of things that look alike it alone tells which is which.
const FOLLOWED: f64 = 0.5;
/// How much any place must look alike, in the mean of all, so that the likes count as much as nothing. Next to none would
/// bring the mean error of things down by a fifth, and give a thing the colours of what merely looks like it.
const NOTHING: f64 = 2e-3;

/// Keeps a division finite where no witness is sure.
const NOBODY: f64 = 1e-6;

/// What a witness tells of each cell.
#[derive(Debug)]
pub struct Witness {
    /// `[1, 4, h, w]`, see [`Known::tone`].
    pub tone: Tensor,
    /// How surely, `[1, 1, h, w]`, 0..1; 0 where it knows nothing.
    pub sure: Tensor,
}

impl Witness {
    /// What is known of a picture's own edit.
    pub fn of(known: &Known) -> Self {
        Self { tone: known.tone(), sure: cells(known.known) }
    }

    /// What it tells of another frame, wherever that may show the same surface.
    ///
    /// - `sight`: the frame's, of the picture that this is told of
    /// - `source`, `reference`: the frame and that picture's source, `[1, 3, h, w]`, 0..1
    pub fn followed(&self, sight: &Sight, source: &Tensor, reference: &Tensor) -> Self {
        let motion = cells(&sight.flow.to) / CELL as f64;
        let there = |maps: &Tensor| warp(maps, &motion, Sampling::Bilinear, Border::Zeros);
        let likely = cells(&sight.same_surface(source, reference));
        Self { tone: there(&self.tone), sure: there(&self.sure) * likely }
    }

    /// What two of one frame tell together, each as far as it is sure, the nearer one the more; `time` runs from 0 at the first to 1
    /// at the second.
    pub fn between(first: &Self, second: &Self, time: f64) -> Self {
        let (a, b) = (&first.sure * (1.0 - time), &second.sure * time);
        let tone = (&first.tone * &a + &second.tone * &b) / (a + b).clamp_min(NOBODY);
        Self { tone, sure: first.sure.maximum(&second.sure) }
    }

    /// The same over the prior of `frame`, where it was told over `other`, `[1, 3, h, w]`.
    pub fn over(&self, frame: &Known, other: &Tensor) -> Self {
        let everywhere = frame.known.ones_like();
        let gains = Known { edit: other, known: &everywhere, ..*frame }.gains();
        Self { tone: &self.tone + gains.constant_pad_nd([0, 0, 0, 0, 0, 1]), sure: self.sure.shallow_clone() }
    }
}

/// The tone of all cells of `frame`, `[1, 4, h, w]`, see [`Known::tone`].
///
/// - `followed`: what finished frames beside it tell
/// - `copied`: what the place in the anchor tells that texture is copied from
/// - `alike`: see [`alike`]
pub fn tone(frame: &Known, followed: Option<&Witness>, copied: &Witness, alike: &Witness) -> Tensor {
    let seen = Witness::of(frame);
    let unseen: Tensor = 1.0 - &seen.sure;
    let lost = followed.map_or_else(|| unseen.shallow_clone(), |followed| &unseen * (1.0 - &followed.sure));
    let mut heard = vec![(&seen, &seen.sure * SEEN)];
    heard.extend(followed.map(|followed| (followed, &followed.sure * &unseen * FOLLOWED)));
    heard.extend(
        [(copied, COPIED), (alike, ALIKE)].map(|(witness, share)| (witness, &witness.sure * &lost * share)),
    );
    let told: Tensor = heard.iter().map(|(witness, sure)| &witness.tone * sure).sum();
    let sure: Tensor = heard.iter().map(|(_, sure)| sure).sum();
    spread(&cells(frame.source), &told, &sure)
}

/// The mean of what the anchor's places tell that look like a hole's.
///
/// - `theirs`, `own`: descriptions, `[1, features, h, w]`
/// - `tone`: the anchor's, `[1, 4, h, w]`
/// - `holes`: the cells that are looked for, flat
pub fn alike([theirs, own]: [&Tensor; 2], tone: &Tensor, holes: &Tensor) -> Witness {
    let [_, channels, height, width] = tone.size()[..] else { unreachable!("maps are 4-dimensional") };
    let likes = Likes::of(theirs, tone, &tone.narrow(1, 0, 1).ones_like());
    let answers = Tensor::cat(&likes.tell(&rows(own).index_select(0, holes), NOTHING), 1);
    let none = Tensor::zeros([height * width, channels + 1], (Kind::Float, tone.device()));
    let all = none.index_copy(0, holes, &answers);
    let all = all.transpose(0, 1).view([1, channels + 1, height, width]);
    Witness { tone: all.narrow(1, 0, channels), sure: all.narrow(1, channels, 1) }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{
        conditions::flow::FlowPair,
        engine::known::{Appearance, DARK},
    };

    const SIDE: i64 = 96;
    const GROUND: [f32; 3] = [0.2, 0.4, 0.2];
    const GREY: [f32; 3] = [0.6, 0.6, 0.6];
    /// What a grey of 0.6 is painted.
    const GINGER: [f32; 3] = [0.7, 0.4, 0.2];

    /// The ground with a thing 48 pixels wide, from `left`.
    fn scene(thing: [f32; 3], left: i64) -> Tensor {
        let plain = |colour: [f32; 3]| Tensor::from_slice(&colour).view([1, 3, 1, 1]);
        let picture = plain(GROUND).expand([1, 3, SIDE, SIDE], false).contiguous();
        picture.narrow(3, left, 48).copy_(&plain(thing).expand([1, 3, SIDE, 48], false));
        picture
    }

    fn area(left: i64, width: i64) -> Tensor {
        let area = Tensor::zeros([1, 1, SIDE, SIDE], (Kind::Float, Device::Cpu));
        let _ = area.narrow(3, left, width).fill_(1.0);
        area
    }

    fn nobody() -> Witness {
        let cells = cells(&area(0, 0));
        Witness { tone: cells.expand([1, 4, -1, -1], false), sure: cells }
    }

    fn at(maps: &Tensor, column: i64) -> Vec<f64> {
        (0..maps.size()[1]).map(|channel| maps.double_value(&[0, channel, 12, column / 4])).collect()
    }

    /// What is asked of the anchor about all of the frame's cells.
    fn asked(anchor: [&Tensor; 2], frame: &Tensor) -> Witness {
        let everywhere = area(0, SIDE);
        let known = |source, edit| Known { source, prior: source, edit, known: &everywhere };
        let (anchor, frame) = (known(anchor[0], anchor[1]), known(frame, frame));
        let [theirs, own] = [&anchor, &frame].map(|known| known.describe(&Appearance::of(known.source)));
        let holes = Tensor::arange((SIDE / 4).pow(2), (Kind::Int64, Device::Cpu));
        alike([&theirs, &own], &anchor.tone(), &holes)
    }

    #[test]
    fn what_comes_out_of_hiding_has_the_colour_of_what_it_belongs_to() {
        let (source, edit) = (scene(GREY, 24), scene(GINGER, 24));
        // Seen: the ground at the left, and a third of the thing.
        let frame = Known { source: &source, prior: &source, edit: &edit, known: &area(0, 40) };
        let tone = tone(&frame, None, &nobody(), &nobody());
        let (hidden, ground) = (at(&tone, 60), at(&tone, 88));
        assert!(hidden[0] > 0.05 && hidden[2] < -0.3, "{hidden:?}");
        assert!(ground.iter().all(|gain| gain.abs() < 0.05), "{ground:?}");
    }

    /// A grey thing that was painted ginger, and beside it a grey one that was not: of the frame no edit is trusted.
    #[test]
    fn of_two_things_that_look_alike_the_painted_one_keeps_its_colour_as_it_moves() {
        let both = |left: i64| {
            let picture = scene(GREY, left);
            let mut stone = picture.narrow(3, 84, 12);
            let grey = scene(GREY, 8).narrow(3, 20, 12);
            stone.copy_(&grey);
            picture
        };
        let (before, frame, everywhere) = (both(8), both(24), area(0, SIDE));
        let painted = before.copy();
        painted.narrow(3, 8, 48).copy_(&scene(GINGER, 8).narrow(3, 8, 48));
        let told =
            Witness::of(&Known { source: &before, prior: &before, edit: &painted, known: &everywhere });
        let along = |left: i64, pixels: f64| {
            let across = area(left, 48) * pixels;
            Tensor::cat(&[&across, &(&across * 0.0)], 1)
        };
        let flow = FlowPair { to: along(24, -16.0), from: along(8, 16.0) };
        let sight = Sight { flow, confidence: area(0, 0) };
        let followed = told.followed(&sight, &frame, &before);
        let unseen = Known { source: &frame, prior: &frame, edit: &frame, known: &area(0, 0) };
        let tone = tone(&unseen, Some(&followed), &nobody(), &nobody());
        let (thing, stone) = (at(&tone, 60), at(&tone, 92));
        assert!(thing[2] < -0.5, "{thing:?}");
        assert!(stone.iter().take(3).all(|gain| gain.abs() < 0.1), "{stone:?}");
    }

    #[test]
    fn between_two_frames_the_nearer_one_tells_more_and_one_alone_tells_all() {
        let told = |tone: f64, sure: f64| {
            let cells = cells(&area(0, SIDE));
            Witness { tone: cells.expand([1, 4, -1, -1], false) * tone, sure: cells * sure }
        };
        let between =
            |second: f64| at(&Witness::between(&told(0.4, 1.0), &told(0.8, second), 0.25).tone, 48)[0];
        assert!((between(1.0) - 0.5).abs() < 1e-5 && (between(0.0) - 0.4).abs() < 1e-5);
    }

    #[test]
    fn what_was_told_over_one_prior_is_the_same_edit_over_another() {
        let (source, painted, everywhere) = (scene(GREY, 24), scene(GINGER, 24), area(0, SIDE));
        let other = &source * 0.5 + 0.2;
        let over = |prior: &Tensor| {
            Witness::of(&Known { source: &source, prior, edit: &painted, known: &everywhere })
        };
        let known = Known { source: &source, prior: &source, edit: &painted, known: &everywhere };
        let difference = over(&other).over(&known, &other).tone - over(&source).tone;
        assert!(difference.abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn a_thing_is_found_again_where_it_went_and_not_beside_it() {
        let found = asked([&scene(GREY, 8), &scene(GINGER, 8)], &scene(GREY, 40));
        let (thing, ground) = (at(&found.tone, 64), at(&found.tone, 12));
        assert!(
            thing[2] < -0.5 && ground.iter().take(3).all(|gain| gain.abs() < 0.02),
            "{thing:?}, {ground:?}"
        );
        assert!(at(&found.sure, 64)[0] > 0.9);
    }

    #[test]
    fn where_the_edit_left_the_anchor_as_it_was_it_is_left_so() {
        let found = asked([&scene(GREY, 8), &scene(GINGER, 8)], &scene(GREY, 40));
        let left = |column: i64| at(&found.tone, column)[3];
        assert!(left(64) < 0.1 && left(12) > 0.95, "{} and {}", left(64), left(12));
    }

    #[test]
    fn of_what_the_anchor_does_not_show_it_knows_nothing() {
        let found = asked([&scene(GREY, 8), &scene(GINGER, 8)], &scene([0.9, 0.1, 0.9], 40));
        assert!(at(&found.sure, 64)[0] < 1e-3);
        assert!(found.tone.isfinite().all().int64_value(&[]) == 1);
    }

    #[test]
    fn a_thing_that_comes_into_the_light_keeps_its_colour() {
        let dark = |colour: [f32; 3]| colour.map(|value| value * 0.4);
        let (source, edit) = (scene(dark(GREY), 24), scene(dark(GINGER), 24));
        let everywhere = area(0, SIDE);
        let known = Known { source: &source, prior: &source, edit: &edit, known: &everywhere };
        let tone = at(&known.tone(), 48);
        let lit = tone.iter().take(3).map(|gain| (0.6 + DARK) * gain.exp() - DARK).collect::<Vec<_>>();
        assert!(lit[0] > 0.62 && lit[2] < 0.4, "{lit:?}: the differences alone would give 0.64, 0.52, 0.44");
    }
}

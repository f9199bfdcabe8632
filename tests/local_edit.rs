//! A mask says where a frame is edited: it moves with what the frame shows, and around it the source stays.

mod common;

use std::{path::Path, sync::Arc};

use common::embedded_engine;
use gstflowvid::engine::{CancelToken, EditParameters, EditedBatch, Frame, Interpolation, Picture, Samples};
use image::{ColorType, GrayImage, Luma, RgbaImage};

const WIDTH: usize = 160;
const HEIGHT: usize = 96;
/// Pixels that the picture moves to the left in a frame.
const SPEED: usize = 2;
const FRAMES: usize = 9;

fn samples(index: usize) -> Vec<u8> {
    let sample = |row: usize, column: usize, channel: usize| {
        let (u, v, phase) = ((column + SPEED * index) as f64, row as f64, channel as f64);
        let wave = (u * 0.11 + phase).sin() * (v * 0.19 + phase).cos() + 0.6 * (u * 0.31 - v * 0.27).sin();
        (127.5 + 70.0 * wave).clamp(0.0, 255.0) as u8
    };
    (0..HEIGHT * WIDTH * 3).map(|i| sample(i / 3 / WIDTH, i / 3 % WIDTH, i % 3)).collect()
}

fn frames(indices: std::ops::Range<usize>) -> Vec<Frame> {
    let frame = |index: usize| {
        let picture =
            Arc::new(Picture { width: WIDTH, height: HEIGHT, samples: Samples::U8(samples(index)) });
        Frame { picture, stream_time: index as u64 * 40_000_000, starts_shot: false }
    };
    indices.map(frame).collect()
}

/// What an edit makes of a pixel.
fn violet(rgb: &[u8]) -> [u8; 3] {
    [255 - rgb[2], rgb[0] / 2, rgb[1]]
}

/// Where the mask is white, in the first frame: columns 60 to 100, rows 24 to 72.
fn is_masked(column: usize, row: usize) -> bool {
    (60..100).contains(&column) && (24..72).contains(&row)
}

/// The mask as a picture file of its own.
fn write_mask(file: &Path) {
    let shade = |x: u32, y: u32| Luma([if is_masked(x as usize, y as usize) { 255 } else { 0 }]);
    GrayImage::from_fn(WIDTH as u32, HEIGHT as u32, shade).save(file).unwrap();
}

/// The edited first frame; with the mask as its alpha channel, under which another colour hides, or opaque.
fn write_edit(file: &Path, transparent: bool) {
    let source = samples(0);
    let pixel = |x: u32, y: u32| {
        let at = 3 * (y as usize * WIDTH + x as usize);
        let [red, green, blue] = violet(&source[at..at + 3]);
        let hidden = transparent && !is_masked(x as usize, y as usize);
        image::Rgba(if hidden { [0, 255, 0, 0] } else { [red, green, blue, 255] })
    };
    RgbaImage::from_fn(WIDTH as u32, HEIGHT as u32, pixel).save(file).unwrap();
}

fn parameters() -> EditParameters {
    EditParameters { batch_size: 5, keyframe_interval: 2, ..Default::default() }
}

#[track_caller]
fn process(frames: Vec<Frame>, parameters: &EditParameters) -> EditedBatch {
    embedded_engine().process(frames, parameters, &CancelToken::new()).expect("an edited batch")
}

fn bytes(batch: &EditedBatch, index: usize) -> &[u8] {
    match &batch.frames[index].picture.as_ref().expect("an edited picture").samples {
        Samples::U8(samples) => samples,
        Samples::U16(_) => panic!("eight bits went in"),
    }
}

/// Mean difference from `wanted` over the pixels that `counted` picks.
fn miss(found: &[u8], wanted: &[u8], counted: impl Fn(usize, usize) -> bool) -> f64 {
    let pixels = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y))).filter(|&(x, y)| counted(x, y));
    let samples: Vec<usize> =
        pixels.flat_map(|(x, y)| (0..3).map(move |channel| 3 * (y * WIDTH + x) + channel)).collect();
    let sum: f64 = samples.iter().map(|&at| f64::from(found[at].abs_diff(wanted[at]))).sum();
    sum / samples.len() as f64
}

/// Whether a pixel lies so far within or without the mask, where it has moved to, that its edge does not matter.
fn well(inside: bool, index: usize) -> impl Fn(usize, usize) -> bool {
    const EDGE: usize = 8;
    move |x, y| {
        let x = x + SPEED * index;
        let corners = [(x - EDGE.min(x), y - EDGE.min(y)), (x + EDGE, y + EDGE)];
        let around = [corners[0], corners[1], (corners[0].0, corners[1].1), (corners[1].0, corners[0].1)];
        around.iter().all(|&(x, y)| is_masked(x, y) == inside) && is_masked(x, y) == inside
    }
}

/// Inside, the moved mask shows the edit; outside, the source's very bytes.
#[track_caller]
fn assert_local(batch: &EditedBatch, what: &str) {
    for index in 0..FRAMES {
        let (source, found) = (samples(index), bytes(batch, index));
        let edit: Vec<u8> = source.chunks(3).flat_map(violet).collect();
        let inside = miss(found, &edit, well(true, index));
        let outside = miss(found, &source, well(false, index));
        assert!(inside < 12.0, "{what}, frame {index}: {inside} from the edit inside");
        assert_eq!(outside, 0.0, "{what}, frame {index}: outside");
    }
}

#[test]
fn an_edited_frames_own_transparency_and_a_mask_beside_it_move_alike() {
    let folder = tempfile::tempdir().unwrap();
    let [edit, mask] = ["edit.png", "mask.png"].map(|name| folder.path().join(name));
    write_edit(&edit, true);
    let transparent = EditParameters { edited_frame: Some(edit.clone()), ..parameters() };
    assert_local(&process(frames(0..FRAMES), &transparent), "transparent");
    write_edit(&edit, false);
    write_mask(&mask);
    let masked = EditParameters { mask_location: Some(mask), ..transparent };
    assert_local(&process(frames(0..FRAMES), &masked), "mask-location");
}

#[test]
fn every_interpolation_moves_the_mask() {
    let folder = tempfile::tempdir().unwrap();
    let edit = folder.path().join("edit.png");
    write_edit(&edit, true);
    for interpolation in [Interpolation::SourceFlow, Interpolation::Rife] {
        let given = EditParameters { edited_frame: Some(edit.clone()), interpolation, ..parameters() };
        let found = process(frames(0..FRAMES), &given);
        let outside = miss(bytes(&found, 7), &samples(7), well(false, 7));
        assert!(outside < 0.5, "{interpolation:?}: {outside}");
    }
}

#[test]
fn a_prompt_is_kept_within_the_mask() {
    let folder = tempfile::tempdir().unwrap();
    let mask = folder.path().join("mask.png");
    write_mask(&mask);
    let whole = EditParameters { prompt: "neon".into(), ..parameters() };
    let masked = EditParameters { mask_location: Some(mask), ..whole.clone() };
    let [whole, masked] = [whole, masked].map(|given| process(frames(0..FRAMES), &given));
    for index in 0..FRAMES {
        let inside = miss(bytes(&masked, index), bytes(&whole, index), well(true, index));
        let outside = miss(bytes(&masked, index), &samples(index), well(false, index));
        assert!(inside < 2.0 && outside == 0.0, "frame {index}: {inside} inside, {outside} outside");
    }
}

#[test]
fn what_the_masked_frame_did_not_show_is_not_edited() {
    let folder = tempfile::tempdir().unwrap();
    let mask = folder.path().join("mask.png");
    // The right border: what comes in there has never been seen.
    let right = |x: u32, _| Luma([if x >= 130 { 255 } else { 0 }]);
    GrayImage::from_fn(WIDTH as u32, HEIGHT as u32, right).save(&mask).unwrap();
    let given = EditParameters { prompt: "neon".into(), mask_location: Some(mask), ..parameters() };
    let found = process(frames(0..FRAMES), &given);
    let last = FRAMES - 1;
    let newcomers = miss(bytes(&found, last), &samples(last), |x, _| x >= WIDTH - 4);
    let moved = miss(bytes(&found, last), &samples(last), |x, _| (122..136).contains(&x));
    assert!(
        newcomers < 2.0 && moved > 20.0,
        "{newcomers} where nothing was seen, {moved} where the mask is now"
    );
}

#[test]
fn a_frame_of_which_nothing_is_edited_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mask = folder.path().join("mask.png");
    image::save_buffer(&mask, &[0; WIDTH * HEIGHT], WIDTH as u32, HEIGHT as u32, ColorType::L8).unwrap();
    let given = EditParameters { prompt: "neon".into(), mask_location: Some(mask), ..parameters() };
    assert!(process(frames(0..FRAMES), &given).frames.iter().all(|frame| frame.picture.is_none()));
}

#[test]
fn a_later_picture_without_a_mask_is_edited_where_the_shot_was_and_with_one_where_it_says() {
    let folder = tempfile::tempdir().unwrap();
    write_edit(&folder.path().join("0.png"), true);
    let later = folder.path().join("0.16.png");
    let edit: Vec<u8> = samples(4).chunks(3).flat_map(violet).collect();
    image::save_buffer(&later, &edit, WIDTH as u32, HEIGHT as u32, ColorType::Rgb8).unwrap();
    let given = EditParameters { edited_frame: Some(folder.path().into()), ..parameters() };
    assert_local(&process(frames(0..FRAMES), &given), "without");
    let half = |x: u32, y: u32| {
        let at = 3 * (y as usize * WIDTH + x as usize);
        image::Rgba([edit[at], edit[at + 1], edit[at + 2], if x < WIDTH as u32 / 2 { 255 } else { 0 }])
    };
    RgbaImage::from_fn(WIDTH as u32, HEIGHT as u32, half).save(&later).unwrap();
    let found = process(frames(0..FRAMES), &given);
    let (left, right) = (|x: usize, _: usize| x < WIDTH / 2 - 8, |x: usize, _: usize| x >= WIDTH / 2 + 8);
    assert!(miss(bytes(&found, 4), &edit, left) < 2.0);
    assert_eq!(miss(bytes(&found, 4), &samples(4), right), 0.0);
}

#[test]
fn a_mask_that_cannot_be_taken_is_told_with_the_first_batch() {
    let given = EditParameters {
        prompt: "neon".into(),
        mask_location: Some("/nowhere/mask.png".into()),
        ..parameters()
    };
    let told = embedded_engine().process(frames(0..2), &given, &CancelToken::new()).unwrap_err().to_string();
    assert!(told.contains("mask-location /nowhere/mask.png cannot be opened"), "{told}");
}

//! `edited-frame` as a folder: each picture is the edit of the frame that shows at its time, and leads to the next.

mod common;

use std::{fs, path::Path, sync::Arc};

use common::embedded_engine;
use gstflowvid::engine::{
    CancelToken, EditParameters, EditedBatch, Engine, EngineError, Frame, Picture, Samples,
};

const WIDTH: usize = 128;
const HEIGHT: usize = 96;
const FRAME: u64 = 40_000_000;
const SPEED: usize = 2;
/// Frames of a batch that no picture and no cut parts: keyframes 0, 2, 4, 6, 8.
const BATCH: usize = 9;

/// A smooth texture of `kind` that moves by [`SPEED`] pixels a frame to the left.
fn samples(kind: u32, index: usize) -> Vec<u8> {
    let sample = |row: usize, column: usize, channel: usize| {
        let (u, v) = ((column + SPEED * index) as f64, row as f64);
        let (f, phase) = (0.11 + 0.05 * f64::from(kind), channel as f64 + 2.0 * f64::from(kind));
        let wave = (u * f + phase).sin() * (v * (0.23 - 0.4 * f) + phase).cos()
            + 0.6 * (u * 0.31 - v * (0.27 - 0.5 * f64::from(kind))).sin();
        (127.5 + 70.0 * wave).clamp(0.0, 255.0) as u8
    };
    (0..HEIGHT * WIDTH * 3).map(|i| sample(i / 3 / WIDTH, i / 3 % WIDTH, i % 3)).collect()
}

/// The frames of these indices; from frame `cut` on they show another texture.
fn frames(indices: std::ops::Range<usize>, cut: usize) -> Vec<Frame> {
    let frame = |index: usize| {
        let samples = Samples::U8(samples(u32::from(index >= cut), index));
        let picture = Arc::new(Picture { width: WIDTH, height: HEIGHT, samples });
        Frame { picture, stream_time: index as u64 * FRAME, starts_shot: false }
    };
    indices.map(frame).collect()
}

const NO_CUT: usize = usize::MAX;

type Edit = fn(&[u8]) -> [u8; 3];
const VIOLET: Edit = |rgb| [255 - rgb[2], rgb[0] / 2, rgb[1]];
const GREEN: Edit = |rgb| [rgb[0] / 3, 128 + rgb[1] / 2, rgb[2] / 3];

fn edited(samples: &[u8], edit: Edit) -> Vec<u8> {
    samples.chunks(3).flat_map(edit).collect()
}

/// Writes the picture of frame `index`, edited.
fn write(folder: &Path, name: &str, kind: u32, index: usize, edit: Edit) {
    let samples = edited(&samples(kind, index), edit);
    let (width, height) = (WIDTH as u32, HEIGHT as u32);
    image::save_buffer(folder.join(name), &samples, width, height, image::ColorType::Rgb8).unwrap();
}

fn parameters(folder: &Path) -> EditParameters {
    EditParameters {
        edited_frame: Some(folder.into()),
        batch_size: 5,
        keyframe_interval: 2,
        ..Default::default()
    }
}

#[track_caller]
fn process(engine: &mut dyn Engine, frames: Vec<Frame>, parameters: &EditParameters) -> EditedBatch {
    engine.process(frames, parameters, &CancelToken::new()).expect("an edited batch")
}

fn refused(folder: &Path) -> String {
    let result = embedded_engine().process(frames(0..2, NO_CUT), &parameters(folder), &CancelToken::new());
    match result {
        Err(EngineError::Settings(told)) => told,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn bytes(batch: &EditedBatch, index: usize) -> &[u8] {
    match &batch.frames[index].picture.as_ref().expect("an edited picture").samples {
        Samples::U8(samples) => samples,
        Samples::U16(_) => panic!("eight bits went in"),
    }
}

fn difference(a: &[u8], b: &[u8]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64
}

/// How far a frame of the batch is from the edit of its source.
fn miss(batch: &EditedBatch, at: usize, (kind, index): (u32, usize), edit: Edit) -> f64 {
    difference(bytes(batch, at), &edited(&samples(kind, index), edit))
}

/// The frame shows that edit: it misses it by less than a fifth of what an unedited frame would.
#[track_caller]
fn assert_shows(batch: &EditedBatch, at: usize, frame: (u32, usize), edit: Edit) {
    let source = samples(frame.0, frame.1);
    let (miss, untouched) = (miss(batch, at, frame, edit), difference(&source, &edited(&source, edit)));
    assert!(miss < 0.2 * untouched, "frame {frame:?}: {miss} from its edit, untouched {untouched}");
}

fn indices(batch: &EditedBatch, wanted: impl Fn(&gstflowvid::engine::EditedFrame) -> bool) -> Vec<usize> {
    batch.frames.iter().enumerate().filter(|(_, frame)| wanted(frame)).map(|(index, _)| index).collect()
}

#[test]
fn a_later_picture_is_the_edit_of_its_frame_and_the_anchor_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0.png", 0, 0, VIOLET);
    write(folder.path(), "00-00-00.200.png", 0, 5, GREEN);
    let mut engine = embedded_engine();
    let first = process(engine.as_mut(), frames(0..BATCH, NO_CUT), &parameters(folder.path()));
    assert_eq!(indices(&first, |frame| frame.keyframe), [0, 2, 4, 5, 7, 8]);
    assert_eq!(indices(&first, |frame| frame.starts_shot), [0]);
    assert!(miss(&first, 5, (0, 5), GREEN) < 1.0, "its frame shows the picture itself");
    let second = process(engine.as_mut(), frames(BATCH..BATCH + 4, NO_CUT), &parameters(folder.path()));
    for index in 6..BATCH + 4 {
        let (batch, at) = if index < BATCH { (&first, index) } else { (&second, index - BATCH) };
        assert_shows(batch, at, (0, index), GREEN);
    }
    assert!(second.warnings.is_empty() && first.warnings.is_empty(), "{:?}", first.warnings);
}

#[test]
fn a_picture_whose_outlines_lie_elsewhere_is_named_and_one_in_place_is_not() {
    let told = |index: usize| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "0.png", 0, index, GREEN);
        let batch = process(embedded_engine().as_mut(), frames(0..2, NO_CUT), &parameters(folder.path()));
        batch.warnings
    };
    assert_eq!(told(0), [""; 0]);
    let [warning] = &told(6)[..] else { panic!("frame 6 as the edit of frame 0: {:?}", told(6)) };
    assert!(warning.contains("0.png") && warning.contains("keep things where they are"), "{warning}");
}

#[test]
fn between_two_pictures_one_edit_becomes_the_other() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0.png", 0, 0, VIOLET);
    write(folder.path(), "0.32.png", 0, 8, GREEN);
    let batch = process(embedded_engine().as_mut(), frames(0..BATCH, NO_CUT), &parameters(folder.path()));
    let keyframes = (0..BATCH).step_by(2);
    let from_second: Vec<f64> = keyframes.map(|index| miss(&batch, index, (0, index), GREEN)).collect();
    let apart = from_second[0];
    for pair in from_second.windows(2) {
        let step = pair[0] - pair[1];
        assert!(step > 0.0 && step < 0.5 * apart, "a step of {step} on a way of {apart}: {from_second:.1?}");
    }
}

/// Mean difference of a frame from the one before, along the motion.
fn step(batch: &EditedBatch, index: usize) -> f64 {
    let (found, before) = (bytes(batch, index), bytes(batch, index - 1));
    let moved = 3 * SPEED;
    let rows = found.chunks(3 * WIDTH).zip(before.chunks(3 * WIDTH));
    let steps = rows.map(|(found, before)| difference(&found[..3 * WIDTH - moved], &before[moved..]));
    steps.sum::<f64>() / HEIGHT as f64
}

#[test]
fn where_two_pictures_of_one_edit_meet_nothing_jumps() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0.png", 0, 0, VIOLET);
    write(folder.path(), "0.2.png", 0, 5, VIOLET);
    let batch = process(embedded_engine().as_mut(), frames(0..BATCH, NO_CUT), &parameters(folder.path()));
    let steps: Vec<f64> = (1..BATCH).map(|index| step(&batch, index)).collect();
    let mut sorted = steps.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[steps.len() / 2];
    // Half a code value is no jump that anybody sees.
    let most = (1.2 * median).max(0.5);
    for index in [5, 6] {
        assert!(steps[index - 1] <= most, "frame {index}: {steps:.2?}, median {median:.2}");
    }
}

#[test]
fn a_picture_behind_a_cut_begins_that_shot() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0.png", 0, 0, VIOLET);
    write(folder.path(), "0.160.png", 1, 4, GREEN);
    let batch = process(embedded_engine().as_mut(), frames(0..BATCH, 4), &parameters(folder.path()));
    assert_eq!(indices(&batch, |frame| frame.starts_shot), [0, 4]);
    for index in 0..BATCH {
        let (kind, edit) = if index < 4 { (0, VIOLET) } else { (1, GREEN) };
        assert_shows(&batch, index, (kind, index), edit);
    }
}

#[test]
fn the_frames_before_a_shots_first_picture_look_back_from_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0.13.png", 0, 3, VIOLET); // 120 ms is the frame's own time
    let batch = process(embedded_engine().as_mut(), frames(0..BATCH, NO_CUT), &parameters(folder.path()));
    assert_eq!(indices(&batch, |frame| frame.starts_shot), [0]);
    for index in 0..BATCH {
        assert_shows(&batch, index, (0, index), VIOLET);
    }
}

#[test]
fn a_shot_whose_first_picture_is_far_off_is_unchanged_until_then() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0.44.png", 0, 11, VIOLET);
    let mut engine = embedded_engine();
    let first = process(engine.as_mut(), frames(0..BATCH, NO_CUT), &parameters(folder.path()));
    assert!(first.frames.iter().all(|frame| frame.picture.is_none()));
    assert_eq!(indices(&first, |frame| frame.starts_shot), [0]);
    assert!(first.warnings[0].contains("until the first picture"), "{:?}", first.warnings);
    let second = process(engine.as_mut(), frames(BATCH..BATCH + 6, NO_CUT), &parameters(folder.path()));
    assert_eq!(indices(&second, |frame| frame.picture.is_some()), [2, 3, 4, 5]);
    assert_eq!(indices(&second, |frame| frame.starts_shot), [2]);
    assert_shows(&second, 5, (0, 14), VIOLET);
}

#[test]
fn a_shot_without_a_picture_keeps_the_colours_of_all_before() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0.png", 0, 0, GREEN);
    write(folder.path(), "0.08.png", 0, 2, GREEN);
    let batch = process(embedded_engine().as_mut(), frames(0..BATCH, 4), &parameters(folder.path()));
    assert_shows(&batch, 4, (1, 4), GREEN);
    assert!(batch.warnings.iter().any(|told| told.contains("picture of each shot")), "{:?}", batch.warnings);
}

#[test]
fn two_pictures_of_one_frame_are_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0.png", 0, 0, GREEN);
    write(folder.path(), "0.01.png", 0, 0, VIOLET);
    let batch = process(embedded_engine().as_mut(), frames(0..3, NO_CUT), &parameters(folder.path()));
    assert!(batch.warnings[0].contains("0.01.png is taken"), "{:?}", batch.warnings);
    assert!(miss(&batch, 0, (0, 0), VIOLET) < 1.0);
}

#[test]
fn the_whole_folder_is_read_when_the_stream_begins() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0.png", 0, 0, VIOLET);
    fs::write(folder.path().join("70.png"), b"no picture").unwrap();
    assert!(refused(folder.path()).contains("70.png"));
    image::save_buffer(folder.path().join("70.png"), &[0; 300], 10, 10, image::ColorType::Rgb8).unwrap();
    let told = refused(folder.path());
    assert!(told.contains("70.png") && told.contains("10x10") && told.contains("128x96"), "{told}");
    fs::rename(folder.path().join("70.png"), folder.path().join("seventy.png")).unwrap();
    assert!(refused(folder.path()).contains("not understood: seventy.png"));
}

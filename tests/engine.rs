//! The FlowVid engine on the embedded model: what every session promises, on small moving pictures.

mod common;

use std::{env, process, sync::Arc, thread, time::Duration};

use common::embedded_engine;
use gstflowvid::engine::{
    CancelToken, Condition, EditParameters, EditedBatch, Engine, EngineError, Frame, Interpolation,
    ModelRequest, Picture, Propagation, Samples, model_statistics, open,
};

const WIDTH: usize = 128;
const HEIGHT: usize = 96;
const MILLISECOND: u64 = 1_000_000;

fn request(model: &str, device: &str) -> ModelRequest {
    ModelRequest::FlowVid {
        model: model.into(),
        preset: "auto".into(),
        device: device.into(),
        dtype: "auto".into(),
        plugin_folder: None,
    }
}

/// Small batches, so that two of them are soon filled.
fn parameters() -> EditParameters {
    EditParameters {
        prompt: "pencil sketch".into(),
        batch_size: 3,
        keyframe_interval: 2,
        ..Default::default()
    }
}

/// A smooth texture of `kind`, seen `x` pixels further.
fn picture(kind: u32, x: f64) -> Picture {
    let sample = |row: usize, column: usize, channel: usize| {
        let (u, v) = (column as f64 + x, row as f64);
        let (f, phase) = (0.11 + 0.05 * f64::from(kind), channel as f64 + 2.0 * f64::from(kind));
        let wave = (u * f + phase).sin() * (v * (0.23 - 0.4 * f) + phase).cos()
            + 0.6 * (u * 0.31 - v * (0.27 - 0.5 * f64::from(kind))).sin();
        (127.5 + 70.0 * wave).clamp(0.0, 255.0) as u8
    };
    let samples = (0..HEIGHT * WIDTH * 3).map(|i| sample(i / 3 / WIDTH, i / 3 % WIDTH, i % 3)).collect();
    Picture { width: WIDTH, height: HEIGHT, samples: Samples::U8(samples) }
}

fn frames(first: usize, count: usize, kind: impl Fn(usize) -> u32) -> Vec<Frame> {
    let frame = |index: usize| Frame {
        picture: Arc::new(picture(kind(index), index as f64 * 1.5)),
        stream_time: index as u64 * 40 * MILLISECOND,
        starts_shot: false,
    };
    (first..first + count).map(frame).collect()
}

#[track_caller]
fn edit(engine: &mut dyn Engine, frames: Vec<Frame>, parameters: &EditParameters) -> EditedBatch {
    let count = frames.len();
    let edited = engine.process(frames, parameters, &CancelToken::new()).expect("an edited batch");
    assert_eq!(edited.frames.len(), count, "as many out as in");
    edited
}

fn bytes(edited: &EditedBatch, index: usize) -> &[u8] {
    match &edited.frames[index].picture.as_ref().expect("an edited picture").samples {
        Samples::U8(samples) => samples,
        Samples::U16(_) => panic!("eight bits went in"),
    }
}

fn difference(a: &[u8], b: &[u8]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64
}

fn keyframes(edited: &EditedBatch) -> Vec<usize> {
    edited.frames.iter().enumerate().filter(|(_, frame)| frame.keyframe).map(|(index, _)| index).collect()
}

fn shots(edited: &EditedBatch) -> Vec<usize> {
    edited.frames.iter().enumerate().filter(|(_, frame)| frame.starts_shot).map(|(index, _)| index).collect()
}

#[test]
fn the_last_keyframe_of_a_batch_seeds_the_next() {
    let (mut engine, parameters) = (embedded_engine(), parameters());
    assert_eq!(engine.batch_frames(&parameters), 5);
    let first = edit(engine.as_mut(), frames(0, 5, |_| 0), &parameters);
    assert_eq!((keyframes(&first), shots(&first)), (vec![0, 2, 4], vec![0]));
    assert_eq!(engine.batch_frames(&parameters), 4, "the seed frame is one of the keyframes");
    let second = edit(engine.as_mut(), frames(5, 4, |_| 0), &parameters);
    assert_eq!((keyframes(&second), shots(&second)), (vec![1, 3], vec![]));
    engine.reset();
    let anew = edit(engine.as_mut(), frames(5, 4, |_| 0), &parameters);
    assert_eq!(shots(&anew), [0], "a reset session remembers no shot");
}

#[test]
fn two_sessions_share_one_model_and_take_turns() {
    let alone = |kind: u32, prompt: &str| {
        let (mut engine, parameters) =
            (embedded_engine(), EditParameters { prompt: prompt.into(), ..parameters() });
        let first = edit(engine.as_mut(), frames(0, 5, |_| kind), &parameters);
        [first, edit(engine.as_mut(), frames(5, 4, |_| kind), &parameters)]
    };
    let expected = [alone(0, "pencil sketch"), alone(1, "neon")];
    let loads = || model_statistics().loads;
    let mut first = embedded_engine();
    let before = loads();
    let mut second = embedded_engine();
    assert!(Arc::ptr_eq(&first.loaded(), &second.loaded()));
    assert_eq!((loads(), model_statistics().in_memory), (before, 1));
    let parameters = |prompt: &str| EditParameters { prompt: prompt.into(), ..parameters() };
    let (pencil, neon) = (parameters("pencil sketch"), parameters("neon"));
    for (turn, (start, count)) in [(0, 5), (5, 4)].into_iter().enumerate() {
        let both = thread::scope(|scope| {
            let other = scope.spawn(|| edit(second.as_mut(), frames(start, count, |_| 1), &neon));
            [edit(first.as_mut(), frames(start, count, |_| 0), &pencil), other.join().unwrap()]
        });
        for (session, (found, expected)) in both.iter().zip(&expected).enumerate() {
            for index in 0..count {
                let same = bytes(found, index) == bytes(&expected[turn], index);
                assert!(same, "session {session}, batch {turn}, frame {index}");
            }
        }
    }
}

#[test]
fn a_cut_starts_a_shot_with_its_own_anchor() {
    let mut engine = embedded_engine();
    let edited = edit(engine.as_mut(), frames(0, 5, |index| u32::from(index >= 3)), &parameters());
    assert_eq!((shots(&edited), keyframes(&edited)), (vec![0, 3], vec![0, 2, 3, 4]));
    let told = {
        let mut frames = frames(0, 5, |_| 0);
        frames[2].starts_shot = true;
        engine.reset();
        edit(engine.as_mut(), frames, &parameters())
    };
    assert_eq!(shots(&told), [0, 2], "upstream's word counts as a cut");
}

#[test]
fn a_shot_of_one_frame_works() {
    let mut engine = embedded_engine();
    let edited = edit(engine.as_mut(), frames(0, 1, |_| 0), &parameters());
    assert_eq!((shots(&edited), keyframes(&edited)), (vec![0], vec![0]));
}

#[test]
fn the_same_input_and_seed_give_the_same_bytes() {
    let once_more = || {
        let mut engine = embedded_engine();
        edit(engine.as_mut(), frames(0, 5, |_| 0), &parameters())
    };
    let (once, again) = (once_more(), once_more());
    (0..5).for_each(|index| assert!(bytes(&once, index) == bytes(&again, index), "frame {index}"));
}

/// The seed frame is given the noise of its own stream time, not of whatever frame comes next.
#[test]
fn a_frame_that_is_not_diffused_decides_no_noise() {
    let seeded = |moved: u64| {
        let mut engine = embedded_engine();
        edit(engine.as_mut(), frames(0, 5, |_| 0), &parameters());
        let mut next = frames(5, 4, |_| 0);
        next[0].stream_time += moved;
        edit(engine.as_mut(), next, &parameters())
    };
    let (once, again) = (seeded(0), seeded(MILLISECOND));
    assert!(!once.frames[0].keyframe);
    (0..4).for_each(|index| assert!(bytes(&once, index) == bytes(&again, index), "frame {index}"));
}

#[test]
fn another_prompt_starts_anew_and_another_look_comes() {
    let (mut engine, pencil) = (embedded_engine(), parameters());
    let neon = EditParameters { prompt: "neon".into(), ..pencil.clone() };
    let first = edit(engine.as_mut(), frames(0, 5, |_| 0), &pencil);
    let second = edit(engine.as_mut(), frames(4, 1, |_| 0), &neon);
    assert_eq!(shots(&second), [0]);
    assert!(difference(bytes(&first, 4), bytes(&second, 0)) > 20.0);
}

/// So slowly that no keyframe differs enough from the one before to be drawn anew.
#[test]
fn a_look_follows_a_light_that_fades() {
    let faded = |mut frame: Frame, index: usize| {
        let Samples::U8(samples) = &frame.picture.samples else { unreachable!("eight bits") };
        let darker = |&sample: &u8| (f64::from(sample) * (1.0 - 0.03 * index as f64)) as u8;
        let samples = Samples::U8(samples.iter().map(darker).collect());
        frame.picture = Arc::new(Picture { samples, ..Picture::clone(&frame.picture) });
        frame
    };
    let still = |index: usize| faded(frames(0, 1, |_| 0).remove(0), index);
    let parameters = EditParameters { prompt: "an oil painting".into(), batch_size: 5, ..parameters() };
    let timed = |index: usize| Frame { stream_time: index as u64 * 40 * MILLISECOND, ..still(index) };
    let carried = edit(embedded_engine().as_mut(), (0..9).map(timed).collect(), &parameters);
    let alone = edit(embedded_engine().as_mut(), vec![still(8)], &parameters);
    let apart = difference(bytes(&carried, 8), bytes(&alone, 0));
    let faded = difference(bytes(&carried, 0), bytes(&alone, 0));
    assert!(apart < 9.0 && faded > 20.0, "{apart} of {faded}");
}

/// Nothing of it needs to be carried, which would put it out of place.
#[test]
fn a_look_that_is_light_is_each_frames_own() {
    let apart = |prompt: &str| {
        let parameters = EditParameters { prompt: prompt.into(), ..parameters() };
        let together = edit(embedded_engine().as_mut(), frames(0, 5, |_| 0), &parameters);
        let alone = |index| edit(embedded_engine().as_mut(), frames(index, 1, |_| 0), &parameters);
        [2, 4].map(|index| difference(bytes(&together, index), bytes(&alone(index), 0)))
    };
    let noir = apart("film noir");
    assert!(noir.iter().all(|&apart| apart < 0.3), "{noir:?}");
}

#[test]
fn strength_zero_is_the_source() {
    let mut engine = embedded_engine();
    let source = frames(0, 5, |_| 0);
    let parameters = EditParameters { strength: 0.0, propagation: Propagation::Warp, ..parameters() };
    let edited = edit(engine.as_mut(), source.clone(), &parameters);
    for (index, frame) in source.iter().enumerate() {
        let Samples::U8(samples) = &frame.picture.samples else { panic!("eight bits") };
        let difference = difference(bytes(&edited, index), samples);
        assert!(difference < 3.0, "frame {index}: {difference}");
    }
}

#[test]
fn an_edited_first_frame_is_carried_along() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edited.png");
    let recoloured = |samples: &[u8]| {
        samples.chunks(3).flat_map(|rgb| [255 - rgb[2], rgb[0] / 2, rgb[1]]).collect::<Vec<_>>()
    };
    let source = frames(0, 9, |_| 0);
    let samples = |index: usize| match &source[index].picture.samples {
        Samples::U8(samples) => samples.clone(),
        Samples::U16(_) => panic!("eight bits"),
    };
    let size = (WIDTH as u32, HEIGHT as u32);
    image::save_buffer(&file, &recoloured(&samples(0)), size.0, size.1, image::ColorType::Rgb8).unwrap();
    let parameters = EditParameters { prompt: String::new(), edited_frame: Some(file), ..parameters() };
    let mut engine = embedded_engine();
    let first = edit(engine.as_mut(), source[..5].to_vec(), &parameters);
    let second = edit(engine.as_mut(), source[5..].to_vec(), &parameters);
    for index in 0..9 {
        let found = if index < 5 { bytes(&first, index) } else { bytes(&second, index - 5) };
        let (error, untouched) =
            (difference(found, &recoloured(&samples(index))), difference(found, &samples(index)));
        assert!(
            error < 9.0 && error < 0.2 * untouched,
            "frame {index}: {error} from the edit, {untouched} from the source"
        );
    }
}

#[test]
fn every_interpolation_fills_the_gaps() {
    let mut engine = embedded_engine();
    let with = |engine: &mut dyn Engine, interpolation| {
        engine.reset();
        edit(engine, frames(0, 3, |_| 0), &EditParameters { interpolation, ..parameters() })
    };
    let held = with(engine.as_mut(), Interpolation::None);
    assert!(bytes(&held, 1) == bytes(&held, 2), "the nearest keyframe is repeated");
    for interpolation in [Interpolation::SourceFlow, Interpolation::Rife] {
        let moved = with(engine.as_mut(), interpolation);
        assert!(bytes(&moved, 1) != bytes(&moved, 0), "{interpolation:?}");
        assert!(bytes(&moved, 1) != bytes(&moved, 2), "{interpolation:?}");
    }
}

#[test]
fn a_raised_token_calls_the_batch_off_and_the_session_goes_on() {
    let (mut engine, cancel) = (embedded_engine(), CancelToken::new());
    let raiser = thread::spawn({
        let cancel = cancel.clone();
        move || {
            thread::sleep(Duration::from_millis(50));
            cancel.cancel();
        }
    });
    let long = EditParameters { batch_size: 40, ..parameters() };
    let result = engine.process(frames(0, 79, |_| 0), &long, &cancel);
    raiser.join().unwrap();
    assert!(matches!(result, Err(EngineError::Cancelled)), "{result:?}");
    engine.reset();
    assert_eq!(shots(&edit(engine.as_mut(), frames(0, 2, |_| 0), &parameters())), [0]);
}

#[test]
fn a_panic_on_the_engines_thread_is_told_and_the_session_goes_on() {
    let mut engine = embedded_engine();
    let impossible = EditParameters { keyframe_interval: 0, ..parameters() };
    let result = engine.process(frames(0, 3, |_| 0), &impossible, &CancelToken::new());
    assert!(matches!(result, Err(EngineError::Internal(_))), "{result:?}");
    assert_eq!(shots(&edit(engine.as_mut(), frames(0, 2, |_| 0), &parameters())), [0]);
}

/// A thread inside libtorch at the end of the process would crash in libtorch's destructors.
#[test]
fn a_closed_session_leaves_no_thread_in_libtorch() {
    const HERE: &str = "FLOWVID_TEST_ENDS_IN_A_BATCH";
    const CODE: i32 = 7;
    if env::var_os(HERE).is_some() {
        let (mut engine, long) = (embedded_engine(), EditParameters { batch_size: 40, ..parameters() });
        let cancel = CancelToken::new();
        let raiser = thread::spawn({
            let cancel = cancel.clone();
            move || {
                thread::sleep(Duration::from_millis(300));
                cancel.cancel();
            }
        });
        let result = engine.process(frames(0, 79, |_| 0), &long, &cancel);
        raiser.join().unwrap();
        assert!(matches!(result, Err(EngineError::Cancelled)), "{result:?}");
        drop(engine);
        process::exit(CODE);
    }
    let mut itself = process::Command::new(env::current_exe().unwrap());
    let itself = itself.args(["--exact", "a_closed_session_leaves_no_thread_in_libtorch"]).env(HERE, "1");
    let ended = itself.output().unwrap();
    assert_eq!(ended.status.code(), Some(CODE), "{}", ended.status);
}

#[test]
fn what_cannot_be_had_is_said_with_its_cure() {
    let error =
        |request: &ModelRequest| open(request, &CancelToken::new()).err().expect("an error").to_string();
    let missing = error(&request("no-such-model", "cpu"));
    assert!(missing.contains("no-such-model") && missing.contains("models"), "{missing}");
    assert!(error(&request("nano", "gpu")).contains("cuda:N"));
    let mut engine = embedded_engine();
    let depth = EditParameters { condition: Condition::Depth, ..parameters() };
    let refused = engine.process(frames(0, 3, |_| 0), &depth, &CancelToken::new()).unwrap_err().to_string();
    assert!(refused.contains("condition=canny"), "{refused}");
}

#[test]
fn an_unknown_prompt_is_told_once_and_leaves_the_source() {
    let mut engine = embedded_engine();
    let unknown = EditParameters { prompt: "xyzzy".into(), propagation: Propagation::Warp, ..parameters() };
    let first = edit(engine.as_mut(), frames(0, 1, |_| 0), &unknown);
    assert_eq!(first.warnings.len(), 1, "{:?}", first.warnings);
    let mut again = frames(1, 1, |_| 0);
    again[0].starts_shot = true;
    assert!(edit(engine.as_mut(), again, &unknown).warnings.is_empty(), "said once a session");
}

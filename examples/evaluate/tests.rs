//! The program on videos whose answer is known. The measures themselves: `examples/metrics/tests.rs`.

use std::path::Path;

use gst::prelude::*;
use gstflowvid::{conditions::filters::gaussian, diffusion::noise};
use tch::{Device, Tensor};
use tempfile::TempDir;

use super::*;
use crate::metrics::{
    Measures, Meter, MotionFinder, Place,
    tests::{FRAMES, SIZE, close, exact, pan, texture},
    views,
};

fn negative(frames: &[Tensor]) -> Vec<Tensor> {
    frames.iter().map(|frame| 1.0 - frame).collect()
}

fn two_shots() -> Vec<Tensor> {
    pan(&texture(1)).into_iter().chain(pan(&texture(2))).collect()
}

#[test]
fn measured_frame_by_frame_the_figures_are_those_of_the_whole_clip() {
    let (sources, results) = (two_shots(), negative(&two_shots()));
    let brighter = |(frame, picture): (usize, &Tensor)| picture + frame as f64 / 255.0;
    let results: Vec<Tensor> = results.iter().enumerate().map(brighter).collect();
    let mut evaluation = Evaluation::new(2, SIZE, Cuts::detected(), exact);
    for (source, result) in sources.iter().zip(&results) {
        evaluation.push(&[source.shallow_clone(), result.shallow_clone()]);
        assert!(evaluation.frames_held() < 40, "{}", evaluation.frames_held());
    }
    let (meters, cuts) = evaluation.finish();
    assert_eq!(cuts, [FRAMES], "the cut is seen");

    let (sources, results) = (views(&sources), views(&results));
    let mut finder = MotionFinder::new(exact);
    let sights = (0..2 * FRAMES).map(|frame| {
        let place = Place { starts_shot: frame % FRAMES == 0, ends_shot: frame % FRAMES == FRAMES - 1 };
        finder.step(&sources, frame, place)
    });
    let sights: Vec<_> = sights.collect();
    let [source, result] = [&sources, &results].map(|video| Meter::of(&sights, &sources, video));
    let measure = |source: &Meter, result: &Meter| Measures::of(result, source, None, &[9, 34]);
    assert_eq!(measure(&meters[0], &meters[1]), measure(&source, &result));
    close(measure(&source, &result).drift, 100.0, 0.05);
}

#[test]
fn cuts_that_are_told_are_taken() {
    let sources = pan(&texture(1));
    let mut evaluation = Evaluation::new(1, SIZE, Cuts::told(vec![10]), exact);
    sources.iter().for_each(|source| evaluation.push(&[source.shallow_clone()]));
    let (meters, cuts) = evaluation.finish();
    assert_eq!(cuts, [10]);
    assert_eq!(meters[0].frames[9].shot, 0);
    assert_eq!(meters[0].frames[10].shot, 10);
}

/// Pictures `0000.png` and so on in a folder of their own.
fn write_folder(root: &Path, name: &str, frames: &[Tensor]) -> PathBuf {
    let folder = root.join(name);
    fs::create_dir(&folder).unwrap();
    for (number, frame) in frames.iter().enumerate() {
        tensors::to_image(frame).save(folder.join(format!("{number:04}.png"))).unwrap();
    }
    folder
}

fn arguments(videos: [&Path; 2], more: &[&str]) -> Arguments {
    let videos = videos.map(|video| video.to_str().unwrap());
    Arguments::parse_from(["evaluate"].into_iter().chain(videos).chain(more.iter().copied()))
}

fn run(videos: [&Path; 2], more: &[&str]) -> anyhow::Result<Report> {
    let _no_grad = tch::no_grad_guard();
    gst::init().unwrap();
    evaluate(&arguments(videos, more))
}

/// With the motion as the engine's own estimator finds it: one pixel a frame.
#[test]
fn of_files_the_truth_is_best_and_nothing_blur_and_a_still_lose() {
    let root = TempDir::new().unwrap();
    let picture = gaussian(&noise(1, 0, &[0], [3, 64, 160], Device::Cpu), 1.5) + 0.5;
    let sources: Vec<Tensor> = (0..25).map(|frame| picture.narrow(3, frame, 128)).collect();
    let truth = negative(&sources);
    let blurred: Vec<Tensor> = truth.iter().map(|frame| gaussian(frame, 2.0)).collect();
    let still: Vec<Tensor> = truth.iter().map(|_| truth[0].shallow_clone()).collect();
    let folder = |name: &str, frames: &[Tensor]| write_folder(root.path(), name, frames);
    let (source, truth) = (folder("source", &sources), folder("truth", &truth));
    let measure = |name: &str, frames: &[Tensor]| {
        let report = run([&source, &folder(name, frames)], &["--truth", truth.to_str().unwrap()]);
        let videos = report.unwrap().videos;
        [0, 1, 2].map(|video| videos[video].measures)
    };
    let ([nothing, soft, perfect], [_, still, _]) = (measure("soft", &blurred), measure("still", &still));
    println!("nothing {nothing:?}\nsoft {soft:?}\nperfect {perfect:?}\nstill {still:?}");
    for error in [perfect.near, perfect.far, perfect.anchor] {
        assert!(error.unwrap() < 2.0, "{perfect:?}");
    }
    close(perfect.drift, 0.0, 1.0);
    for share in [perfect.redrawn, perfect.held, perfect.seam, perfect.edit_over_truth] {
        close(share, 1.0, 1e-6);
    }
    close(nothing.edit_over_truth, 0.0, 1e-6);
    assert!(soft.near < perfect.near && soft.redrawn.unwrap() < 0.3, "{soft:?}");
    assert!(still.near.unwrap() > 3.0 * perfect.near.unwrap(), "{still:?}");
}

#[test]
fn a_clip_and_a_folder_of_its_frames_are_one_video() {
    let root = TempDir::new().unwrap();
    gst::init().unwrap();
    let (clip, folder) = (root.path().join("clip.avi"), root.path().join("frames"));
    fs::create_dir(&folder).unwrap();
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc pattern=smpte75 num-buffers=12 ! video/x-raw,format=RGB,width=96,height=64 ! tee name=t \
         ! queue ! videoconvert ! video/x-raw,format=BGR ! avimux ! filesink location={} \
         t. ! queue ! pngenc ! multifilesink location={}/%04d.png",
        clip.display(),
        folder.display()
    ));
    let pipeline = pipeline.unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::NONE, &ends).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();

    let report = run([&clip, &folder], &[]).unwrap();
    assert_eq!(report.frames, 12);
    assert_eq!(report.videos[1].measures, report.videos[0].measures);
    close(report.videos[1].measures.edit, 0.0, 1e-9);
}

/// What is wrong, the two videos, and what the message must say.
#[test]
fn videos_that_do_not_belong_together_are_refused_in_plain_words() {
    let root = TempDir::new().unwrap();
    let sources = pan(&texture(1));
    let folder = |name: &str, frames: &[Tensor]| write_folder(root.path(), name, frames);
    let cropped = |frames: &[Tensor], height: i64, width: i64| -> Vec<Tensor> {
        frames.iter().map(|frame| frame.narrow(2, 0, height).narrow(3, 0, width)).collect()
    };
    let source = folder("source", &sources[..4]);
    let mut mixed = cropped(&sources[..4], 64, 96);
    mixed[2] = cropped(&mixed[..1], 62, 96).remove(0);
    let sound = root.path().join("text.mp4");
    fs::write(&sound, "this is no clip\n").unwrap();
    let cases = [
        (folder("short", &sources[..3]), "short ends after 3 frames, "),
        (folder("long", &sources[..5]), "source ends after 4 frames, "),
        (folder("small", &cropped(&sources[..4], 62, 94)), "source is 96x64, but another is 94x62"),
        (folder("mixed", &mixed), "mixed: frame 2 is 96x62, not 96x64"),
        (root.path().join("none.mp4"), "there is no video "),
        (sound, "text.mp4 cannot be read: "),
    ];
    for (result, expected) in cases {
        let error = run([&source, &result], &[]).map(|report| report.table()).unwrap_err().to_string();
        assert!(error.contains(expected), "{}: {error}", result.display());
    }
    let empty = root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let error = run([&empty, &empty], &[]).map(|report| report.table()).unwrap_err().to_string();
    assert!(error.contains("empty holds no frame"), "{error}");
    let error = run([&source, &source], &["--batch-frames", "4"]).map(|report| report.table()).unwrap_err();
    assert!(error.to_string().contains("the last frame is 3"), "{error}");
}

#[test]
fn a_row_and_a_column_that_an_encoder_lost_are_forgiven() {
    let root = TempDir::new().unwrap();
    let sources = pan(&texture(1));
    let smaller: Vec<Tensor> =
        sources[..4].iter().map(|frame| frame.narrow(2, 0, SIZE.0 - 1).narrow(3, 0, SIZE.1 - 1)).collect();
    let [whole, lost] = [("whole", &sources[..4]), ("lost", &smaller)]
        .map(|(name, frames)| write_folder(root.path(), name, frames));
    let report = run([&whole, &lost], &[]).unwrap();
    assert_eq!((report.facts.video_size.width, report.facts.video_size.height), (95, 63));
    close(report.videos[1].measures.edit, 0.0, 1e-9);
}

fn reported() -> Report {
    let root = TempDir::new().unwrap();
    let sources = pan(&texture(1));
    let [source, result] = [("source", &sources), ("result", &negative(&sources))]
        .map(|(name, frames)| write_folder(root.path(), name, frames));
    run([&source, &result], &["--cuts", "10", "--batch-frames", "5,15", "--frames", "20"]).unwrap()
}

#[test]
fn the_json_has_every_figure_and_its_course() {
    let report = reported();
    let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(json["frames"], 20);
    assert_eq!(json["working_size"], serde_json::json!({"width": 96, "height": 64}));
    assert_eq!((&json["cuts"], &json["batches"]), (&serde_json::json!([10]), &serde_json::json!([5, 15])));
    let result = &json["videos"][1];
    assert_eq!((&json["videos"][0]["name"], &result["name"]), (&"source".into(), &"result".into()));
    for measure in ["near", "anchor", "flicker", "redrawn", "held", "seam", "batch_seam", "edit"] {
        assert!(result[measure].is_number(), "{measure}: {result}");
    }
    let near = result["course"]["near"].as_array().unwrap();
    let unknown: Vec<usize> = (0..20).filter(|&frame| near[frame].is_null()).collect();
    assert_eq!((near.len(), unknown), (20, vec![0, 10]), "a shot's first frame has none before it");
}

#[test]
fn the_table_has_a_row_for_each_figure_that_is_known() {
    let table = reported().table();
    assert!(table.starts_with("20 frames of 96x64, measured at 96x64; cuts at: 10\n"), "{table}");
    assert!(table.contains("|  | source | result |\n| --- | --- | --- |\n"), "{table}");
    let edit = table.lines().find(|line| line.starts_with("| edit: ")).unwrap();
    assert!(edit.contains(" | 0.00 | ") && !edit.contains("-"), "{edit}");
    assert!(table.contains("re-drawn areas, over seen areas'"), "{table}");
    assert!(!table.contains("truth's") && !table.contains("Tem-Con"), "{table}");
}

#[test]
fn in_brief_the_result_stands_beside_the_clip_itself() {
    let brief = reported().brief();
    assert!(brief.starts_with("measured on the first 20 frames at 96x64"), "{brief}");
    assert_eq!(brief.matches("in the clip itself").count(), 3, "{brief}");
    assert!(brief.lines().last().unwrap().contains("the edit changes the clip by "), "{brief}");
}

/// The numbers after `name="`, in order.
fn attributes(svg: &str, element: &str, name: &str) -> Vec<String> {
    let elements = svg.split('<').filter(|text| text.starts_with(element));
    let value = |text: &str| Some(text.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0.to_owned());
    elements.filter_map(value).collect()
}

#[test]
fn the_plot_marks_cuts_and_batches_and_draws_each_shot_where_its_values_are() {
    let report = reported();
    let svg = plot::svg(&report);
    for (open, close) in [("<svg", "</svg>"), ("<text", "</text>"), ("<style>", "</style>")] {
        assert_eq!(svg.matches(open).count(), svg.matches(close).count(), "{open}");
    }
    // The frame's place: 56 to 944 for frames 0 to 19.
    let place = |frame: usize| format!("{:.1}", 56.0 + 888.0 * frame as f64 / 19.0);
    assert_eq!(attributes(&svg, "line class=\"cut\"", "x1"), vec![place(10); 3]);
    assert_eq!(attributes(&svg, "line class=\"batch\"", "x1"), [5, 15, 5, 15, 5, 15].map(place));
    let curves = attributes(&svg, "polyline", "points");
    let first: Vec<&str> = curves[0].split(' ').collect();
    assert_eq!(first.len(), 9, "frames 1 to 9 of the first shot: {first:?}");
    assert!(first[0].starts_with(&format!("{},", place(1))), "{first:?}");
    // Heights are in proportion to the values: the greatest is on the axis that the labels tell.
    let near: Vec<f64> = report.videos[1].course.near.iter().flatten().copied().collect();
    let height = |point: &str| point.split_once(',').unwrap().1.parse::<f64>().unwrap();
    let of_result: Vec<&str> = curves[2].split(' ').collect();
    let (low, high) = (height(of_result[0]), height(of_result[8]));
    let zero: f64 = attributes(&svg, "line class=\"grid\"", "y1")[0].parse().unwrap();
    assert!(((zero - low) / near[0] - (zero - high) / near[8]).abs() < 0.2, "{low} {high} {near:?}");
}

#[test]
fn numbers_are_read_with_commas_between() {
    assert_eq!("61, 121".parse::<Numbers>().unwrap().0, [61, 121]);
    assert!("".parse::<Numbers>().unwrap().0.is_empty());
    assert!("61;121".parse::<Numbers>().unwrap_err().contains("61;121"));
}

#[test]
fn the_working_size_keeps_the_aspect_and_is_no_larger_than_the_video() {
    for (video, longest, expected) in [
        ((720, 1280), 448, (256, 448)),
        ((1280, 720), 448, (448, 256)),
        ((64, 96), 448, (64, 96)),
        ((9, 9), 448, (64, 64)),
    ] {
        assert_eq!(working_size(video, longest), expected, "{video:?}");
    }
}

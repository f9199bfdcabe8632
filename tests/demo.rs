//! What `make demo` promises, on small clips made here and with the identity engine: frames, timestamps and sound
//! come through, and every bad input ends in a clear message.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use gst::prelude::*;
use tempfile::TempDir;

/// Sound and picture may end this far from where the source's end.
const END_TOLERANCE_MS: u64 = 40;

const VIDEO: &str = "video/x-raw";

#[test]
fn the_result_has_the_clips_frames_timestamps_and_sound() {
    let folder = TempDir::new().unwrap();
    let clip = clip_with_sound(folder.path());
    let result = folder.path().join("result/styled.mp4");
    let output = demo(&[("CLIP", &clip), ("OUT", &result)]);
    assert!(output.status.success(), "{}", text(&output));

    let (source, edited) = (stream(&clip, VIDEO), stream(&result, VIDEO));
    let starts =
        |stream: &[(Time, Time)]| stream.iter().map(|(start, _)| start.useconds()).collect::<Vec<_>>();
    assert_eq!(source.len(), 75);
    assert_eq!(starts(&edited), starts(&source));
    for kind in [VIDEO, "audio/x-raw"] {
        let (source, edited) = (end(&stream(&clip, kind)), end(&stream(&result, kind)));
        let apart = source.max(edited) - source.min(edited);
        assert!(apart.mseconds() <= END_TOLERANCE_MS, "{kind} ends at {edited}, in the clip at {source}");
    }
}

#[test]
fn the_contact_sheet_shows_the_clip_above_the_result() {
    let folder = TempDir::new().unwrap();
    let clip = silent_clip(folder.path());
    let result = folder.path().join("styled.mp4");
    let output = demo(&[("CLIP", &clip), ("OUT", &result)]);
    assert!(output.status.success(), "{}", text(&output));

    let sheet = image::open(folder.path().join("styled.png")).unwrap().to_rgb8();
    assert_eq!(sheet.dimensions(), (6 * 324 - 4, 2 * 180 + 4));
    let difference = |x, a: u32, b: u32| {
        let (a, b) = (sheet.get_pixel(x, a).0, sheet.get_pixel(x, b).0);
        (0..3).map(|channel| a[channel].abs_diff(b[channel])).max().unwrap()
    };
    // The engine is identity: bar colours of the test picture stand above each other.
    for x in [20, 160, 340, 1900] {
        assert!(difference(x, 60, 184 + 60) < 24, "column {x}: {}", difference(x, 60, 184 + 60));
    }
    assert!(
        difference(20, 60, 160) > 24,
        "bars and noise of the test picture differ, else this test sees nothing"
    );
}

/// The program that measures belongs to a build with torch.
#[cfg(feature = "torch")]
#[test]
fn it_tells_in_a_few_lines_how_well_the_result_holds() {
    let folder = TempDir::new().unwrap();
    let clip = silent_clip(folder.path());
    let output = demo(&[("CLIP", &clip), ("OUT", &folder.path().join("styled.mp4"))]);
    assert!(output.status.success(), "{}", text(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let told: Vec<&str> = stdout.lines().skip_while(|line| !line.starts_with("measured on ")).collect();
    let told = told.split(|line| line.starts_with("another look")).next().unwrap_or_default();
    assert_eq!(told.len(), 5, "{stdout}");
    assert_eq!(told[0], "measured on the first 25 frames at 224x128, colours from 0 to 255:");
    assert_eq!(told[1..4].iter().filter(|line| line.contains("(in the clip itself ")).count(), 3, "{stdout}");
    // The engine is identity, and the encoder loses a little.
    let edit =
        told[4].strip_prefix("  the edit changes the clip by ").and_then(|edit| edit.parse::<f64>().ok());
    assert!(edit.is_some_and(|edit| edit < 4.0), "{stdout}");
}

#[test]
fn the_printed_line_is_the_pipeline() {
    let folder = TempDir::new().unwrap();
    let clip = silent_clip(folder.path());
    let result = folder.path().join("a film.mp4");
    let output =
        demo(&[("CLIP", &clip), ("OUT", &result), ("PROMPT", Path::new(r#"it's "oil", 50% \ paint!"#))]);
    assert!(output.status.success(), "{}", text(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().find(|line| line.starts_with("gst-launch-1.0 filesrc")).expect("a pipeline");
    assert!(line.contains(" ! decodebin ! flowvidfilter prompt="), "{line}");
    assert!(line.contains(" ! x264enc ! mp4mux ! filesink "), "{line}");

    fs::remove_file(&result).unwrap();
    let again = environment(Command::new("bash").args(["-c", line])).output().unwrap();
    assert!(again.status.success(), "{}", text(&again));
    assert_eq!(stream(&result, VIDEO).len(), 50);
}

#[test]
fn a_clip_of_odd_size_loses_its_last_row_and_column() {
    let folder = TempDir::new().unwrap();
    let clip = write(
        folder.path(),
        "odd.mkv",
        "videotestsrc num-buffers=9 ! video/x-raw,width=161,height=121 ! jpegenc ! matroskamux ! filesink name=out",
    );
    let result = folder.path().join("even.mp4");
    let output = demo(&[("CLIP", &clip), ("OUT", &result)]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(stream(&result, "video/x-raw,width=160,height=120").len(), 9);
}

/// A fault's name, what is set, and what the message must say.
type Fault = (&'static str, Vec<(&'static str, PathBuf)>, &'static str);

#[test]
fn faults_end_in_a_clear_message() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = silent_clip(folder.path());
    damaged_clips(folder.path(), &good);
    let out = |out: PathBuf| vec![("CLIP", good.clone()), ("OUT", out)];
    let clip = |name: &str| vec![("CLIP", path(name)), ("OUT", path("out.mp4"))];
    let faults: Vec<Fault> = vec![
        ("no such clip", clip("nothing.mp4"), "there is no clip"),
        ("only sound", clip("sound.mp4"), "holds no picture, only sound"),
        ("cut before its index", clip("no-index.mp4"), "cannot be read"),
        ("cut after its index", clip("cut.mp4"), "is cut off"),
        ("empty", clip("empty.mp4"), "cannot be read"),
        ("text", clip("text.mp4"), "cannot be read"),
        ("OUT below a file", out(path("text.mp4/out.mp4")), "cannot be written"),
        ("OUT is a folder", out(folder.path().to_path_buf()), "cannot be written"),
        ("OUT is a device", out("/dev/null".into()), "cannot be written"),
        ("OUT is the clip", out(good.clone()), "one file"),
        (
            "no such picture",
            vec![("CLIP", good.clone()), ("OUT", path("out.mp4")), ("EDITED", path("nothing.png"))],
            "there is no picture",
        ),
        (
            "a misspelt property",
            vec![("CLIP", good.clone()), ("OUT", path("out.mp4")), ("PROPERTIES", "stepz=3".into())],
            "stepz",
        ),
    ];
    for (name, settings, message) in faults {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_path())).collect();
        assert_refused(name, &demo(&settings), message);
        assert!(!path("out.mp4").exists(), "{name}: a broken result was left behind");
    }
    assert!(good.exists(), "the clip itself was removed");
}

/// The engine itself reads the picture, so this one runs on the embedded model.
#[cfg(feature = "torch")]
#[test]
fn a_picture_that_is_none_ends_in_a_clear_message() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = silent_clip(folder.path());
    damaged_clips(folder.path(), &good);
    let settings =
        [("CLIP", good), ("OUT", path("out.mp4")), ("EDITED", path("text.mp4")), ("PROPERTIES", "".into())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_path()));
    assert_refused("text as a picture", &demo(&settings), "text.mp4");
    assert!(!path("out.mp4").exists(), "a broken result was left behind");
}

/// What `make demo-edit` carries: the picture must be of the demo clip's first frame, and its result begin with it.
#[cfg(feature = "torch")]
#[test]
fn the_painted_picture_is_the_clips_first_frame_and_the_results() {
    let folder = TempDir::new().unwrap();
    let clip = write(
        folder.path(),
        "two-frames.mp4",
        "filesrc location=.deps/clips/bigbuckbunny.mp4 ! decodebin ! identity eos-after=3 ! videoconvert ! videoscale ! \
         video/x-raw,format=I420,width=448,height=252 ! x264enc quantizer=10 pass=quant ! mp4mux ! filesink name=out",
    );
    let (edited, result) = (Path::new(EDITED), folder.path().join("edited.mp4"));
    let settings: [(&str, &Path); 4] = [
        ("CLIP", &clip),
        ("OUT", &result),
        ("EDITED", edited),
        ("PROPERTIES", Path::new("propagation=warp")),
    ];
    let output = demo(&settings);
    assert!(output.status.success(), "{}", text(&output));
    assert!(!text(&output).contains("outlines"), "it lies elsewhere: {}", text(&output));
    assert!(text(&output).contains("the engine's time: "), "no stage's share: {}", text(&output));
    let size = image::image_dimensions(edited).unwrap();
    assert_eq!(size, (1280, 720), "the demo clip's own");

    let sheet = image::open(folder.path().join("edited.png")).unwrap().to_rgb8();
    let painted =
        image::open(edited).unwrap().resize_exact(320, 180, image::imageops::FilterType::Triangle).to_rgb8();
    let differences = painted.enumerate_pixels().map(|(x, y, pixel)| {
        let shown = sheet.get_pixel(x, 184 + y).0;
        (0..3).map(|channel| f64::from(pixel.0[channel].abs_diff(shown[channel]))).sum::<f64>() / 3.0
    });
    let mean = differences.sum::<f64>() / (320.0 * 180.0);
    assert!(mean < 12.0, "the result's first frame differs from the picture by {mean:.1}");
}

/// As the Makefile names it.
#[cfg(feature = "torch")]
const EDITED: &str = "docs/hand-edited.jpg";

#[test]
fn the_target_for_a_painted_frame_names_a_picture_that_is_there() {
    let makefile = fs::read_to_string("Makefile").unwrap();
    let line =
        makefile.split("\ndemo-edit:").nth(1).and_then(|rest| rest.lines().nth(1)).expect("the target");
    let picture = line.trim().trim_start_matches("@EDITED=").split(' ').next().unwrap();
    assert!(Path::new(picture).is_file(), "{line}");
    assert!(line.ends_with("scripts/demo.sh"), "{line}");
}

#[track_caller]
fn assert_refused(name: &str, output: &Output, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{name}: succeeded\n{}", text(output));
    let first = stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: ") && first.contains(message), "{name}: {}", text(output));
}

/// Runs the demo's script with these variables set and the identity engine.
fn demo(settings: &[(&str, &Path)]) -> Output {
    let mut command = Command::new("scripts/demo.sh");
    command.env("PROPERTIES", "engine=identity");
    for (name, value) in settings {
        command.env(name, value);
    }
    environment(&mut command).output().unwrap()
}

/// The plugin and the programs of the build that this test belongs to.
fn environment(command: &mut Command) -> &mut Command {
    let libraries = env::current_exe().unwrap().parent().unwrap().to_path_buf();
    let tools = libraries.parent().unwrap().join("examples");
    assert!(
        tools.join("clip_facts").exists(),
        "a whole `cargo test` builds the examples; one with --test does not"
    );
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // In a folder of its own: GStreamer would load every other library beside it to see what it is.
    let plugin = scratch.join("plugin");
    fs::create_dir_all(&plugin).unwrap();
    // Another test of this run may have made the link already.
    let _ = std::os::unix::fs::symlink(libraries.join("libgstflowvid.so"), plugin.join("libgstflowvid.so"));
    let registry = scratch.join("demo-registry.bin");
    command
        .env("FLOWVID_PLUGIN_DIR", &plugin)
        .env("FLOWVID_TOOLS", tools)
        .env("FLOWVID_REGISTRY", &registry)
        .env("GST_REGISTRY", registry)
        .env("GST_PLUGIN_PATH", plugin)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// 2 s, 320x180, 25 frames a second.
fn silent_clip(folder: &Path) -> PathBuf {
    write(
        folder,
        "silent.mp4",
        "videotestsrc num-buffers=50 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! x264enc ! mp4mux ! filesink name=out",
    )
}

/// 2.5 s at 29.97 frames a second with a tone.
fn clip_with_sound(folder: &Path) -> PathBuf {
    write(
        folder,
        "sound-and-picture.mp4",
        "videotestsrc num-buffers=75 ! video/x-raw,format=I420,width=320,height=180,framerate=30000/1001 ! x264enc ! mp4mux name=file ! filesink name=out audiotestsrc num-buffers=120 samplesperbuffer=1001 ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! file.",
    )
}

/// Clips that are none, or not whole.
fn damaged_clips(folder: &Path, good: &Path) {
    write(folder, "sound.mp4", "audiotestsrc num-buffers=40 ! avenc_aac ! mp4mux ! filesink name=out");
    write(
        folder,
        "index-first.mp4",
        "videotestsrc pattern=snow num-buffers=50 ! video/x-raw,width=320,height=180,framerate=25/1 ! x264enc ! mp4mux faststart=true ! filesink name=out",
    );
    let half = |name: &Path| {
        let bytes = fs::read(name).unwrap();
        bytes[..bytes.len() / 2].to_vec()
    };
    fs::write(folder.join("no-index.mp4"), half(good)).unwrap();
    fs::write(folder.join("cut.mp4"), half(&folder.join("index-first.mp4"))).unwrap();
    fs::write(folder.join("empty.mp4"), "").unwrap();
    fs::write(folder.join("text.mp4"), "this is no clip\n").unwrap();
}

fn write(folder: &Path, name: &str, pipeline: &str) -> PathBuf {
    let file = folder.join(name);
    let pipeline = launch(pipeline);
    pipeline.by_name("out").unwrap().set_property("location", &file);
    run(&pipeline);
    file
}

fn launch(pipeline: &str) -> gst::Pipeline {
    static READY: OnceLock<()> = OnceLock::new();
    READY.get_or_init(|| gst::init().unwrap());
    gst::parse::launch(pipeline).unwrap().downcast().unwrap()
}

fn run(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message =
        pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

type Time = gst::ClockTime;

/// A stream that the clip does not have never comes, nor ends.
const PATIENCE: Time = Time::from_seconds(10);

/// Start and end of every decoded buffer of a stream that the clip has; `kind` is a media type.
fn stream(clip: &Path, kind: &str) -> Vec<(Time, Time)> {
    let pipeline = launch(&format!("filesrc name=clip ! decodebin ! {kind} ! appsink name=out sync=false"));
    pipeline.by_name("clip").unwrap().set_property("location", clip);
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let times = std::iter::from_fn(|| sink.try_pull_sample(PATIENCE)).map(|sample| times(&sample)).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    times
}

fn end(stream: &[(Time, Time)]) -> Time {
    stream.iter().map(|(_, end)| *end).max().unwrap_or_default()
}

/// A buffer's start and end in running time.
fn times(sample: &gst::Sample) -> (Time, Time) {
    let buffer = sample.buffer().unwrap();
    let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
    let start = segment.to_running_time(buffer.pts().unwrap()).unwrap();
    (start, start + buffer.duration().unwrap_or_default())
}

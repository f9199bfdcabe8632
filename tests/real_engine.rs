//! The element with the embedded model in real pipelines: stopped and flushed at any moment, loaded once.

mod common;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, Once, mpsc},
    time::{Duration, Instant},
};

use gst::prelude::*;
use gstflowvid::engine::model_statistics;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use tempfile::TempDir;

/// A stop or a flush is to take under a second on a quiet machine; this one may be busy.
const AT_ONCE: Duration = Duration::from_secs(5);
const MOMENTS: usize = 20;
/// A batch of nine frames is through after about this on two cores.
const LATEST_MS: u32 = 2500;
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(120);

/// One test at a time: they count the models of the process and measure.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstflowvid::plugin_register_static().unwrap();
    });
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn launch(source: &str, settings: &str) -> gst::Pipeline {
    let filter = format!("flowvidfilter name=filter prompt=pencil {settings}");
    let pipeline = gst::parse::launch(&format!("{source} ! {filter} ! fakesink name=sink")).unwrap();
    pipeline.downcast().unwrap()
}

const PICTURES: &str = "videotestsrc pattern=zone-plate kx2=20 ky2=20 kt=1 ! video/x-raw";

/// The demo's size, in batches that are soon through: every stage is met.
fn demo() -> gst::Pipeline {
    launch(&format!("{PICTURES},width=1280,height=720"), "batch-size=3")
}

/// Batches that would go on for longer than a stop may take.
fn long_batches() -> gst::Pipeline {
    launch(&format!("{PICTURES},width=448,height=256"), "")
}

/// Moments at which whatever happens then is interrupted: wall time is what is drawn here.
struct Moments(ChaCha8Rng);

impl Moments {
    fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn wait(&mut self) {
        std::thread::sleep(Duration::from_millis(u64::from(self.0.next_u32() % LATEST_MS)));
    }
}

#[test]
fn stopping_at_any_moment_is_done_at_once() {
    let _alone = alone();
    let pipelines = [demo(), long_batches()];
    let mut moments = Moments::seeded(1);
    let mut most = [Duration::ZERO; 2];
    for index in 0..MOMENTS {
        let pipeline = &pipelines[index / 2 % 2];
        pipeline.set_state(gst::State::Playing).unwrap();
        moments.wait();
        let target = [gst::State::Ready, gst::State::Null][index % 2];
        let begun = Instant::now();
        pipeline.set_state(target).unwrap();
        let took = begun.elapsed();
        assert!(took < AT_ONCE, "{target:?}, moment {index}: {took:?}");
        most[index % 2] = most[index % 2].max(took);
    }
    for pipeline in pipelines {
        pipeline.set_state(gst::State::Null).unwrap();
    }
    println!("longest of {MOMENTS}: to READY {:?}, to NULL {:?}", most[0], most[1]);
}

#[test]
fn a_flushing_seek_at_any_moment_is_done_at_once() {
    let _alone = alone();
    let pipeline = demo();
    let (sender, arrived) = mpsc::channel();
    let sink = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let _ = sender.send(info.buffer().and_then(|buffer| buffer.pts())); // the test may have ended
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut moments = Moments::seeded(2);
    let target = |index: usize| gst::ClockTime::from_seconds(100 * (index as u64 + 1));
    let most = (0..MOMENTS).fold(Duration::ZERO, |most, index| {
        moments.wait();
        let begun = Instant::now();
        pipeline.seek_simple(gst::SeekFlags::FLUSH, target(index)).unwrap();
        let took = begun.elapsed();
        assert!(took < AT_ONCE, "moment {index}: {took:?}");
        most.max(took)
    });
    while arrived.recv_timeout(PATIENCE.into()).expect("frames after the last seek")
        != Some(target(MOMENTS - 1))
    {}
    pipeline.set_state(gst::State::Null).unwrap();
    println!("longest of {MOMENTS} flushing seeks: {most:?}");
}

/// Plays to the end; a checksum of every frame that arrived.
fn play(pipeline: &gst::Pipeline) -> Vec<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let (sender, arrived) = mpsc::channel();
    let sink = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
    let probe = sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let mut hasher = DefaultHasher::new();
        info.buffer().unwrap().map_readable().unwrap().hash(&mut hasher);
        let _ = sender.send(hasher.finish()); // the test may have ended
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &ends).expect("an end");
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
    sink.remove_probe(probe.unwrap());
    arrived.iter().collect()
}

const SHORT: &str =
    "videotestsrc num-buffers=9 pattern=zone-plate kx2=20 ky2=20 kt=1 ! video/x-raw,width=128,height=96";
const SMALL_BATCHES: &str = "batch-size=3 keyframe-interval=2 device=cpu";

fn loads_of(work: impl FnOnce()) -> u64 {
    let before = model_statistics().loads;
    work();
    model_statistics().loads - before
}

#[test]
fn a_second_start_loads_nothing_and_null_frees_the_model() {
    let _alone = alone();
    let pipeline = launch(SHORT, SMALL_BATCHES);
    let once = || {
        play(&pipeline);
        pipeline.set_state(gst::State::Ready).unwrap();
    };
    assert_eq!((loads_of(once), loads_of(once)), (1, 0));
    assert_eq!(model_statistics().in_memory, 1, "READY keeps it");
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(model_statistics().in_memory, 0, "NULL frees it");
    assert_eq!(loads_of(once), 1);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn two_pipelines_share_the_model_and_give_what_each_gives_alone() {
    let _alone = alone();
    let pencil = launch(SHORT, SMALL_BATCHES);
    let neon = launch(SHORT, SMALL_BATCHES);
    neon.by_name("filter").unwrap().set_property("prompt", "neon");
    let expected = [&pencil, &neon].map(|pipeline| {
        let frames = play(pipeline);
        pipeline.set_state(gst::State::Null).unwrap();
        frames
    });
    assert_ne!(expected[0], expected[1]);
    let mut found = Vec::new();
    let loads = loads_of(|| {
        found = std::thread::scope(|scope| {
            let both = [&pencil, &neon].map(|pipeline| scope.spawn(|| play(pipeline)));
            both.map(|played| played.join().unwrap()).into()
        });
    });
    assert!(found == expected, "frames differ from those of each pipeline alone");
    assert_eq!((loads, model_statistics().in_memory), (1, 1));
    for pipeline in [&pencil, &neon] {
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// A copy of the embedded model that `spoil` may spoil.
fn spoilt_model(spoil: impl FnOnce(&Path)) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for model in ["nano", "gmflow", "rife"] {
        common::copy_folder(&common::project("models").join(model), &root.path().join(model), &|_| true);
    }
    spoil(root.path());
    root
}

/// Plays until the error that must come.
fn fail(pipeline: &gst::Pipeline) -> glib::Error {
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &ends).expect("an end");
    let gst::MessageView::Error(error) = end.view() else { panic!("{end:?}") };
    pipeline.set_state(gst::State::Ready).unwrap();
    error.error()
}

/// libtorch's own complaints, on the engine's thread: a word's token that the text encoder was not made for, met
/// while keyframes are diffused, and a network that reduces pictures to nothing, met between them.
#[test]
fn a_panic_on_the_engines_thread_reaches_the_bus_and_the_model_stays_usable() {
    let _alone = alone();
    let models = spoilt_model(|root| {
        common::change_json(&root.join("nano/tokenizer/vocab.json"), |words| {
            words["neon"] = 1_000_000.into()
        });
        common::change_json(&root.join("rife/config.json"), |config| config["scales"][0] = 1000.into());
    });
    let settings = format!("{SMALL_BATCHES} model={}", models.path().join("nano").display());
    let pipeline = launch(SHORT, &settings);
    let filter = pipeline.by_name("filter").unwrap();
    assert_eq!(play(&pipeline).len(), 9);
    for (property, panics, works, said) in [
        ("prompt", "neon pencil", "pencil", "index out of range"),
        ("interpolation", "rife", "auto", "greater than 0"),
    ] {
        pipeline.set_state(gst::State::Ready).unwrap();
        filter.set_property_from_str(property, panics);
        let error = fail(&pipeline);
        assert!(error.matches(gst::LibraryError::Failed) && error.to_string().contains(said), "{error}");
        filter.set_property_from_str(property, works);
        assert_eq!(loads_of(|| assert_eq!(play(&pipeline).len(), 9)), 0, "{property}: the thread is another");
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

/// The embedded model has no presets: that is said before anything is loaded.
#[test]
fn a_preset_that_the_model_lacks_is_told_with_what_to_do() {
    let _alone = alone();
    let pipeline = launch(&format!("{PICTURES},width=448,height=256"), "preset=preview device=cpu");
    let loads = loads_of(|| {
        let bus = pipeline.bus().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let end = bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Error]).expect("an error");
        let gst::MessageView::Error(error) = end.view() else { unreachable!("filtered") };
        let said = error.error().to_string();
        for word in ["nano/model_index.json", "`preview`", "preset=auto"] {
            assert!(said.contains(word), "{word} is missing in: {said}");
        }
        pipeline.set_state(gst::State::Null).unwrap();
    });
    assert_eq!(loads, 0);
}

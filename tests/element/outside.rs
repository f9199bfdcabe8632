//! The element in a process of its own: what it leaves behind, and how it ends on Ctrl-C.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::rig::*;

/// Says to the child what it is there for.
const HERE: &str = "FLOWVID_TEST_LEAKS";

const CLEAN: &str = "everything is dropped";
const LEAKY: &str = "one is kept";

/// What is alive when everything is gone, by GStreamer's own count; and whether a child that did `what` had no
/// warning from it.
fn left_behind(what: &str) -> (Vec<String>, bool) {
    let mut itself = Command::new(env::current_exe().unwrap());
    let ended = itself
        .args(["--exact", "outside::nothing_is_left_behind", "--nocapture"])
        .env(HERE, what)
        .envs([("GST_TRACERS", "leaks"), ("GST_DEBUG", "GST_TRACER:7"), ("GST_DEBUG_NO_COLOR", "1")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let alive =
        said.lines().filter(|line| line.contains(" object-alive, ") && line.contains("=(gpointer)0x"));
    (alive.map(str::to_owned).collect(), ended.status.success())
}

fn start_and_stop() {
    for round in 0..200 {
        let element = filter(2, 2);
        let mut harness = playing(&element, &small());
        feed(&mut harness, 0..round % 5);
        if round % 2 == 0 {
            harness.push_event(gst::event::Eos::new());
            while harness.pull_event().unwrap().type_() != gst::EventType::Eos {}
        }
    }
    for _ in 0..100 {
        drop(filter(2, 2));
    }
}

#[test]
fn nothing_is_left_behind() {
    match env::var(HERE).as_deref() {
        Err(_) => {
            assert_eq!(left_behind(CLEAN), (vec![], true));
            let (alive, clean) = left_behind(LEAKY);
            assert!(!clean && alive.iter().any(|line| line.contains("GstFlowVidFilter")), "{alive:?}");
        }
        Ok(what) => {
            start_and_stop();
            if what == LEAKY {
                std::mem::forget(filter(2, 2));
            }
            // SAFETY: nobody in this process uses GStreamer after the last test has ended.
            unsafe { gst::deinit() };
        }
    }
}

/// Plays as `gst-launch-1.0 -e` does until `frames` have come from a camera, then sends SIGINT. How many frames
/// came in all; the file holds what left the element.
fn interrupted(filter: &str, frames: usize, file: &str) -> usize {
    let plugin = env::current_exe().unwrap().with_file_name("libgstflowvid.so");
    let description = format!(
        "videotestsrc is-live=true ! video/x-raw,width=128,height=96,framerate=25/1 ! identity silent=false ! \
         flowvidfilter {filter} ! x264enc tune=zerolatency speed-preset=ultrafast ! mp4mux ! filesink location={file}"
    );
    let mut child = Command::new("gst-launch-1.0")
        .args(["-e", "-v"])
        .arg(format!("--gst-plugin-load={}", plugin.display()))
        .args(description.split_whitespace())
        .env("GST_REGISTRY", format!("{file}.registry"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("gst-launch-1.0: install gstreamer1.0-tools");
    let mut came = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if !line.unwrap().contains("last-message = chain") {
            continue;
        }
        came += 1;
        if came == frames {
            let sent = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status();
            assert!(sent.unwrap().success());
        }
    }
    assert!(child.wait().unwrap().success());
    came
}

/// Frames of a batch of ten that is not full yet, and of one that the real engine works on.
#[test]
fn ctrl_c_in_mid_batch_leaves_a_file_that_plays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mp4").display().to_string();
    let mut filters = vec!["engine=identity batch-size=4 keyframe-interval=3"];
    if cfg!(feature = "torch") {
        filters.push("prompt=pencil device=cpu batch-size=3 keyframe-interval=2");
    }
    for filter in filters {
        let came = interrupted(filter, 24, &file);
        let plays =
            run(&format!("filesrc location={file} ! qtdemux ! h264parse ! avdec_h264 ! fakesink name=sink"));
        assert_eq!(plays, Ok(came as u64), "{filter}");
    }
}

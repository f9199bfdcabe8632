//! The pipelines of the element's documentation (the head of src/element/imp.rs) run as they stand there.

use std::{path::Path, process::Command};

use crate::{inspect::plugin_alone, rig::*};

const DOCUMENTATION: &str = include_str!("../../src/element/imp.rs");

/// Camera and screen are replaced, and the engine needs no model: what is tested is the pipeline.
const REPLACED: [(&str, &str); 3] = [
    ("v4l2src", "videotestsrc is-live=true num-buffers=20"),
    ("autovideosink", "fakesink sync=true"),
    ("flowvidfilter ", "flowvidfilter engine=identity "),
];

fn pipelines() -> Vec<String> {
    let text: String = DOCUMENTATION
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .map(|l| format!("{l}\n"))
        .collect();
    text.split("|[\n").skip(1).map(|rest| rest.split("]|").next().unwrap().trim().to_owned()).collect()
}

/// A clip with sound, as the pipelines read it.
fn clip(folder: &Path) {
    let location = folder.join("clip.mp4");
    run(&format!(
        "videotestsrc num-buffers=70 ! video/x-raw,width=64,height=48,framerate=25/1 ! x264enc speed-preset=ultrafast ! \
         mp4mux name=mux ! filesink location={} audiotestsrc num-buffers=120 ! audioconvert ! avenc_aac ! mux.",
        location.display()
    ))
    .unwrap();
}

#[test]
fn the_documented_pipelines_run() {
    let (plugin, folder) = (plugin_alone(), tempfile::tempdir().unwrap());
    clip(folder.path());
    let pipelines = pipelines();
    assert_eq!(pipelines.len(), 5, "{pipelines:?}");
    for documented in pipelines {
        let command = REPLACED.iter().fold(documented.clone(), |line, (from, to)| line.replace(from, to));
        let output = Command::new("timeout")
            .args(["60", "sh", "-c", &command])
            .current_dir(folder.path())
            .env("GST_PLUGIN_PATH", plugin.path())
            .env("GST_REGISTRY", plugin.path().join("registry.bin"))
            .env_remove("G_DEBUG") // other plugins' warnings are not ours
            .output()
            .unwrap();
        assert!(output.status.success(), "{documented}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    for (made, frames) in [("out.mp4", 70), ("out.mkv", 70)] {
        let location = folder.path().join(made);
        let count = run(&format!(
            "filesrc location={} ! decodebin ! video/x-raw ! fakesink name=sink",
            location.display()
        ));
        assert_eq!(count, Ok(frames), "{made}");
    }
}

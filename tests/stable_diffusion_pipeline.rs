//! The demo's own gst-launch line on models of Stable Diffusion 1.5's layout, tiny and random: all frames come out, the
//! same bytes for the same seed, others for another prompt.

#[path = "../examples/random_model/folder.rs"]
mod folder;

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
};

use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use tch::Kind;
use tempfile::TempDir;

/// One more than two batches of three keyframes, two frames apart.
const FRAMES: usize = 10;
const WIDTH: usize = 128;
const HEIGHT: usize = 96;

const QUALITY: RandomModel = RandomModel {
    size: Size::Tiny,
    vae: Autoencoder::Kl,
    scheduler: SchedulerKind::Ddim,
    seed: 3,
    kind: Kind::Half,
};
const PREVIEW: RandomModel = RandomModel { vae: Autoencoder::Tiny, scheduler: SchedulerKind::Lcm, ..QUALITY };

struct Studio(TempDir);

impl Studio {
    /// A clip and a model.
    fn new(model: RandomModel) -> Self {
        let studio = Self(TempDir::new().unwrap());
        model.write(&studio.path("model")).unwrap();
        let caps = format!("video/x-raw,width={WIDTH},height={HEIGHT},framerate=25/1");
        studio.succeed(&format!(
            "videotestsrc num-buffers={FRAMES} pattern=ball ! {caps} ! x264enc tune=zerolatency ! mp4mux ! \
             filesink location=clip.mp4"
        ));
        studio
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn launch(&self, pipeline: &str) -> Output {
        let libraries = env::current_exe().unwrap().parent().unwrap().to_path_buf();
        let plugins = self.path("plugins");
        let _ = fs::create_dir(&plugins);
        let _ =
            std::os::unix::fs::symlink(libraries.join("libgstflowvid.so"), plugins.join("libgstflowvid.so"));
        Command::new("bash")
            .args(["-c", &format!("timeout 300 gst-launch-1.0 -q {pipeline}")])
            .env("GST_PLUGIN_PATH", plugins)
            .env("GST_REGISTRY", self.path("registry.bin"))
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn succeed(&self, pipeline: &str) {
        let output = self.launch(pipeline);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("ERROR"), "{pipeline}: {said}");
    }

    /// The clip's edited frames, raw.
    fn edited(&self, properties: &str) -> Vec<u8> {
        self.succeed(&format!(
            "filesrc location=clip.mp4 ! decodebin ! flowvidfilter model=model/ {SMALL} {properties} ! \
             videoconvert ! video/x-raw,format=RGB ! filesink location=edited.rgb"
        ));
        fs::read(self.path("edited.rgb")).unwrap()
    }
}

const SMALL: &str = "processing-size=128 batch-size=3 keyframe-interval=2 steps=2 device=cpu";

#[test]
fn the_demos_line_runs_on_stable_diffusions_layout() {
    for model in [QUALITY, PREVIEW] {
        let studio = Studio::new(model);
        studio.succeed(&format!(
            r#"filesrc location=clip.mp4 ! decodebin ! flowvidfilter model=model/ {SMALL} prompt="a castle" ! x264enc ! mp4mux ! filesink location=out.mp4"#
        ));
        studio.succeed(
            "filesrc location=out.mp4 ! decodebin ! videoconvert ! video/x-raw,format=RGB ! \
             filesink location=out.rgb",
        );
        let bytes = fs::metadata(studio.path("out.rgb")).unwrap().len();
        assert_eq!(bytes as usize, FRAMES * WIDTH * HEIGHT * 3);
    }
}

#[test]
fn a_seed_decides_every_byte_and_so_does_the_prompt() {
    for model in [QUALITY, PREVIEW] {
        let studio = Studio::new(model);
        let castle = studio.edited("prompt=castle seed=7");
        assert_eq!(castle.len(), FRAMES * WIDTH * HEIGHT * 3);
        assert!(castle == studio.edited("prompt=castle seed=7"), "another run, other bytes");
        assert!(castle != studio.edited("prompt=forest seed=7"), "another prompt, the same bytes");
    }
}

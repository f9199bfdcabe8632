//! `make install`'s promise: what it copied works without the checkout that it came from.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

#[test]
fn an_installed_plugin_needs_nothing_of_the_checkout() {
    let prefix = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let plugins = install(prefix.path());
    forget_the_checkout(&plugins.join("libgstflowvid.so"));

    let libraries = output(Command::new("ldd").arg(plugins.join("libgstflowvid.so")));
    let torch =
        libraries.lines().find(|line| line.contains("libtorch_cpu.so")).expect("linked with libtorch");
    let beside = plugins.join("../flowvid/lib");
    assert!(torch.contains(beside.to_str().unwrap()), "{torch}");
    assert!(!libraries.contains("not found"), "{libraries}");

    // A name that only the installed models have.
    let models = plugins.join("flowvid/models");
    fs::rename(models.join("nano"), models.join("installed-only")).unwrap();
    let run = launch(prefix.path(), &plugins, "installed-only");
    assert!(run.status.success(), "{}", text(&run));

    let run = launch(prefix.path(), &plugins, "nothing-like-it");
    assert!(!run.status.success(), "{}", text(&run));
    let tried = models.join("nothing-like-it");
    assert!(text(&run).contains(tried.to_str().unwrap()), "does not tell {tried:?}: {}", text(&run));
}

/// Runs `scripts/install.sh` on the plugin of this build; answers with the plugin folder.
fn install(prefix: &Path) -> PathBuf {
    let libraries = env::current_exe().unwrap().parent().unwrap().to_path_buf();
    output(Command::new("scripts/install.sh").env("PREFIX", prefix).env("FLOWVID_PLUGIN_DIR", libraries));
    prefix.join("lib/gstreamer-1.0")
}

/// Overwrites the places in the checkout that the library would look at, as if it were moved away.
fn forget_the_checkout(library: &Path) {
    let mut bytes = fs::read(library).unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let libtorch = fs::canonicalize(".deps/libtorch/lib").unwrap();
    for place in [models, libtorch] {
        assert!(overwrite(&mut bytes, place.as_os_str().as_encoded_bytes()), "does not look at {place:?}");
    }
    fs::write(library, bytes).unwrap();
}

/// Puts dashes over every `place` in `bytes`; tells whether there was one.
fn overwrite(bytes: &mut [u8], place: &[u8]) -> bool {
    let starts: Vec<_> =
        (0..bytes.len().saturating_sub(place.len())).filter(|&at| bytes[at..].starts_with(place)).collect();
    for &at in &starts {
        bytes[at..at + place.len()].fill(b'-');
    }
    !starts.is_empty()
}

/// Edits three frames with the installed plugin, in an environment that knows of nothing else.
fn launch(prefix: &Path, plugins: &Path, model: &str) -> Output {
    Command::new("timeout")
        .args([
            "100",
            "gst-launch-1.0",
            "videotestsrc",
            "num-buffers=3",
            "!",
            "video/x-raw,width=128,height=96",
            "!",
            "flowvidfilter",
        ])
        .args([&format!("model={model}"), "prompt=watercolor", "device=cpu", "!", "fakesink"])
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("HOME", prefix)
        .env("GST_PLUGIN_PATH", plugins)
        .env("GST_REGISTRY", prefix.join("registry.bin"))
        .current_dir(prefix)
        .output()
        .unwrap()
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

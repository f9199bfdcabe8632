//! The text of `gst-inspect-1.0 flowvidfilter`, so that no property or pad changes unseen.

use std::{env, fs, path::Path, process::Command};

/// Where the library under test lies: beside the tests; `cargo test` puts it nowhere else.
fn library_folder() -> std::path::PathBuf {
    env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// Without what changes from build to build and machine to machine.
fn normalised(text: &str) -> String {
    let changing = ["Filename", "Version", "Source release date"];
    let lines = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !changing.iter().any(|name| line.trim_start().starts_with(name)));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// A folder that holds the plugin under test and nothing else.
pub fn plugin_alone() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let library = library_folder().join("libgstflowvid.so");
    fs::copy(&library, folder.path().join("libgstflowvid.so"))
        .unwrap_or_else(|error| panic!("{library:?}: {error}"));
    folder
}

#[test]
fn the_element_looks_as_committed() {
    let folder = plugin_alone();
    let output = Command::new("gst-inspect-1.0")
        .arg("flowvidfilter")
        .env("GST_PLUGIN_PATH", folder.path())
        .env("GST_REGISTRY", folder.path().join("registry.bin"))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = normalised(&String::from_utf8(output.stdout).unwrap());
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gst_inspect.txt");
    if env::var_os("UPDATE_GST_INSPECT").is_some() {
        fs::write(&committed, &text).unwrap();
    }
    let expected = fs::read_to_string(&committed).unwrap_or_default();
    assert!(text == expected, "set UPDATE_GST_INSPECT=1 to accept:\n{text}");
}

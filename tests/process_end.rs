//! A program that exits without stopping its pipeline: as an application links the plugin, by loading it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process_end/program.c");
const PIPELINE: &str = "videotestsrc pattern=ball ! video/x-raw,width=320,height=192 \
    ! flowvidfilter prompt=pencil device=cpu ! fakesink";
const CODE: i32 = 7;

fn compile(folder: &Path) -> PathBuf {
    let program = folder.join("program");
    let flags = Command::new("pkg-config").args(["--cflags", "--libs", "gstreamer-1.0"]).output().unwrap();
    let compiled = Command::new("cc")
        .args(["-o".as_ref(), program.as_os_str(), PROGRAM.as_ref()])
        .args(String::from_utf8(flags.stdout).unwrap().split_whitespace())
        .status();
    assert!(compiled.expect("a C compiler: torch-sys needs one too").success());
    program
}

/// A thread inside libtorch while `exit` runs libtorch's destructors would crash.
#[test]
fn a_program_that_exits_in_a_batch_does_not_crash() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path());
    let plugin = env::current_exe().unwrap().with_file_name("libgstflowvid.so");
    for after in ["0", "100", "200", "300", "400", "600", "800", "1100", "1500"] {
        let ended = Command::new(&program)
            .args([PIPELINE, after])
            .arg(format!("--gst-plugin-load={}", plugin.display()))
            .env("GST_REGISTRY", folder.path().join("registry"))
            .status()
            .unwrap();
        assert_eq!(ended.code(), Some(CODE), "{after} ms after the model was loaded: {ended}");
    }
}

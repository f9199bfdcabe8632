//! An element on the CPU that comes first does not take CUDA from the next one.

use std::{
    env,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::Arc,
};

use gstflowvid::engine::{CancelToken, EditParameters, Frame, ModelRequest, Picture, Samples, open};

const WIDTH: usize = 96;
const HEIGHT: usize = 64;

/// A library that torch takes for its CUDA half if it is loaded in time.
fn stand_in(folder: &Path) {
    let libtorch = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(env::var("LIBTORCH").unwrap());
    let compiled = Command::new("c++")
        .args(["-std=c++17", "-shared", "-fPIC", "-o"])
        .arg(folder.join("libtorch_cuda.so"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device_order/cuda.cpp"))
        .arg(format!("-I{}", libtorch.join("include").display()))
        .status();
    assert!(compiled.expect("a C++ compiler: torch-sys needs one too").success());
}

fn request(device: &str) -> ModelRequest {
    ModelRequest::FlowVid {
        model: "nano".into(),
        preset: "auto".into(),
        device: device.into(),
        dtype: "auto".into(),
        plugin_folder: None,
    }
}

/// A whole batch on the CPU, then a card that even the stand-in lacks: torch says how many there are.
fn cpu_then_cuda() {
    let mut engine =
        open(&request("cpu"), &CancelToken::new()).expect("the embedded model; run `make setup`");
    let samples = (0..WIDTH * HEIGHT * 3).map(|at| (at * at / 7 % 256) as u8).collect();
    let picture = Arc::new(Picture { width: WIDTH, height: HEIGHT, samples: Samples::U8(samples) });
    let frame = |index| Frame { picture: picture.clone(), stream_time: index, starts_shot: false };
    let parameters = EditParameters { prompt: "pencil".into(), ..Default::default() };
    engine.process((0..3).map(frame).collect(), &parameters, &CancelToken::new()).expect("an edited batch");
    let error = open(&request("cuda:7"), &CancelToken::new()).err().expect("no eighth card").to_string();
    assert!(error.contains("there are 3 CUDA devices"), "{error}");
}

#[test]
fn a_cpu_element_first_does_not_take_cuda_from_the_next() {
    const HERE: &str = "FLOWVID_TEST_CPU_THEN_CUDA";
    if env::var_os(HERE).is_some() {
        return cpu_then_cuda();
    }
    let folder = tempfile::tempdir().unwrap();
    stand_in(folder.path());
    let mut places = vec![folder.path().to_owned()];
    places.extend(env::var_os("LD_LIBRARY_PATH").iter().flat_map(env::split_paths));
    let ended = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_cpu_element_first_does_not_take_cuda_from_the_next", "--nocapture"])
        .env(HERE, "1")
        .env("LD_LIBRARY_PATH", env::join_paths(places).unwrap())
        .stdin(process::Stdio::null())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

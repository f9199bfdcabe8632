//! The tests of `examples/evaluate` and of what else is judged by its metrics, as a test of its own: an example that is
//! built for its tests is not built as a program, which `make demo` needs.
#![allow(dead_code)] // the program's own beginning is not run

#[path = "../examples/evaluate/clip/mod.rs"]
mod clip;
#[path = "../examples/evaluate/evaluation.rs"]
mod evaluation;
#[path = "../examples/metrics/mod.rs"]
mod metrics;
#[path = "../examples/pictures/mod.rs"]
mod pictures;
#[path = "../examples/evaluate/plot.rs"]
mod plot;
#[path = "../examples/evaluate/program.rs"]
mod program;
#[path = "../examples/evaluate/report.rs"]
mod report;
#[path = "../examples/streams/mod.rs"]
mod streams;
#[path = "../examples/compare_propagation/targets.rs"]
mod targets;
#[path = "../examples/evaluate/video.rs"]
mod video;
#[path = "../examples/evaluate/window.rs"]
mod window;

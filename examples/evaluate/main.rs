//! Measures how well an edited video holds: a table on stdout, all figures as JSON, and a plot.
//!
//! ```sh
//! cargo run --release --example evaluate -- SOURCE RESULT --truth TRUTH --json figures.json --plot figures.svg
//! ```
//!
//! SOURCE is the video that was edited, RESULT what became of it, TRUTH, where there is one, what a perfect result were:
//! any file that GStreamer decodes, or a folder of pictures. Motion, visibility and differences are taken at the working
//! size (`--size`), sharpness at the videos' own. Frames are read one after the other and soon forgotten, so that memory
//! does not grow with the clip. What the figures mean, and that none is a score by itself, stands in
//! `examples/metrics/measures.rs`.

mod clip;
mod evaluation;
#[path = "../metrics/mod.rs"]
mod metrics;
#[path = "../pictures/mod.rs"]
mod pictures;
mod plot;
mod program;
mod report;
#[path = "../streams/mod.rs"]
mod streams;
mod video;
mod window;

fn main() -> anyhow::Result<()> {
    program::run()
}

//! CLIP, for the measures that the field reports: Tem-Con and Pro-Ali.
#![allow(dead_code, unused_imports)] // the parity test uses its part

mod network;
mod preprocess;
mod scorer;

pub use network::{Clip, ClipConfig};
pub use preprocess::Preprocessor;
pub use scorer::{Scorer, Scores};

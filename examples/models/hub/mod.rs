//! From a model hub into a model folder.

mod fetch;
pub mod install;
pub mod manifest;

pub use fetch::{FetchError, Hub};
pub use install::install;
pub use manifest::Manifest;

/// Whether the answer to a question means yes.
pub fn accepts(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

//! The few things tch does not bind, and the one place that decides device and dtype.

mod cuda;
mod placement;
#[cfg(test)]
pub mod testing;
mod threads;

pub use cuda::{card_memory, load_cuda};
pub use placement::{Placement, PlacementError, channels_last};
use threads::limit_threads;
pub use threads::{side_by_side, workers};

//! `flowvidfilter`: edits video by a prompt or by one edited picture, inside any GStreamer pipeline.
//!
//! The crate is the plugin (`libgstflowvid.so`) and, as a Rust library, the engine behind it.
//! `ARCHITECTURE.md` draws the house: an import only ever points downwards in this list.

#[cfg(feature = "torch")]
pub mod conditions;
#[cfg(feature = "torch")]
pub mod diffusion;
#[cfg(feature = "torch")]
pub mod editors;
#[cfg(feature = "element")]
pub mod element;
pub mod engine;
#[cfg(feature = "torch")]
pub mod interpolation;
#[cfg(feature = "torch")]
pub mod torch;
#[cfg(feature = "torch")]
pub mod weights;

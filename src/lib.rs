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

/// What GStreamer looks for in the library. The macro's items carry no documentation.
#[cfg(feature = "element")]
#[allow(missing_docs)]
mod plugin {
    use super::element::register;
    gst::plugin_define!(
        flowvid,
        "Edits video by a prompt or by one edited picture (FlowVid)",
        register,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("BUILD_REL_DATE")
    );
}
#[cfg(feature = "element")]
pub use plugin::plugin_register_static;

//! The GStreamer element.

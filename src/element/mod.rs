//! The GStreamer element.

use std::sync::LazyLock;

use glib::prelude::*;
use gst::subclass::prelude::*;

use crate::engine::IdentityScript;

mod alarm;
mod allocation;
mod caps;
mod compare;
mod enums;
mod frames;
mod imp;
mod items;
mod latency;
mod messages;
mod metas;
mod negotiated;
mod overload;
mod queue;
mod regions;
pub mod settings;
mod sinkpad;
mod srcpad;
mod stream;
mod tags;
mod watchdog;
mod worker;

/// The element's log.
static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("flowvidfilter", gst::DebugColorFlags::empty(), Some("FlowVid video editing"))
});

glib::wrapper! {
    /// The element `flowvidfilter`.
    pub struct FlowVidFilter(ObjectSubclass<imp::FlowVidFilter>)
        @extends gst::Element, gst::Object, @implements gst::Preset;
}

impl FlowVidFilter {
    /// What `engine=identity` does besides returning its input, from the next READY to PAUSED on.
    pub fn set_identity_script(&self, script: IdentityScript) {
        *self.imp().script.lock() = script;
    }
}

/// Makes the element known; asks nothing of libtorch.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "flowvidfilter", gst::Rank::NONE, FlowVidFilter::static_type())
}

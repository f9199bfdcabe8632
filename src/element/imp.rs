//! The glib type and its virtual methods.
//!
//! SECTION:element-flowvidfilter
//! @short_description: edits video by a prompt or by one edited picture
//!
//! flowvidfilter collects frames into batches, edits the first frame of each shot, carries the edit along the
//! source's own motion to the batch's keyframes, and interpolates the frames between. As many frames come out as
//! went in, in their order, each with its own input's timestamps, flags and metas. Without a prompt and an
//! edited frame, and with `enabled=false`, frames pass with the very bytes they came with.
//!
//! ## Batches and latency
//!
//! A batch holds `(batch-size - 1) * keyframe-interval + 1` frames (61 with the defaults) and ends early at a cut,
//! a gap, new caps, a new segment and the end of the stream. No frame leaves before its batch is full, so the
//! element holds up to two batches on their way in and one on its way out, all in host memory. In a live pipeline
//! it answers the LATENCY query with the time that a batch takes to fill and to be edited, and posts a LATENCY
//! message when the measured time grows: small batches make short delays.
//!
//! Properties that change the result are read with the first frame of each batch, so they may be set at any time;
//! those that change the batch's size or the model only change in NULL and READY.
//!
//! |[
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin name=source ! flowvidfilter prompt="a pencil sketch" ! x264enc ! mp4mux name=mux ! filesink location=out.mp4 source. ! audioconvert ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! avenc_aac ! mux.
//! ]|
//! A file becomes a styled file; its sound is kept. The sound waits in a queue that may hold a batch's time.
//!
//! |[
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! flowvidfilter edited-frame=first.png ! x264enc ! matroskamux ! filesink location=out.mkv
//! ]|
//! The first frame was edited in any tool; the clip follows it.
//!
//! ## Live use
//!
//! |[
//! gst-launch-1.0 v4l2src ! videoconvert ! queue ! flowvidfilter prompt="a watercolour" batch-size=2 keyframe-interval=2 processing-size=256 ! videoconvert ! autovideosink
//! ]|
//! A camera with batches of three frames.
//!
//! ## Behind a tee
//!
//! A branch beside the element must be able to hold as many frames as the element does. A queue with its default
//! limits cannot: it fills, the tee waits for it, the batch never does, and the pipeline stands still. The element
//! warns of it after `stall-timeout` and names the full queue. Such a branch needs a queue without limits. Where the
//! branch has no queue at all, the stall looks like a slow source, and no warning comes.
//!
//! |[
//! gst-launch-1.0 videotestsrc num-buffers=150 ! tee name=split ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! compositor name=both sink_1::xpos=320 ! videoconvert ! autovideosink split. ! flowvidfilter prompt="ink drawing" ! both.
//! ]|
//! Source and result side by side, by way of a tee.
//!
//! ## Original and edited in one picture
//!
//! The element holds the original of each frame anyway: `compare=side-by-side` shows it left of the edited one, in a
//! picture of twice the width; `compare=wipe` left of a white line at `compare-position`, which may move while
//! the video plays. Neither needs a tee or a queue, and the two never drift apart. What is not edited is as it came:
//! side by side it stands there twice, and a wipe has no line.
//!
//! |[
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! flowvidfilter prompt="ink drawing" compare=side-by-side ! videoconvert ! autovideosink
//! ]|
//! Source and result side by side, without a tee.
//!
//! ## Seeking and trick modes
//!
//! A seek calls the engine off at once, and shows its first frame when the batch that begins there is full. Played
//! backwards or faster, frames are edited in the order in which they come; where a player shows key units only,
//! each is a shot of its own, for motion cannot be followed from one to the next. A SEGMENT seek's end, too, ends
//! the batch. A frame that lies wholly outside its segment is dropped when it comes, as a sink or an encoder would drop
//! it: it must not be a shot's first, edited frame. A frame of which the segment shows a part keeps its timestamps.
//!
//! ## What the application hears
//!
//! PROGRESS messages while the model loads; an ELEMENT message `flowvid-batch` for each batch, with its frames,
//! keyframes and times; WARNING and ERROR messages that say what to do. After an error READY makes it new.
//! `stats` counts frames and batches, and `active-device` tells where the model runs.

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, bounded};
use glib::{ParamSpec, Value};
use gst::{prelude::*, subclass::prelude::*};
use parking_lot::Mutex;

use super::{
    CAT, caps,
    enums::EngineKind,
    settings::{Access, PROPERTIES, Property, Settings, Status, When},
    sinkpad::Upstream,
    stream::Stream,
    tags::Tags,
    worker::Worker,
};
use crate::engine::{IdentityScript, Loaded, ModelRequest};

/// How long leaving PAUSED waits for the worker to let go of the engine, which was told to stop: one network
/// call, under a second. The process must not end before that. If it takes longer than this, the thread ends
/// by itself later.
const PATIENCE: Duration = Duration::from_secs(10);

/// The element's own memory.
pub struct FlowVidFilter {
    pub(super) sinkpad: gst::Pad,
    pub(super) srcpad: gst::Pad,
    pub(super) settings: Mutex<Arc<Settings>>,
    pub(super) status: Mutex<Status>,
    pub(super) script: Mutex<IdentityScript>,
    pub(super) upstream: Mutex<Upstream>,
    pub(super) position: Mutex<super::srcpad::Position>,
    pub(super) downstream: Mutex<super::allocation::Downstream>,
    pub(super) tags: Mutex<Tags>,
    running: Mutex<Option<Running>>,
    /// Until NULL or another request, so that a new start loads nothing.
    loaded: Mutex<Option<(ModelRequest, Loaded)>>,
}

/// From READY to READY.
struct Running {
    stream: Arc<Stream>,
    /// Disconnects when the worker has ended.
    worker: Receiver<()>,
}

#[glib::object_subclass]
impl ObjectSubclass for FlowVidFilter {
    const NAME: &'static str = "GstFlowVidFilter";
    type Type = super::FlowVidFilter;
    type ParentType = gst::Element;
    type Interfaces = (gst::Preset,);

    fn with_class(class: &Self::Class) -> Self {
        let template = |name: &str| class.pad_template(name).expect("class_init registers both templates");
        Self {
            sinkpad: Self::sink_pad(&template("sink")),
            srcpad: Self::src_pad(&template("src")),
            settings: Mutex::default(),
            status: Mutex::default(),
            script: Mutex::default(),
            upstream: Mutex::default(),
            position: Mutex::default(),
            downstream: Mutex::default(),
            tags: Mutex::default(),
            running: Mutex::default(),
            loaded: Mutex::default(),
        }
    }
}

impl ObjectImpl for FlowVidFilter {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for pad in [&self.sinkpad, &self.srcpad] {
            element.add_pad(pad).expect("a new element has no pad of that name");
        }
    }

    fn properties() -> &'static [ParamSpec] {
        static SPECS: LazyLock<Vec<ParamSpec>> =
            LazyLock::new(|| PROPERTIES.iter().map(Property::spec).collect());
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &Value, spec: &ParamSpec) {
        let Some(Access::Setting { changes, set, .. }) = Property::find(spec.name()).map(|row| &row.access)
        else {
            return;
        };
        if *changes == When::Ready && self.running.lock().is_some() {
            gst::warning!(CAT, imp = self, "{} can only be set in NULL and READY: ignored", spec.name());
            return;
        }
        set(Arc::make_mut(&mut self.settings.lock()), value);
    }

    fn property(&self, _id: usize, spec: &ParamSpec) -> Value {
        match Property::find(spec.name()).map(|row| &row.access) {
            Some(Access::Setting { get, .. }) => get(&self.settings.lock()),
            Some(Access::Status(get)) => get(&self.status.lock()),
            None => spec.default_value().clone(),
        }
    }
}

impl GstObjectImpl for FlowVidFilter {}
impl PresetImpl for FlowVidFilter {}

impl ElementImpl for FlowVidFilter {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Flow-guided video diffusion filter",
                "Filter/Effect/Video",
                "Edits video by a prompt or by one edited picture (the FlowVid method)",
                "The flowvidfilter authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps::template())
                        .expect("the template's caps are valid")
                })
                .into()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.start()?,
            // Before the pads are deactivated, which waits for their threads.
            gst::StateChange::PausedToReady => self.unblock(),
            _ => {}
        }
        let outcome = self.parent_change_state(transition);
        let failed_start = transition == gst::StateChange::ReadyToPaused && outcome.is_err();
        if failed_start || transition == gst::StateChange::PausedToReady {
            self.unblock();
            self.stop();
        }
        if transition == gst::StateChange::ReadyToNull {
            let freed = self.loaded.lock().take();
            drop(freed); // not under the lock: it may wait for the engine's thread
        }
        outcome
    }
}

impl FlowVidFilter {
    /// The shared state, from READY to READY.
    pub(super) fn stream(&self) -> Option<Arc<Stream>> {
        self.running.lock().as_ref().map(|running| running.stream.clone())
    }

    pub(super) fn set_active_device(&self, device: &str) {
        self.status.lock().active_device = device.into();
        self.obj().notify("active-device");
    }

    /// Whether a session of `request` needs no loading. Another request's model is let go of first, so that
    /// there are never two in memory.
    pub(super) fn has_loaded(&self, request: &ModelRequest) -> bool {
        let other = self.loaded.lock().take_if(|(loaded, _)| loaded != request);
        drop(other); // not under the lock: it may wait for the engine's thread
        self.loaded.lock().is_some()
    }

    pub(super) fn keep_loaded(&self, request: &ModelRequest, loaded: Loaded) {
        let before = self.loaded.lock().replace((request.clone(), loaded));
        drop(before); // not under the lock
    }

    fn start(&self) -> Result<(), gst::StateChangeError> {
        let settings = self.settings.lock().clone();
        let stream = Arc::new(Stream::new(settings.batch_frames(), settings.timing));
        *self.status.lock() = Status::default();
        *self.upstream.lock() = Upstream::default();
        *self.position.lock() = Default::default();
        *self.tags.lock() = Tags::default();
        let worker = Worker::new(stream.clone(), &self.obj(), self.request(&settings));
        let load_now = settings.uses_engine();
        let (ended, ending) = bounded(0);
        let spawned =
            thread::Builder::new().name(format!("flowvid:{}", self.obj().name())).spawn(move || {
                worker.run(load_now);
                drop::<crossbeam_channel::Sender<()>>(ended);
            });
        if let Err(error) = spawned {
            gst::element_imp_error!(self, gst::ResourceError::Failed, ("no thread for the worker: {error}"));
            return Err(gst::StateChangeError);
        }
        *self.running.lock() = Some(Running { stream, worker: ending });
        Ok(())
    }

    /// Whoever waits in the element goes on, and the engine is told to stop.
    fn unblock(&self) {
        if let Some(stream) = self.stream() {
            stream.stop();
        }
    }

    fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(running) = running
            && running.worker.recv_timeout(PATIENCE) == Err(crossbeam_channel::RecvTimeoutError::Timeout)
        {
            gst::warning!(CAT, imp = self, "the engine is slow to stop; its thread ends by itself");
        }
        self.set_active_device("");
    }

    fn request(&self, settings: &Settings) -> ModelRequest {
        match settings.engine {
            EngineKind::Identity => ModelRequest::Identity(self.script.lock().clone()),
            EngineKind::FlowVid => ModelRequest::FlowVid {
                model: settings.model.clone(),
                preset: settings.preset_name(),
                device: settings.device.clone(),
                dtype: settings.dtype_name(),
                plugin_folder: plugin_folder(),
            },
        }
    }
}

/// Where the plugin's own file lies; unknown where it is linked into a program.
fn plugin_folder() -> Option<PathBuf> {
    let plugin = gst::Registry::get().find_plugin("flowvid")?;
    Some(plugin.filename()?.parent()?.to_owned())
}

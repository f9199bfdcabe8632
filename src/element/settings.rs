//! The properties: one table of which ParamSpecs, the README's table and the round-trip test are made.

use std::path::PathBuf;

use glib::{ParamSpec, Value, prelude::*};

use self::spec::choice;
pub use self::spec::markdown_table;
use super::enums::{
    Compare, Condition, CutDetection, Dtype, EngineKind, Interlaced, Interpolation, OverloadPolicy, Preset,
    Propagation, nick,
};
use crate::engine::{ColorCalibration, EditParameters};

mod spec;

/// All that the user can set.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the engine is told for each batch.
    pub parameters: EditParameters,
    /// Frames are edited; else they pass unchanged.
    pub enabled: bool,
    /// Which engine.
    pub engine: EngineKind,
    /// Name or folder.
    pub model: String,
    /// Which of its presets.
    pub preset: Preset,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Precision.
    pub dtype: Dtype,
    /// How long a frame may be held, and what then.
    pub timing: Timing,
    /// Each edited frame carries the meta `flowvid`.
    pub add_meta: bool,
    /// Downstream is told by tags that the video was edited, and how.
    pub add_tags: bool,
    /// What becomes of interlaced frames.
    pub interlaced: Interlaced,
    /// Original and edited in one picture.
    pub compare: Compare,
    /// Where a wipe parts them, as a share of the width from the left.
    pub compare_position: f64,
}

/// What a stream keeps to from READY to READY; times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Where the engine is slower than a live source.
    pub overload: OverloadPolicy,
    /// What a batch is said to take; 0: what was measured.
    pub processing_latency: u64,
    /// A live stream's partial batch is closed after this; 0: never.
    pub batch_timeout: u64,
    /// A file's partial batch that gets no frame for this long is looked into; 0: never.
    pub stall_timeout: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            overload: OverloadPolicy::default(),
            processing_latency: 0,
            batch_timeout: 0,
            stall_timeout: 5_000_000_000,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parameters: EditParameters::default(),
            enabled: true,
            engine: EngineKind::default(),
            model: "nano".into(),
            preset: Preset::default(),
            device: "auto".into(),
            dtype: Dtype::default(),
            timing: Timing::default(),
            add_meta: false,
            add_tags: true,
            interlaced: Interlaced::default(),
            compare: Compare::default(),
            compare_position: 0.5,
        }
    }
}

/// What the element tells about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// Where the engine computes; empty while none is open.
    pub active_device: String,
    /// Frames that came in.
    pub frames_in: u64,
    /// Frames that went out.
    pub frames_out: u64,
    /// Frames that passed without the engine.
    pub bypassed: u64,
    /// Frames of a live stream that were dropped because the engine was behind.
    pub dropped: u64,
    /// Batches that the engine edited.
    pub batches: u64,
    /// Keyframes among them.
    pub keyframes: u64,
}

impl Status {
    fn structure(&self) -> gst::Structure {
        gst::Structure::builder("flowvid-stats")
            .field("in", self.frames_in)
            .field("out", self.frames_out)
            .field("bypassed", self.bypassed)
            .field("dropped", self.dropped)
            .field("batches", self.batches)
            .field("keyframes", self.keyframes)
            .build()
    }
}

/// One row of the table.
pub struct Property {
    /// As on a command line.
    pub name: &'static str,
    /// One sentence for the user.
    pub blurb: &'static str,
    /// Which values it takes.
    pub values: Values,
    /// Reading, writing and when.
    pub access: Access,
}

/// The values of a property.
pub enum Values {
    /// Any text; none is the empty one.
    Text,
    /// Path of a picture file or of a folder of them, or none.
    Path,
    /// On or off.
    Switch,
    /// A whole number with its unit.
    Whole {
        /// Smallest.
        min: u32,
        /// Greatest.
        max: u32,
        /// What is counted.
        unit: &'static str,
    },
    /// Any number of 64 bits.
    Long,
    /// A time in nanoseconds.
    Time,
    /// An amount of memory.
    Bytes,
    /// A real number.
    Real {
        /// Smallest.
        min: f64,
        /// Greatest.
        max: f64,
    },
    /// One of some words; the function makes the ParamSpec of the enumeration.
    Choice(fn(&Property) -> ParamSpec),
    /// Named numbers.
    Structure,
}

/// Who may touch a property, and when.
pub enum Access {
    /// The user's.
    Setting {
        /// When a change takes effect.
        changes: When,
        /// Reads it.
        get: fn(&Settings) -> Value,
        /// Writes it.
        set: fn(&mut Settings, &Value),
    },
    /// The element's own.
    Status(fn(&Status) -> Value),
}

/// When a property may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In the states NULL and READY.
    Ready,
    /// At any time; the next batch that begins takes it.
    NextBatch,
    /// At any time; the next frame that comes in takes it.
    NextFrame,
}

fn get<T: for<'a> glib::value::FromValue<'a> + Default>(value: &Value) -> T {
    value.get().unwrap_or_default()
}

/// GObject has no empty text of its own: NULL and "" are the same here.
fn text(value: &Value) -> String {
    get::<Option<String>>(value).unwrap_or_default()
}

fn path(value: &Value) -> Option<PathBuf> {
    Some(text(value)).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn count(value: &Value) -> usize {
    get::<u32>(value) as usize
}

/// A row for a field of `EditParameters` or `Settings`, whose name both accessors share.
macro_rules! setting {
    ($changes:ident, $name:literal, $blurb:literal, $values:expr,
     |$settings:ident| $read:expr, |$target:ident, $value:ident| $write:expr) => {
        Property {
            name: $name,
            blurb: $blurb,
            values: $values,
            access: Access::Setting {
                changes: When::$changes,
                get: |$settings| ($read).to_value(),
                set: |$target, $value| $write,
            },
        }
    };
}

/// The table.
pub static PROPERTIES: [Property; 36] = [
    setting!(Ready, "model", "Name of a model, or the folder of one", Values::Text, |s| s.model, |s, v| s
        .model =
        text(v)),
    setting!(
        Ready,
        "preset",
        "Which of the model's presets: each gives scheduler, steps, guidance, autoencoder and batch size together; what is set besides comes before it",
        Values::Choice(choice::<Preset>),
        |s| s.preset,
        |s, v| s.preset = get(v)
    ),
    setting!(
        NextBatch,
        "prompt",
        "What the video should look like",
        Values::Text,
        |s| s.parameters.prompt,
        |s, v| s.parameters.prompt = text(v)
    ),
    setting!(
        NextBatch,
        "negative-prompt",
        "What the video should not look like",
        Values::Text,
        |s| s.parameters.negative_prompt,
        |s, v| s.parameters.negative_prompt = text(v)
    ),
    setting!(
        NextBatch,
        "edited-frame",
        "Picture file that is the first frame, edited: its edit is carried through the video; or a folder of edited frames, named by their stream time in seconds (0.png, 2.48.png). Any size of the same aspect; a transparent part is not edited; works without a prompt",
        Values::Path,
        |s| path_text(&s.parameters.edited_frame),
        |s, v| s.parameters.edited_frame = path(v)
    ),
    setting!(
        NextBatch,
        "mask-location",
        "Picture file that says where a shot's first frame is edited: white is, black is not; it moves with what the frame shows. Around it the video keeps its own pixels. An edited frame's own transparency comes before it",
        Values::Path,
        |s| path_text(&s.parameters.mask_location),
        |s, v| s.parameters.mask_location = path(v)
    ),
    setting!(
        NextBatch,
        "enabled",
        "Edit the frames; when off they pass unchanged, byte for byte",
        Values::Switch,
        |s| s.enabled,
        |s, v| s.enabled = get(v)
    ),
    setting!(
        Ready,
        "batch-size",
        "Keyframes that are edited together; more hold together better, take more memory and delay longer. 0 takes the model's own number, 16 where it has none; 1 is as 2",
        Values::Whole { min: 0, max: 64, unit: "keyframes" },
        |s| s.parameters.batch_size as u32,
        |s, v| s.parameters.batch_size = count(v)
    ),
    setting!(
        Ready,
        "keyframe-interval",
        "Source frames from one keyframe to the next; the frames between are interpolated",
        Values::Whole { min: 1, max: 64, unit: "frames" },
        |s| s.parameters.keyframe_interval as u32,
        |s, v| s.parameters.keyframe_interval = count(v)
    ),
    setting!(
        NextBatch,
        "steps",
        "Denoising steps of a keyframe; 0 takes the number of the preset or the model",
        Values::Whole { min: 0, max: 1000, unit: "steps" },
        |s| s.parameters.num_inference_steps as u32,
        |s, v| s.parameters.num_inference_steps = count(v)
    ),
    setting!(
        NextBatch,
        "guidance-scale",
        "How strictly the prompt is followed (classifier-free guidance); 1 is off and twice as fast, 0 takes the value of the preset or the model",
        Values::Real { min: 0.0, max: 50.0 },
        |s| s.parameters.guidance_scale,
        |s, v| s.parameters.guidance_scale = get(v)
    ),
    setting!(
        NextBatch,
        "strength",
        "How far the edit goes from the source: 0 is the source, 1 the full edit",
        Values::Real { min: 0.0, max: 1.0 },
        |s| s.parameters.strength,
        |s, v| s.parameters.strength = get(v)
    ),
    setting!(
        NextBatch,
        "flow-trust",
        "How far a keyframe is held to what the warped edit shows of it while it is diffused: 0 steers only, 1 keeps it as it is, -1 takes the model's own value",
        Values::Real { min: -1.0, max: 1.0 },
        |s| s.parameters.flow_trust,
        |s, v| s.parameters.flow_trust = get(v)
    ),
    setting!(
        NextBatch,
        "seed",
        "Random seed; the same seed on the same video gives the same result",
        Values::Long,
        |s| s.parameters.seed,
        |s, v| s.parameters.seed = get(v)
    ),
    setting!(
        NextBatch,
        "condition",
        "What of the source frame steers the diffusion",
        Values::Choice(choice::<Condition>),
        |s| Condition::from(s.parameters.condition),
        |s, v| s.parameters.condition = get::<Condition>(v).into()
    ),
    setting!(
        Ready,
        "processing-size",
        "Longer side of the pictures that the model works on; the output keeps the input's size",
        Values::Whole { min: 64, max: 2048, unit: "pixels" },
        |s| s.parameters.processing_size as u32,
        |s, v| s.parameters.processing_size = count(v)
    ),
    setting!(
        NextBatch,
        "memory-limit",
        "Memory of the device that the diffusion may take, weights included: keyframes go through the networks in as small groups as it asks for. 0 takes what a card has, and sets a CPU no limit",
        Values::Bytes,
        |s| s.parameters.memory_limit,
        |s, v| s.parameters.memory_limit = get(v)
    ),
    setting!(
        NextBatch,
        "propagation",
        "How the edit comes from the first frame to the other keyframes",
        Values::Choice(choice::<Propagation>),
        |s| Propagation::from(s.parameters.propagation),
        |s, v| s.parameters.propagation = get::<Propagation>(v).into()
    ),
    setting!(
        NextBatch,
        "interpolation",
        "How the frames between keyframes are made",
        Values::Choice(choice::<Interpolation>),
        |s| Interpolation::from(s.parameters.interpolation),
        |s, v| s.parameters.interpolation = get::<Interpolation>(v).into()
    ),
    setting!(
        NextBatch,
        "color-calibration",
        "Hold the colours of all keyframes to those of the first edited frame",
        Values::Switch,
        |s| (s.parameters.color_calibration == ColorCalibration::On),
        |s, v| {
            let on = get::<bool>(v);
            s.parameters.color_calibration = if on { ColorCalibration::On } else { ColorCalibration::Off }
        }
    ),
    setting!(
        NextBatch,
        "cut-detection",
        "What begins a new shot, which is edited anew and gets a key unit of the encoder",
        Values::Choice(choice::<CutDetection>),
        |s| CutDetection::from(s.parameters.cut_detection),
        |s, v| s.parameters.cut_detection = get::<CutDetection>(v).into()
    ),
    setting!(
        NextBatch,
        "cut-threshold",
        "The pictures show a cut where less than this share of a frame is found in the frame before",
        Values::Real { min: 0.0, max: 1.0 },
        |s| s.parameters.cut_threshold,
        |s, v| s.parameters.cut_threshold = get(v)
    ),
    setting!(
        NextBatch,
        "add-tags",
        "Tell downstream by tags that a generative model edited the video, with prompt, model and seed; muxers write them into the file. Several laws ask for it",
        Values::Switch,
        |s| s.add_tags,
        |s, v| s.add_tags = get(v)
    ),
    setting!(
        NextBatch,
        "add-meta",
        "Attach the custom meta `flowvid` to each edited frame: batch, shot, keyframe, seed-time",
        Values::Switch,
        |s| s.add_meta,
        |s, v| s.add_meta = get(v)
    ),
    setting!(
        Ready,
        "interlaced",
        "What becomes of interlaced frames; `deinterlace` before the element makes them progressive",
        Values::Choice(choice::<Interlaced>),
        |s| s.interlaced,
        |s, v| s.interlaced = get(v)
    ),
    setting!(
        Ready,
        "compare",
        "Show the original and the edited video in one picture",
        Values::Choice(choice::<Compare>),
        |s| s.compare,
        |s, v| s.compare = get(v)
    ),
    setting!(
        NextFrame,
        "compare-position",
        "Where compare=wipe parts original and edited, as a share of the width: 0 is the left edge, where all is edited",
        Values::Real { min: 0.0, max: 1.0 },
        |s| s.compare_position,
        |s, v| s.compare_position = get(v)
    ),
    setting!(
        Ready,
        "engine",
        "Which engine edits the frames",
        Values::Choice(choice::<EngineKind>),
        |s| s.engine,
        |s, v| s.engine = get(v)
    ),
    setting!(
        Ready,
        "device",
        "Where the engine computes: auto, cpu, cuda or cuda:N; a device that was named is never replaced by another",
        Values::Text,
        |s| s.device,
        |s, v| s.device = text(v)
    ),
    setting!(
        Ready,
        "dtype",
        "Precision in which the diffusion runs",
        Values::Choice(choice::<Dtype>),
        |s| s.dtype,
        |s, v| s.dtype = get(v)
    ),
    setting!(
        Ready,
        "overload-policy",
        "What a live stream does while the engine is behind by a batch: wait, drop the oldest waiting frames (with a QOS message each), or let them pass unedited. Files are always waited for",
        Values::Choice(choice::<OverloadPolicy>),
        |s| s.timing.overload,
        |s, v| s.timing.overload = get(v)
    ),
    setting!(
        Ready,
        "processing-latency",
        "Time that a batch's processing is said to take in a live pipeline's latency; 0 tells what was measured, and tells the pipeline when it grows",
        Values::Time,
        |s| s.timing.processing_latency,
        |s, v| s.timing.processing_latency = get(v)
    ),
    setting!(
        Ready,
        "batch-timeout",
        "A live stream's batch is closed this long after its first frame came, full or not; 0 waits until it is full",
        Values::Time,
        |s| s.timing.batch_timeout,
        |s, v| s.timing.batch_timeout = get(v)
    ),
    setting!(
        Ready,
        "stall-timeout",
        "Warn when a batch gets no frame for this long because a branch beside the element is full; 0 never looks",
        Values::Time,
        |s| s.timing.stall_timeout,
        |s, v| s.timing.stall_timeout = get(v)
    ),
    Property {
        name: "active-device",
        blurb: "Where the engine computes; empty while none is open",
        values: Values::Text,
        access: Access::Status(|status| status.active_device.to_value()),
    },
    Property {
        name: "stats",
        blurb: "Frames in, out, bypassed and dropped, batches and keyframes since the element left READY",
        values: Values::Structure,
        access: Access::Status(|status| status.structure().to_value()),
    },
];

fn path_text(path: &Option<PathBuf>) -> Option<String> {
    path.as_ref().map(|path| path.to_string_lossy().into_owned())
}

impl Settings {
    /// The dtype in the engine's words.
    pub fn dtype_name(&self) -> String {
        nick(&self.dtype)
    }

    /// Whether frames go through the engine.
    pub fn uses_engine(&self) -> bool {
        self.enabled && (self.engine == EngineKind::Identity || self.parameters.edits())
    }

    /// The preset in the engine's words.
    pub fn preset_name(&self) -> String {
        nick(&self.preset)
    }

    /// Frames in a full batch, before an engine is there to be asked.
    pub fn batch_frames(&self) -> usize {
        self.parameters.batch_frames(None, false)
    }
}

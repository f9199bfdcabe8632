//! The FlowVid method on pictures and tensors. Nothing here knows GStreamer.
//!
//! An [`Engine`] is one stream's session: it takes a batch of frames and gives back as many, in order.

mod cancel;
mod identity;
mod parameters;

#[cfg(feature = "torch")]
mod ahead;
#[cfg(feature = "torch")]
mod alike;
#[cfg(feature = "torch")]
mod batch;
#[cfg(feature = "torch")]
mod begin;
#[cfg(feature = "torch")]
mod between;
#[cfg(feature = "torch")]
mod calibrate;
#[cfg(feature = "torch")]
mod composite;
#[cfg(feature = "torch")]
mod control;
#[cfg(feature = "torch")]
mod fault;
#[cfg(feature = "torch")]
mod keyframes;
#[cfg(feature = "torch")]
mod known;
#[cfg(feature = "torch")]
mod local;
#[cfg(feature = "torch")]
mod model;
#[cfg(feature = "torch")]
mod pictures;
#[cfg(feature = "torch")]
mod prior;
#[cfg(feature = "torch")]
mod process_end;
#[cfg(feature = "torch")]
mod propagate;
#[cfg(feature = "torch")]
mod proposal;
#[cfg(feature = "torch")]
mod server;
#[cfg(feature = "torch")]
mod session;
#[cfg(feature = "torch")]
mod sharpness;
#[cfg(feature = "torch")]
mod shot;
#[cfg(feature = "torch")]
mod spread;
#[cfg(feature = "torch")]
mod texture;
#[cfg(feature = "torch")]
mod tone;
#[cfg(feature = "torch")]
mod tracking;
#[cfg(feature = "torch")]
mod upscale;
#[cfg(feature = "torch")]
mod user_edits;
#[cfg(feature = "torch")]
mod user_mask;
#[cfg(feature = "torch")]
mod warm_up;
#[cfg(feature = "torch")]
mod work;
#[cfg(feature = "torch")]
mod workbench;

use std::{any::Any, sync::Arc, time::Duration};

pub use cancel::CancelToken;
pub use identity::{Identity, IdentityScript, Outcome};
pub use parameters::{
    ColorCalibration, Condition, CutDetection, EditParameters, Interpolation, ModelRequest, Propagation,
};
#[cfg(feature = "torch")]
pub use pictures::processing_size;
#[cfg(feature = "torch")]
pub use propagate::{Diffused, KeyframeConditions, Propagator};
#[cfg(feature = "torch")]
pub use workbench::{Composed, Workbench};

/// What an edit by an unknown hand becomes before the diffusion, for the program that trains it.
#[cfg(feature = "torch")]
pub mod unknown_edit {
    pub use super::{
        composite::{Composite, WarpedEdit},
        proposal::Proposer,
    };
}

/// A picture on the host: interleaved RGB, full range, rows without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width * 3` samples.
    pub samples: Samples,
}

/// The samples of a [`Picture`]; sixteen bits where the stream has more than eight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// 0..=255
    U8(Vec<u8>),
    /// 0..=65535
    U16(Vec<u16>),
}

/// One input frame of a batch.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What the frame shows.
    pub picture: Arc<Picture>,
    /// Stream time in nanoseconds; with the random seed it decides the frame's noise.
    pub stream_time: u64,
    /// A new shot begins here, whatever the pictures say (discontinuity, upstream's scene change).
    pub starts_shot: bool,
}

/// What became of one input frame.
#[derive(Debug, Clone)]
pub struct EditedFrame {
    /// The edited picture, or `None` where the frame was not changed.
    pub picture: Option<Picture>,
    /// The frame was diffused (or edited as first of its shot), not interpolated.
    pub keyframe: bool,
    /// The frame is the first of a shot.
    pub starts_shot: bool,
}

/// What an engine gives back for one batch.
#[derive(Debug, Clone, Default)]
pub struct EditedBatch {
    /// As many as went in, in their order.
    pub frames: Vec<EditedFrame>,
    /// Wall time of each stage, in the order in which the stages ran.
    pub timings: Vec<(&'static str, Duration)>,
    /// What the user should know (a prompt that was not understood, say); each is said once a session.
    pub warnings: Vec<String>,
}

/// When the frames to come show, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Stream time of the next frame.
    pub first: u64,
    /// How long each one shows.
    pub frame: u64,
}

/// One stream's session with an engine.
pub trait Engine: Send {
    /// How many frames the next batch should hold. A batch may be shorter: at a cut, at the end.
    fn batch_frames(&self, parameters: &EditParameters) -> usize;

    /// The same where it is known when the batch's frames show: a batch may then be shorter, so that frames enough
    /// lead to an edited frame of the user's.
    fn batch_frames_at(&self, parameters: &EditParameters, _pace: Pace) -> usize {
        self.batch_frames(parameters)
    }

    /// Edits one batch; `frames` is not empty, and all of one size. Returns as many frames as it was given.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] soon after `cancel` was raised; the session is then to be
    /// [`reset`](Engine::reset). Any other error says what to do.
    fn process(
        &mut self,
        frames: Vec<Frame>,
        parameters: &EditParameters,
        cancel: &CancelToken,
    ) -> Result<EditedBatch, EngineError>;

    /// Ends the shot: the next frame is the first of a new one and nothing is remembered.
    fn reset(&mut self);

    /// Whether the engine looks at the pictures; where not, it may be given empty ones.
    fn looks_at_pictures(&self) -> bool {
        true
    }

    /// Where the engine computes, in the words of the property `device`.
    fn device(&self) -> String;

    /// What the user should know of how the model is run; told when it is loaded.
    fn notes(&self) -> Vec<String>;

    /// What the session shares with others of its request.
    fn loaded(&self) -> Loaded;
}

/// A loaded model. Who holds it keeps it in memory for sessions to come; it is freed with the last holder and the
/// last session.
pub type Loaded = Arc<dyn Any + Send + Sync>;

/// What this process does with models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelStatistics {
    /// How many were loaded since the process began.
    pub loads: u64,
    /// How many are in memory.
    pub in_memory: usize,
}

/// The models of all elements of this process.
pub fn model_statistics() -> ModelStatistics {
    #[cfg(feature = "torch")]
    return server::statistics();
    #[cfg(not(feature = "torch"))]
    ModelStatistics::default()
}

/// Why a batch could not be edited. The text says what to do; the element posts it unchanged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The cancel token was raised.
    #[error("cancelled")]
    Cancelled,
    /// The device has too little memory.
    #[error("out of memory on {device}: lower processing-size or batch-size ({detail})")]
    OutOfMemory {
        /// Where.
        device: String,
        /// libtorch's own words.
        detail: String,
    },
    /// Model, device or dtype cannot be had.
    #[error("{0}")]
    Unavailable(String),
    /// A setting does not fit (no such picture, another aspect).
    #[error("{0}")]
    Settings(String),
    /// A fault of ours; the text tells where.
    #[error("the engine failed: {0}; please report it with the log of GST_DEBUG=flowvidfilter:6")]
    Internal(String),
}

/// Opens a session for `request`, loading the model unless another session holds it already.
///
/// # Errors
/// [`EngineError::Unavailable`] names what is missing and how to get it; [`EngineError::Cancelled`].
pub fn open(request: &ModelRequest, cancel: &CancelToken) -> Result<Box<dyn Engine>, EngineError> {
    match request {
        ModelRequest::Identity(script) => Ok(Box::new(Identity::open(script.clone(), cancel)?)),
        #[cfg(feature = "torch")]
        ModelRequest::FlowVid { model, preset, device, dtype, plugin_folder } => {
            server::open((model, preset), (device, dtype), plugin_folder.as_ref(), cancel)
        }
        #[cfg(not(feature = "torch"))]
        ModelRequest::FlowVid { .. } if !cancel.is_cancelled() => Err(EngineError::Unavailable(
            "this plugin was built without libtorch: build it with the cargo feature `torch`, or set \
             engine=identity"
                .into(),
        )),
        #[cfg(not(feature = "torch"))]
        ModelRequest::FlowVid { .. } => Err(EngineError::Cancelled),
    }
}

//! What crosses from the settings to one batch.

use std::path::PathBuf;

use super::IdentityScript;

/// Which engine and model a session wants. Equal requests share one loaded model.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelRequest {
    /// The engine without a model: every frame comes back unchanged.
    Identity(IdentityScript),
    /// The FlowVid engine.
    FlowVid {
        /// A name (looked for in the model places) or a folder.
        model: String,
        /// One of the model's presets, or `auto`.
        preset: String,
        /// `auto`, `cpu`, `cuda` or `cuda:N`.
        device: String,
        /// `auto`, `f32`, `f16` or `bf16`.
        dtype: String,
        /// Where the plugin's own file lies: `flowvid/models` beside it is one of the model places.
        plugin_folder: Option<PathBuf>,
    },
}

/// The spatial condition of the diffusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// What the model was trained with.
    #[default]
    Auto,
    /// Canny edges of the source frame.
    Canny,
    /// Depth of the source frame, estimated.
    Depth,
    /// None.
    None,
}

/// How the edit comes from the first frame to the other keyframes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// Diffusion conditioned on the warped edit: FlowVid.
    #[default]
    Diffusion,
    /// The warped edit and the proposal alone, without the network.
    Warp,
}

/// How the frames between keyframes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interpolation {
    /// What suits the edit: `SourceFlow` where a proposal exists.
    #[default]
    Auto,
    /// Both edited keyframes warped along the source's own flow.
    SourceFlow,
    /// RIFE between the edited keyframes.
    Rife,
    /// The nearest edited keyframe is repeated.
    None,
}

/// Whether colours of diffused keyframes are held to the anchor's (FlowVid eq. 5, on co-visible pixels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorCalibration {
    /// Gain and offset a channel.
    #[default]
    On,
    /// Colours as diffused.
    Off,
}

/// What counts as the beginning of a new shot. A discontinuity in the stream always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CutDetection {
    /// Nothing else.
    Off,
    /// What upstream marks as a cut.
    Events,
    /// That, and what the pictures show.
    #[default]
    Auto,
}

/// One batch's settings: a snapshot taken when its first frame arrives.
#[derive(Debug, Clone, PartialEq)]
pub struct EditParameters {
    /// What the video should look like; empty: nothing is asked for.
    pub prompt: String,
    /// What it should not look like.
    pub negative_prompt: String,
    /// A picture file that is the first shot's first frame, edited; or a folder of edited frames, named by their
    /// stream times.
    pub edited_frame: Option<PathBuf>,
    /// A picture file that says where a shot's first frame is edited: white. An edited frame's own alpha channel comes
    /// before it.
    pub mask_location: Option<PathBuf>,
    /// Keyframes in a batch, seed frame included: 1 is taken for 2, 0 is the model's own number.
    pub batch_size: usize,
    /// Source frames from one keyframe to the next; at least 1.
    pub keyframe_interval: usize,
    /// Denoising steps; 0: the model's own number.
    pub num_inference_steps: usize,
    /// Classifier-free guidance; 1 is off, 0: the model's own value.
    pub guidance_scale: f64,
    /// How far the edit goes from the source: 0 is the source, 1 the full edit.
    pub strength: f64,
    /// How far a diffused keyframe is held to what the warped edits show of it, 0..=1; -1: the model's own value.
    pub flow_trust: f64,
    /// Bytes that the diffusion may take on its device, weights included; 0: what a card has, on a CPU no limit.
    pub memory_limit: u64,
    /// Random seed.
    pub seed: u64,
    /// Spatial condition.
    pub condition: Condition,
    /// Longer side, in pixels, of the pictures that the model works on.
    pub processing_size: usize,
    /// Diffusion, or the warped edit alone.
    pub propagation: Propagation,
    /// The frames between keyframes.
    pub interpolation: Interpolation,
    /// Colours held to the anchor's.
    pub color_calibration: ColorCalibration,
    /// Where shots begin.
    pub cut_detection: CutDetection,
    /// The pictures show a cut where less than this share of a frame is found in the frame before, 0..1.
    pub cut_threshold: f64,
}

impl Default for EditParameters {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            negative_prompt: String::new(),
            edited_frame: None,
            mask_location: None,
            batch_size: 0,
            keyframe_interval: 4,
            num_inference_steps: 0,
            guidance_scale: 0.0,
            strength: 1.0,
            flow_trust: -1.0,
            memory_limit: 0,
            seed: 0,
            condition: Condition::Auto,
            processing_size: 448,
            propagation: Propagation::Diffusion,
            interpolation: Interpolation::Auto,
            color_calibration: ColorCalibration::On,
            cut_detection: CutDetection::default(),
            cut_threshold: 0.25,
        }
    }
}

/// Keyframes in a batch of a model that says nothing of it (FlowVid section 4.3).
const BATCH_SIZE: usize = 16;

impl EditParameters {
    /// Frames that fill a batch of a stream or, `seeded`, one after a batch before.
    ///
    /// - `own`: the model's own number of keyframes
    pub fn batch_frames(&self, own: Option<usize>, seeded: bool) -> usize {
        let keyframes = if self.batch_size == 0 { own.unwrap_or(BATCH_SIZE) } else { self.batch_size };
        // a keyframe has one before it to be propagated from
        (keyframes.max(2) - 1) * self.keyframe_interval + usize::from(!seeded)
    }

    /// Whether anything is asked for; where not, frames pass unchanged.
    pub fn edits(&self) -> bool {
        !self.prompt.trim().is_empty() || self.edited_frame.is_some()
    }
}

//! Choices of the properties, as GStreamer shows them.

use glib::prelude::*;

use crate::engine;

/// Which engine edits the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidEngine")]
pub enum EngineKind {
    /// The FlowVid method on a model.
    #[default]
    #[enum_value(name = "FlowVid: flow-guided diffusion", nick = "flowvid")]
    FlowVid = 0,
    /// No model: every frame passes unchanged.
    #[enum_value(name = "Identity: frames pass unchanged, no model is loaded", nick = "identity")]
    Identity = 1,
}

/// Which of the model's presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidPreset")]
pub enum Preset {
    /// None.
    #[default]
    #[enum_value(name = "Auto: the model as it is", nick = "auto")]
    Auto = 0,
    /// For files.
    #[enum_value(name = "Quality: all steps, the full autoencoder", nick = "quality")]
    Quality = 1,
    /// Between.
    #[enum_value(name = "Balanced: fewer steps of a distilled model", nick = "balanced")]
    Balanced = 2,
    /// For live streams.
    #[enum_value(name = "Preview: the fewest steps, a small autoencoder, short batches", nick = "preview")]
    Preview = 3,
}

/// Precision in which the diffusion runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidDtype")]
pub enum Dtype {
    /// f16 on a GPU, f32 on a CPU.
    #[default]
    #[enum_value(name = "Auto: f16 on a GPU, f32 on a CPU", nick = "auto")]
    Auto = 0,
    /// Single precision.
    #[enum_value(name = "32-bit float", nick = "f32")]
    F32 = 1,
    /// Half precision; GPU only.
    #[enum_value(name = "16-bit float (GPU)", nick = "f16")]
    F16 = 2,
    /// bfloat16; GPU only.
    #[enum_value(name = "bfloat16 (GPU)", nick = "bf16")]
    Bf16 = 3,
}

/// The spatial condition of the diffusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidCondition")]
pub enum Condition {
    /// What the model was trained with.
    #[default]
    #[enum_value(name = "Auto: what the model was trained with", nick = "auto")]
    Auto = 0,
    /// Canny edges.
    #[enum_value(name = "Canny edges of the source frame", nick = "canny")]
    Canny = 1,
    /// Estimated depth.
    #[enum_value(name = "Depth of the source frame", nick = "depth")]
    Depth = 2,
    /// No condition.
    #[enum_value(name = "No spatial condition", nick = "none")]
    None = 3,
}

/// How the edit reaches the other keyframes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidPropagation")]
pub enum Propagation {
    /// FlowVid.
    #[default]
    #[enum_value(name = "Diffusion conditioned on the warped edit", nick = "diffusion")]
    Diffusion = 0,
    /// Without the network.
    #[enum_value(name = "The warped edit alone, without the diffusion network", nick = "warp")]
    Warp = 1,
}

/// How frames between keyframes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidInterpolation")]
pub enum Interpolation {
    /// What suits the edit.
    #[default]
    #[enum_value(name = "Auto: what suits the edit", nick = "auto")]
    Auto = 0,
    /// Along the source's own motion.
    #[enum_value(name = "Both edited keyframes moved along the source's own flow", nick = "source-flow")]
    SourceFlow = 1,
    /// RIFE.
    #[enum_value(name = "RIFE between the edited keyframes", nick = "rife")]
    Rife = 2,
    /// Repetition.
    #[enum_value(name = "The nearest edited keyframe, repeated", nick = "none")]
    None = 3,
}

/// What a live stream does while the engine is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidOverloadPolicy")]
pub enum OverloadPolicy {
    /// Upstream waits.
    #[default]
    #[enum_value(name = "Block: upstream waits, every frame is edited", nick = "block")]
    Block = 0,
    /// Frames are lost.
    #[enum_value(name = "Drop: the oldest waiting frames are dropped", nick = "drop")]
    Drop = 1,
    /// Frames pass unedited.
    #[enum_value(name = "Bypass: the oldest waiting frames pass unedited", nick = "bypass")]
    Bypass = 2,
}

/// How original and edited are shown together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidCompare")]
pub enum Compare {
    /// The edited picture alone.
    #[default]
    #[enum_value(name = "Off: the edited picture alone", nick = "off")]
    Off = 0,
    /// Two pictures.
    #[enum_value(
        name = "Side by side: the original left, the edited right, twice as wide",
        nick = "side-by-side"
    )]
    SideBySide = 1,
    /// One picture.
    #[enum_value(name = "Wipe: the original left of a line, the edited right of it", nick = "wipe")]
    Wipe = 2,
}

/// What becomes of interlaced frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidInterlaced")]
pub enum Interlaced {
    /// They are refused.
    #[default]
    #[enum_value(name = "Error: they end the stream with an error that names the remedy", nick = "error")]
    Error = 0,
    /// They pass unedited.
    #[enum_value(name = "Bypass: they pass unedited, byte for byte", nick = "bypass")]
    Bypass = 1,
    /// They are edited as if progressive.
    #[enum_value(
        name = "Weave: both fields are edited as one picture, which they are where the source was progressive",
        nick = "weave"
    )]
    Weave = 2,
}

/// What begins a new shot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstFlowVidCutDetection")]
pub enum CutDetection {
    /// Discontinuities.
    #[enum_value(name = "Nothing but a discontinuity of the stream", nick = "off")]
    Off = 0,
    /// Those, and upstream's events.
    #[enum_value(name = "Force-key-unit events, such as those of scenechange", nick = "events")]
    Events = 1,
    /// Those, and the pictures.
    #[default]
    #[enum_value(name = "Auto: such events, and cuts that the pictures show", nick = "auto")]
    Auto = 2,
}

/// The word that the property takes on a command line.
pub fn nick<E: ToValue>(choice: &E) -> String {
    let value = choice.to_value();
    glib::EnumValue::from_value(&value).map(|(_, choice)| choice.nick().to_string()).unwrap_or_default()
}

macro_rules! mirrors {
    ($ours:ident { $($variant:ident),+ }) => {
        impl From<engine::$ours> for $ours {
            fn from(choice: engine::$ours) -> Self {
                match choice { $(engine::$ours::$variant => Self::$variant),+ }
            }
        }
        impl From<$ours> for engine::$ours {
            fn from(choice: $ours) -> Self {
                match choice { $($ours::$variant => Self::$variant),+ }
            }
        }
    };
}

mirrors!(CutDetection { Off, Events, Auto });
mirrors!(Condition { Auto, Canny, Depth, None });
mirrors!(Propagation { Diffusion, Warp });
mirrors!(Interpolation { Auto, SourceFlow, Rife, None });

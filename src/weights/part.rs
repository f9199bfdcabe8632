//! The networks of a model that also come together in one file, or are changed by a LoRA.

/// A network, by its component's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `unet`
    UNet,
    /// `vae`
    Vae,
    /// `text_encoder`
    TextEncoder,
}

impl Part {
    /// The part of that component.
    pub fn of(component: &str) -> Option<Self> {
        match component {
            "unet" => Some(Self::UNet),
            "vae" => Some(Self::Vae),
            "text_encoder" => Some(Self::TextEncoder),
            _ => None,
        }
    }
}

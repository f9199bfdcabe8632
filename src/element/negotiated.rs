//! What input and output have agreed on, and the frames that leave by it.

use std::sync::Arc;

use glib::BoolError;

use super::{
    caps::{self, Format},
    enums::Compare,
    frames::{Comparer, Converter},
    items::InputFrame,
};
use crate::engine::{EditedFrame, Picture};

/// What the source pad was told of.
pub struct Negotiated {
    /// What comes.
    pub input: Arc<Format>,
    /// What downstream is told.
    pub caps: gst::Caps,
    converter: Converter,
    comparer: Option<Comparer>,
}

impl Negotiated {
    /// What `input` becomes among what downstream takes.
    pub fn choose(input: &Arc<Format>, compare: Compare, allowed: &gst::Caps) -> Option<Self> {
        let shown = caps::choose(&input.shown(compare)?, allowed)?;
        let edited = shown.with_width(input.info.width())?;
        let converter = Converter::new(&input.info, &edited.info).ok()?;
        let comparer = match compare {
            Compare::Off => None,
            Compare::SideBySide => Some(Comparer::side_by_side(&edited.info, &shown.info)),
            Compare::Wipe => Some(Comparer::wipe(&edited.info)),
        };
        Some(Self { input: input.clone(), caps: shown.caps, converter, comparer })
    }

    /// What the frame shows.
    ///
    /// # Errors
    /// If it is not of the input's format.
    pub fn picture(&mut self, frame: &InputFrame) -> Result<Picture, BoolError> {
        self.converter.picture(&frame.buffer)
    }

    /// The buffer that leaves for `frame`.
    ///
    /// # Errors
    /// If the frame or the edited picture is of another format or size.
    pub fn output(&mut self, frame: InputFrame, edited: &EditedFrame) -> Result<gst::Buffer, BoolError> {
        let InputFrame { buffer, settings, .. } = frame;
        let Some(picture) = &edited.picture else {
            let unchanged = self.converter.unchanged(buffer)?;
            return match &mut self.comparer {
                Some(both) => both.unchanged(unchanged),
                None => Ok(unchanged),
            };
        };
        let edited = self.converter.edited(picture, &buffer)?;
        match &mut self.comparer {
            Some(both) => {
                let original = self.converter.unchanged(buffer)?;
                both.show(&original, &edited, settings.compare_position)
            }
            None => Ok(edited),
        }
    }
}

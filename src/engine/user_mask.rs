//! `mask-location`: read when the stream begins, and again where the frames have another size.

use std::path::PathBuf;

use tch::Tensor;

use super::{EngineError, pictures::Source, work::Work};
use crate::editors::picture;

/// The mask, and what it was read for.
#[derive(Debug)]
pub struct UserMask {
    file: PathBuf,
    /// `[1, 1, h, w]`, 0..1.
    mask: Tensor,
}

impl UserMask {
    /// The mask that the settings name, for frames like `frame`; `known`: what was read before.
    ///
    /// # Errors
    /// [`EngineError::Settings`] where it cannot be taken, [`EngineError::Cancelled`].
    pub fn current(
        known: Option<Self>,
        work: &mut Work,
        frame: &Source,
    ) -> Result<Option<Self>, EngineError> {
        let Some(file) = &work.parameters.mask_location else { return Ok(None) };
        let size = frame.processing_size();
        let fits = |known: &Self| known.file == *file && known.mask.size()[2..] == [size.0, size.1];
        if known.as_ref().is_some_and(fits) {
            return Ok(known);
        }
        let load = || picture::load_mask(file, frame.video_size(), size, frame.image.device());
        let mask = work.run("edit", load)?.map_err(|error| EngineError::Settings(error.to_string()))?;
        Ok(Some(Self { file: file.clone(), mask }))
    }

    /// `[1, 1, h, w]`, 0..1.
    pub fn mask(&self) -> &Tensor {
        &self.mask
    }
}

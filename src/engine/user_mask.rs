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
        let [.., height, width] = frame.image.size()[..] else { unreachable!("an image is 4-dimensional") };
        if known
            .as_ref()
            .is_some_and(|known| known.file == *file && known.mask.size()[2..] == [height, width])
        {
            return Ok(known);
        }
        let video = (frame.picture.width, frame.picture.height);
        let load = || picture::load_mask(file, video, (height, width), frame.image.device());
        let mask = work.run("edit", load)?.map_err(|error| EngineError::Settings(error.to_string()))?;
        Ok(Some(Self { file: file.clone(), mask }))
    }

    /// `[1, 1, h, w]`, 0..1.
    pub fn mask(&self) -> &Tensor {
        &self.mask
    }
}

//! The first frame of a shot: any image-to-image model, or the user's own picture.

pub mod alignment;
pub mod diffusion;
pub mod looks;
pub mod picture;
pub mod picture_folder;

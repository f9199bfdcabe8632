//! The keyframes of a shot, and an edit of all of them.

use std::path::Path;

use anyhow::{Context, ensure};
use tch::Tensor;

use crate::{
    engine::Row,
    pictures::{self, tensors},
};

/// A shot's keyframes.
pub struct Shot {
    /// `[1, 3, H, W]`, 0..1
    pub keyframes: Vec<Tensor>,
}

impl Shot {
    /// Reads every `interval`th frame of `place`, `FOLDER@FIRST-LAST`.
    ///
    /// # Errors
    /// A place that is none, pictures that cannot be read or are fewer.
    pub fn read(place: &str, interval: usize) -> anyhow::Result<Self> {
        let parts =
            place.rsplit_once('@').and_then(|(folder, frames)| Some((folder, frames.split_once('-')?)));
        let (folder, (first, last)) = parts.with_context(|| format!("{place} is no FOLDER@FIRST-LAST"))?;
        let number = |text: &str| text.parse().with_context(|| format!("`{text}` is no frame's number"));
        let (first, last): (usize, usize) = (number(first)?, number(last)?);
        let files = pictures::files(Path::new(folder))?;
        ensure!(first < last && last < files.len(), "{folder} holds {} frames", files.len());
        let keyframes = files[first..=last].iter().step_by(interval);
        let keyframes = keyframes.map(|file| Ok(tensors::from_image(&pictures::read(file)?)));
        Ok(Self { keyframes: keyframes.collect::<anyhow::Result<_>>()? })
    }
}

/// A shot and what its edit were if somebody had made it of every keyframe, `[1, 3, H, W]` each, 0..1.
pub struct Edited {
    /// The keyframes.
    pub sources: Vec<Tensor>,
    /// Their edits, of which the engine is shown the first.
    pub truth: Vec<Tensor>,
    /// The only pixels that are judged, `[1, 1, H, W]`, true: judged; `None`: all.
    pub judged: Option<Vec<Tensor>>,
}

impl Edited {
    /// Judges the pixels that were not, and no others.
    pub fn judge_the_others(&mut self) {
        self.judged.iter_mut().flatten().for_each(|judged| *judged = judged.logical_not());
    }
}

/// Another method's pictures.
///
/// - `row`: ROW=FOLDER
/// - `case`: shot and look
///
/// # Errors
/// A picture that is missing or of another size.
pub fn other(row: &str, case: &str, edited: &Edited) -> anyhow::Result<Row> {
    let (name, folder) = row.split_once('=').with_context(|| format!("{row} is no ROW=FOLDER"))?;
    let folder = Path::new(folder).join(case.replace(' ', "_"));
    let read = |(number, source): (usize, &Tensor)| {
        let file = folder.join(format!("{number:02}.png"));
        let picture = tensors::from_image(&pictures::read(&file)?);
        ensure!(picture.size() == source.size(), "{} is of another size", file.display());
        Ok(picture)
    };
    let pictures = edited.sources.iter().enumerate().skip(1).map(read).collect::<anyhow::Result<_>>()?;
    Ok((name.to_owned(), pictures))
}

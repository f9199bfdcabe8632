//! How a shot begins: whose edit its first frame gets, and where its proposals come from.

use tch::Tensor;

use super::{
    EditParameters, EngineError,
    composite::Composite,
    pictures::Source,
    propagate::Propagator,
    proposal::Proposer,
    shot::{Edited, Shot},
    tracking::{SourceFrame, matched},
    work::Work,
};

/// What is under way in a stream.
#[derive(Debug, Default)]
pub enum Progress {
    /// No shot: the next frame begins one.
    #[default]
    Nothing,
    /// A shot that nobody said how to edit, until a picture of the user's comes.
    Unedited,
    /// A shot with its edit.
    Edited(Box<Shot>),
}

impl Progress {
    /// Whether the next frame may belong to a shot that has begun.
    pub fn is_under_way(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// Whether a batch with `parameters` can go on with what is under way.
    pub fn fits(&self, parameters: &EditParameters) -> bool {
        match self {
            Self::Nothing => true,
            Self::Unedited => parameters.prompt.trim().is_empty(),
            Self::Edited(shot) => shot.fits(parameters),
        }
    }

    /// An unedited shot gives way to a new one at its first picture: nothing leads from no edit to an edit.
    ///
    /// - `starts`, `pictures`: ascending; a picture behind the first of `starts` is another shot's
    pub fn begin_where_edited(&self, starts: &mut Vec<usize>, pictures: &[usize]) {
        let next_shot = starts.first().copied().unwrap_or(usize::MAX);
        if let (Self::Unedited, Some(&first)) = (self, pictures.first())
            && first < next_shot
        {
            starts.insert(0, first);
        }
    }

    /// The proposer that learned from pictures of the same setting.
    fn into_learned(self, parameters: &EditParameters) -> Option<Proposer> {
        let Self::Edited(shot) = self else { return None };
        let same = shot.parameters.edited_frame == parameters.edited_frame;
        Some(shot.proposer).filter(|proposer| same && matches!(proposer, Proposer::Prior { .. }))
    }
}

/// What the user gave for a shot's beginning.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// A picture of the very first frame.
    pub first: Option<&'a Edited>,
    /// The picture that the first run ends on.
    pub next: Option<&'a Edited>,
    /// Where the first frame is edited, unless its picture says so itself, `[1, 1, h, w]`, 0..1.
    pub mask: Option<&'a Tensor>,
}

/// A shot's first frame is edited: by the user's picture of it, by what a later picture shows of it, by the prompt's
/// look, or by the edit that the pictures before have taught.
///
/// # Errors
/// [`EngineError::Cancelled`].
pub fn shot(
    work: &mut Work,
    first: &Source,
    given: Given,
    before: Progress,
) -> Result<Progress, EngineError> {
    let (parameters, model, source) = (work.parameters, work.model, &first.image);
    let learned = before.into_learned(parameters);
    let ((edit, mask), proposer) = match (given, learned) {
        (Given { first: Some(own), .. }, learned) => {
            let Edited { edit, mask, .. } = own.shallow_clone();
            ((edit, mask), Proposer::taught(learned.as_ref(), own))
        }
        (Given { next: Some(next), .. }, learned) => {
            let proposer = Proposer::taught(learned.as_ref(), next);
            (look_back(work, source, next, &proposer)?, proposer)
        }
        (_, Some(proposer)) if parameters.prompt.trim().is_empty() => {
            work.warnings.push(EDIT_OF_ANOTHER_SHOT.into());
            ((work.run("edit", || proposer.edit(&model.looks, source))?, None), proposer)
        }
        _ if parameters.prompt.trim().is_empty() => {
            work.warnings.extend(parameters.edited_frame.as_ref().map(|_| NO_PICTURE_YET.into()));
            return Ok(Progress::Unedited);
        }
        _ => {
            let (edit, proposer) = prompts_edit(work, first)?;
            ((edit, None), proposer)
        }
    };
    let mask = mask.or_else(|| given.mask.map(Tensor::shallow_clone));
    let edited = Edited { source: source.shallow_clone(), edit, mask, stream_time: first.stream_time };
    Ok(Progress::Edited(Box::new(Shot::begin(&edited, proposer, parameters.clone()))))
}

/// The first frame as the prompt wants it: drawn by the image model, or by the prompt's look, which then proposes what no
/// edit shows.
fn prompts_edit(work: &mut Work, first: &Source) -> Result<(Tensor, Proposer), EngineError> {
    let (model, parameters, source) = (work.model, work.parameters, &first.image);
    if let Some(propagator) = model.propagator.as_ref().filter(|propagator| propagator.is_image_model()) {
        let edit = models_edit(work, propagator, first)?;
        return Ok((edit.shallow_clone(), Proposer::from_edit(source, &edit)));
    }
    let understood = model.looks.understand(&parameters.prompt, &parameters.negative_prompt);
    work.warnings.extend(understood.warnings);
    let (look, strength) = (understood.look, parameters.strength);
    let frozen = model.looks.freeze(&look, source);
    let proposer = Proposer::Look { look, strength, frozen };
    Ok((work.run("edit", || proposer.edit(&model.looks, source))?, proposer))
}

/// The first frame as the image model draws it.
fn models_edit(work: &mut Work, propagator: &Propagator, first: &Source) -> Result<Tensor, EngineError> {
    let (parameters, cancel) = (work.parameters, work.cancel);
    let control = work.control(propagator, &first.image)?;
    work.run("edit", || propagator.edit(&first.image, control, first.stream_time, parameters, cancel))?
}

/// The edit of `source` as far as a picture of a later frame shows it, `[1, 3, h, w]`, the rest proposed; and its mask.
fn look_back(
    work: &mut Work,
    source: &Tensor,
    later: &Edited,
    proposer: &Proposer,
) -> Result<(Tensor, Option<Tensor>), EngineError> {
    let model = work.model;
    let sight = matched(work, &SourceFrame::new(source), &SourceFrame::new(&later.source))?;
    let composite = Composite::of(&[sight.warp(later)]);
    let proposal = work.run("propose", || proposer.propose(&model.looks, source, &composite, None))?;
    Ok((composite.filled(&proposal.edit), composite.mask))
}

const EDIT_OF_ANOTHER_SHOT: &str = "a new shot begins, but edited-frame shows no frame of it: \
    the edit's tone and colours are carried over, its texture and objects are not; \
    set edited-frame to a folder with a picture of each shot, or prompt as well to have such shots edited by it";

const NO_PICTURE_YET: &str = "edited-frame has no picture of this shot's first batch and prompt is empty: the video \
    passes unchanged until the first picture; add one named by the shot's first frame, or set prompt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unedited_shot_gives_way_at_its_first_picture() {
        for (starts, pictures, expected) in [
            (vec![], vec![], vec![]),
            (vec![], vec![3, 5], vec![3]),
            (vec![4], vec![3, 5], vec![3, 4]),
            (vec![2], vec![3], vec![2]),
            (vec![3], vec![3], vec![3]),
        ] {
            let mut found = starts.clone();
            Progress::Unedited.begin_where_edited(&mut found, &pictures);
            assert_eq!(found, expected, "starts {starts:?}, pictures {pictures:?}");
            let mut left = starts.clone();
            Progress::Nothing.begin_where_edited(&mut left, &pictures);
            assert_eq!(left, starts, "an edited shot leads to the picture");
        }
    }
}

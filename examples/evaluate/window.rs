//! The frames of a video that are still needed.

use std::{collections::VecDeque, ops::Index};

use crate::metrics::View;

/// Frames by their numbers: the latest ones, and one that is held.
#[derive(Debug, Default)]
pub struct Window {
    /// Number of the first of `views`.
    first: usize,
    views: VecDeque<View>,
    held: Option<(usize, View)>,
}

impl Window {
    /// The video's next frame.
    pub fn push(&mut self, view: View) {
        self.views.push_back(view);
    }

    /// Keeps `frame`, however long, instead of the one held before.
    pub fn hold(&mut self, frame: usize) {
        self.held = Some((frame, self[frame].shallow_clone()));
    }

    /// Forgets what lies before `frame` and is not held.
    pub fn forget_before(&mut self, frame: usize) {
        let old = frame.saturating_sub(self.first).min(self.views.len());
        self.views.drain(..old);
        self.first += old;
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.views.len() + usize::from(self.held.is_some())
    }
}

impl Index<usize> for Window {
    type Output = View;

    fn index(&self, frame: usize) -> &View {
        match &self.held {
            Some((held, view)) if *held == frame => view,
            _ => &self.views[frame.checked_sub(self.first).expect("a frame that is still there")],
        }
    }
}

//! Where upstream says that a frame is to be edited: its regions of interest of the type `flowvid`.
//!
//! They are of their own frame alone: nothing moves them to another one. A frame without such a region is edited
//! whole; a region of no area keeps its frame as it is.

use std::sync::Arc;

use gst_video::VideoRegionOfInterestMeta;

use super::items::InputFrame;
use crate::engine::{EditedFrame, Frame, Picture, Samples};

/// Type of the regions that are meant for us.
pub const TYPE: &str = "flowvid";

/// Columns and rows of a rectangle, the second of each not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    columns: (usize, usize),
    rows: (usize, usize),
}

impl Region {
    /// What of the meta's rectangle lies in `picture`.
    fn within(picture: &Picture, (x, y, width, height): (u32, u32, u32, u32)) -> Self {
        let clipped = |start: u32, length: u32, most: usize| {
            let end = start.saturating_add(length);
            ((start as usize).min(most), (end as usize).min(most))
        };
        Self { columns: clipped(x, width, picture.width), rows: clipped(y, height, picture.height) }
    }

    fn is_empty(&self) -> bool {
        self.columns.0 >= self.columns.1 || self.rows.0 >= self.rows.1
    }
}

/// The sources and the regions of a batch's frames; `None` for a frame that is edited whole.
#[derive(Debug)]
pub struct Restriction(Vec<Option<(Arc<Picture>, Vec<Region>)>>);

impl Restriction {
    /// - `frames`, `shown`: the same frames, as they came and as pictures
    pub fn of(frames: &[InputFrame], shown: &[Frame]) -> Self {
        let restricted = |(frame, shown): (&InputFrame, &Frame)| {
            let metas = frame.buffer.iter_meta::<VideoRegionOfInterestMeta>();
            let ours: Vec<Region> = metas
                .filter(|meta| meta.roi_type() == TYPE)
                .map(|meta| Region::within(&shown.picture, meta.rect()))
                .collect();
            (!ours.is_empty()).then(|| (shown.picture.clone(), ours))
        };
        Self(frames.iter().zip(shown).map(restricted).collect())
    }

    /// Puts the sources back around the regions.
    pub fn apply(&self, edited: &mut [EditedFrame]) {
        for (edited, restriction) in edited.iter_mut().zip(&self.0) {
            if let (Some(picture), Some((source, regions))) = (&mut edited.picture, restriction) {
                if regions.iter().all(Region::is_empty) {
                    edited.picture = None;
                } else {
                    restore(picture, source, regions);
                }
            }
        }
    }
}

fn restore(picture: &mut Picture, source: &Picture, regions: &[Region]) {
    match (&mut picture.samples, &source.samples) {
        (Samples::U8(edited), Samples::U8(source)) => restore_samples(edited, source, picture.width, regions),
        (Samples::U16(edited), Samples::U16(source)) => {
            restore_samples(edited, source, picture.width, regions)
        }
        _ => unreachable!("an engine gives as many bits as it got"),
    }
}

fn restore_samples<S: Copy>(edited: &mut [S], source: &[S], width: usize, regions: &[Region]) {
    let rows = edited.chunks_exact_mut(3 * width).zip(source.chunks_exact(3 * width));
    for (y, (edited, source)) in rows.enumerate() {
        let crossing = || regions.iter().filter(|region| (region.rows.0..region.rows.1).contains(&y));
        let pixels = edited.chunks_exact_mut(3).zip(source.chunks_exact(3));
        for (x, (edited, source)) in pixels.enumerate() {
            if !crossing().any(|region| (region.columns.0..region.columns.1).contains(&x)) {
                edited.copy_from_slice(source);
            }
        }
    }
}

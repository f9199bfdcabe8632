//! The engine's own proposals and results for an edit that it is shown one picture of.

use std::time::Duration;

use anyhow::Context;
use gstflowvid::{
    engine::{Composed, CutDetection, EditParameters, EditedBatch, Frame, Propagation, Workbench},
    torch::Placement,
    weights::ModelFolder,
};
use tch::{Kind, Tensor};

use crate::{
    pictures::{self, tensors},
    shot::Edited,
};

/// A row's name and its picture of each keyframe but the first, `[1, 3, H, W]`, 0..1.
pub type Row = (String, Vec<Tensor>);

/// What is judged of a case.
pub struct Rows {
    pub pictures: Vec<Row>,
    /// Where no warped edit sees a keyframe, `[1, 1, H, W]`, true: a hole.
    pub holes: Vec<Tensor>,
    /// Seconds that the proposal of a keyframe takes.
    pub seconds: f64,
}

/// Carries edits through shots.
pub struct Carrier {
    workbench: Workbench,
}

/// What became of a shot.
struct Carried {
    composed: Vec<Composed>,
    results: Vec<Tensor>,
    proposing: Duration,
}

/// Frames of 24 a second, nanoseconds.
const FRAME: u64 = 1_000_000_000 / 24;
/// Below this confidence a pixel is a hole.
const SEEN: f64 = 0.5;

impl Carrier {
    /// # Errors
    /// As [`Workbench::load`].
    pub fn load(folder: &ModelFolder, placement: Placement) -> anyhow::Result<Self> {
        Ok(Self { workbench: Workbench::load(folder, placement)? })
    }

    /// All rows that the engine and simple arithmetic give.
    ///
    /// # Errors
    /// What the engine could not do.
    pub fn rows(&mut self, edited: &Edited) -> anyhow::Result<Rows> {
        let warp = self.carry(edited, Propagation::Warp)?;
        let diffusion = self.carry(edited, Propagation::Diffusion)?;
        let host = |tensor: &Tensor| tensor.to_device(tch::Device::Cpu);
        let priors = warp.composed.iter().map(|composed| composed.prior.as_ref().map(host));
        let priors = priors.collect::<Option<_>>().context("an edit by picture has a prior")?;
        let pictures = vec![
            ("source".into(), edited.sources[1..].iter().map(host).collect()),
            ("source, edit's colours".into(), with_edits_colours(edited)),
            ("prior".into(), priors),
            ("proposal".into(), warp.composed.iter().map(|composed| host(&composed.proposal)).collect()),
            ("warp".into(), warp.results),
            ("diffusion".into(), diffusion.results),
        ];
        let holes = warp.composed.iter().map(|composed| host(&composed.confidence).lt(SEEN)).collect();
        let seconds = warp.proposing.as_secs_f64() / warp.composed.len() as f64;
        Ok(Rows { pictures, holes, seconds })
    }

    /// Only keyframes are given: what lies between them changes none of them.
    fn carry(&mut self, edited: &Edited, propagation: Propagation) -> anyhow::Result<Carried> {
        let folder = tempfile::tempdir()?;
        let picture = folder.path().join("first.png");
        tensors::to_image(&edited.truth[0]).save(&picture)?;
        let parameters = EditParameters {
            edited_frame: Some(picture),
            propagation,
            keyframe_interval: 1,
            cut_detection: CutDetection::Off,
            ..Default::default()
        };
        self.workbench.reset();
        let frames: Vec<Frame> = edited.sources.iter().enumerate().map(frame).collect();
        let mut carried = Carried { composed: vec![], results: vec![], proposing: Duration::ZERO };
        let mut done = 0;
        while done < frames.len() {
            let end = frames.len().min(done + self.workbench.batch_frames(&parameters));
            let (batch, composed) = self.workbench.process(&frames[done..end], &parameters)?;
            carried.proposing += proposing(&batch);
            carried.composed.extend(composed);
            let pictures = batch.frames.iter().filter_map(|frame| frame.picture.as_ref());
            carried.results.extend(pictures.map(tensors::from_picture));
            done = end;
        }
        carried.results = carried.results.split_off(1);
        Ok(carried)
    }
}

fn frame((index, source): (usize, &Tensor)) -> Frame {
    pictures::frame_of(tensors::to_image(source), 4 * FRAME * index as u64)
}

fn proposing(batch: &EditedBatch) -> Duration {
    batch.timings.iter().filter(|(stage, _)| *stage == "propose").map(|(_, took)| *took).sum()
}

/// Each source with the gain and offset a channel that bring the first one to its edit's mean and deviation.
fn with_edits_colours(edited: &Edited) -> Vec<Tensor> {
    let mean = |picture: &Tensor| picture.mean_dim([2, 3].as_slice(), true, Kind::Float);
    let deviation = |picture: &Tensor| picture.std_dim([2, 3].as_slice(), true, true);
    let (source, edit) = (&edited.sources[0], &edited.truth[0]);
    let gain = deviation(edit) / deviation(source).clamp_min(1e-3);
    let matched = |frame: &Tensor| ((frame - mean(source)) * &gain + mean(edit)).clamp(0.0, 1.0);
    edited.sources[1..].iter().map(matched).collect()
}

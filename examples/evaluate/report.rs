//! What was measured, as JSON, as a table and in a few sentences.

use std::{
    fmt::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use crate::{
    clip::Scores,
    metrics::{FrameSums, Measures, Meter},
};

/// What the videos are called, in the order in which they are measured.
const NAMES: [&str; 3] = ["source", "result", "truth"];

/// Of a picture, in pixels.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Size {
    pub width: i64,
    pub height: i64,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// What was compared, and how.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub files: Vec<PathBuf>,
    pub video_size: Size,
    /// At which motion and differences were taken.
    pub working_size: Size,
    /// The first frame of each shot but the first.
    pub cuts: Vec<usize>,
    /// The first frame of each batch but the first.
    pub batches: Vec<usize>,
}

/// A figure's name, and how to find it.
type Row = (&'static str, fn(&VideoReport) -> Option<f64>);

/// Everything.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub facts: Facts,
    pub frames: usize,
    pub videos: Vec<VideoReport>,
}

/// One video's figures.
#[derive(Debug, Serialize)]
pub struct VideoReport {
    pub name: &'static str,
    #[serde(flatten)]
    pub measures: Measures,
    #[serde(flatten)]
    pub scores: Option<Scores>,
    pub course: Course,
}

/// Figures frame by frame; null where a frame cannot tell, or is not looked at.
#[derive(Debug, Serialize)]
pub struct Course {
    pub near: Vec<Option<f64>>,
    pub far: Vec<Option<f64>>,
    pub anchor: Vec<Option<f64>>,
    pub flicker: Vec<Option<f64>>,
    /// Red, green, blue: the difference from the shot's first frame with its sign, that drift is told from.
    pub colour: [Vec<Option<f64>>; 3],
    pub sharpness: Vec<Option<f64>>,
    pub edit: Vec<Option<f64>>,
}

impl Course {
    fn of(meter: &Meter) -> Self {
        let of = |part: &dyn Fn(&FrameSums) -> Option<f64>| meter.frames.iter().map(part).collect::<Vec<_>>();
        Self {
            near: of(&|frame| frame.near.value()),
            far: of(&|frame| frame.far.value()),
            anchor: of(&|frame| frame.anchor.value()),
            flicker: of(&|frame| frame.flicker()),
            colour: [0, 1, 2].map(|channel| of(&|frame| frame.colour[channel].value())),
            sharpness: of(&|frame| frame.sharp.value()),
            edit: of(&|frame| frame.edit.value()),
        }
    }
}

impl Report {
    /// - `meters`, `scores`: of the source, the result and, where there is one, the truth
    pub fn new(facts: Facts, meters: &[Meter], scores: Option<Vec<Scores>>) -> Self {
        let video = |(index, meter): (usize, &Meter)| VideoReport {
            name: NAMES[index],
            measures: Measures::of(meter, &meters[0], meters.get(2), &facts.batches),
            scores: scores.as_ref().map(|scores| scores[index]),
            course: Course::of(meter),
        };
        let videos = meters.iter().enumerate().map(video).collect();
        Self { facts, frames: meters[0].frames.len(), videos }
    }

    /// In Markdown; a measure that nothing is known of is left out.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n\n", self.what_was_measured());
        let cells = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let names = self.videos.iter().map(|video| video.name.to_owned());
        text += &cells([String::new()].into_iter().chain(names).collect());
        text += &cells(vec!["---".into(); 1 + self.videos.len()]);
        for (name, value) in self.rows() {
            let values: Vec<Option<f64>> = self.videos.iter().map(value).collect();
            if values.iter().any(Option::is_some) {
                let number = |value: &Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
                text += &cells([name.to_owned()].into_iter().chain(values.iter().map(number)).collect());
            }
        }
        text + "\n" + ADVICE
    }

    fn rows(&self) -> Vec<Row> {
        let has_truth = self.videos.len() > 2;
        let redrawn = if has_truth {
            "sharpness of re-drawn areas, over the truth's"
        } else {
            "sharpness of re-drawn areas, over seen areas'"
        };
        vec![
            ("warp error, 1 frame apart (0..255)", |video| video.measures.near),
            ("warp error, 16 frames apart (0..255)", |video| video.measures.far),
            ("warp error, to the shot's first frame (0..255)", |video| video.measures.anchor),
            ("flicker, over the fine detail", |video| video.measures.flicker),
            ("drift of colours in 100 frames (0..255)", |video| video.measures.drift),
            ("edit: difference from the source (0..255)", |video| video.measures.edit),
            ("edit, over the truth's", |video| video.measures.edit_over_truth),
            (redrawn, |video| video.measures.redrawn),
            ("sharpness held, last quarter over first", |video| video.measures.held),
            ("seam around re-drawn areas (1: none)", |video| video.measures.seam),
            ("jump where a batch begins (1: none)", |video| video.measures.batch_seam),
            ("Tem-Con", |video| video.scores?.tem_con),
            ("Pro-Ali", |video| video.scores?.pro_ali),
        ]
    }

    fn what_was_measured(&self) -> String {
        let numbers = |numbers: &[usize]| {
            let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
            if numbers.is_empty() { "none".into() } else { numbers.join(", ") }
        };
        format!(
            "{} frames of {}, measured at {}; cuts at: {}",
            self.frames,
            self.facts.video_size,
            self.facts.working_size,
            numbers(&self.facts.cuts)
        )
    }

    /// The result beside the source, in words for somebody who knows no measure.
    pub fn brief(&self) -> String {
        let (source, result) = (&self.videos[0].measures, &self.videos[1].measures);
        let (frames, size) = (self.frames, self.facts.working_size);
        let mut text = format!("measured on the first {frames} frames at {size}, colours from 0 to 255:\n");
        let lines = [
            ("from frame to frame what is seen changes by", result.near, source.near, 1),
            ("since the first frame it has changed by", result.anchor, source.anchor, 1),
            ("flicker, as a share of the fine detail,", result.flicker, source.flicker, 2),
        ];
        for (what, result, source, digits) in lines {
            if let (Some(result), Some(source)) = (result, source) {
                let _ = writeln!(text, "  {what} {result:.digits$} (in the clip itself {source:.digits$})");
            }
        }
        if let Some(edit) = result.edit {
            let _ = writeln!(text, "  the edit changes the clip by {edit:.1}");
        }
        text
    }
}

/// Below the table.
const ADVICE: &str = "No figure is a score by itself. Blur lowers the warp errors, and shows in the sharpness; an unedited \
video holds as well as its source, and has no edit; a frozen one is sharp, and has large warp errors.\n";

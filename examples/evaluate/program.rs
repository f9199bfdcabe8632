//! The command line, and the way from videos to a report.

use std::{fs, path::PathBuf, str::FromStr};

use anyhow::{Context, ensure};
use clap::Parser;
use gstflowvid::{
    conditions::{flow::FlowEstimator, gmflow::GmFlow},
    torch::Placement,
    weights::{ModelFolder, load, search_path},
};
use tch::Tensor;

use crate::{
    clip::Scorer,
    evaluation::{Cuts, Evaluation, working_size},
    metrics::Estimator,
    pictures::tensors,
    plot,
    report::{Facts, Report, Size},
    video::{Together, Video},
};

#[derive(Parser)]
struct Arguments {
    /// The video that was edited
    source: PathBuf,
    /// What became of it
    result: PathBuf,
    /// What a perfect result were, such as the edit computed for each frame alone
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Longer side of the pictures that are compared, pixels
    #[arg(long, default_value_t = 448)]
    size: usize,
    /// Measures no more than this many frames, from the first
    #[arg(long)]
    frames: Option<usize>,
    /// First frame of each batch but the first, with commas between: 61,121
    #[arg(long, default_value = "")]
    batch_frames: Numbers,
    /// First frame of each shot but the first; an empty text where there is one shot. Otherwise cuts are detected
    #[arg(long)]
    cuts: Option<Numbers>,
    /// Folder of a CLIP model as transformers lays it out: adds Tem-Con and, with a prompt, Pro-Ali
    #[arg(long)]
    clip: Option<PathBuf>,
    /// What the video should look like, for Pro-Ali
    #[arg(long, requires = "clip")]
    prompt: Option<String>,
    /// Writes every figure, with its course over the frames, into this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draws the courses into this SVG
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Prints a few sentences instead of the table
    #[arg(long)]
    brief: bool,
}

/// Whole numbers with commas between.
#[derive(Debug, Clone, Default)]
struct Numbers(Vec<usize>);

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let numbers = parts.map(|part| part.parse().map_err(|_| format!("`{part}` is no frame's number")));
        Ok(Self(numbers.collect::<Result<_, _>>()?))
    }
}

/// Measures, writes what was asked for, and prints.
pub fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    gst::init()?;
    let _no_grad = tch::no_grad_guard();
    let report = evaluate(&arguments)?;
    if let Some(file) = &arguments.json {
        write(file, &serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(file) = &arguments.plot {
        write(file, &plot::svg(&report))?;
    }
    print!("{}", if arguments.brief { report.brief() } else { report.table() });
    Ok(())
}

fn write(file: &PathBuf, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

fn evaluate(arguments: &Arguments) -> anyhow::Result<Report> {
    let files = [&arguments.source, &arguments.result].into_iter().chain(&arguments.truth);
    let files: Vec<PathBuf> = files.cloned().collect();
    let videos = files.iter().map(|file| Video::open(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let folder = ModelFolder::find("nano", &search_path(None))?;
    let flow = FlowEstimator::new(load(&folder.component("flow")?, Placement::cpu(), GmFlow::new)?);
    let mut estimator = Estimator::new(&flow);
    let scorer = arguments.clip.as_ref().map(|folder| Scorer::open(folder, arguments.prompt.as_deref()));
    let scorer = scorer.transpose()?;

    let mut frames = Together::new(videos).take(arguments.frames.unwrap_or(usize::MAX)).peekable();
    let Some(Ok(first)) = frames.peek() else {
        frames.next().transpose()?;
        anyhow::bail!("{} holds no frame", arguments.source.display());
    };
    let video_size = Size { width: first[0].width().into(), height: first[0].height().into() };
    let size = working_size((video_size.height, video_size.width), arguments.size);
    let cuts = arguments.cuts.as_ref().map_or_else(Cuts::detected, |cuts| Cuts::told(cuts.0.clone()));
    let mut evaluation =
        Evaluation::new(files.len(), size, cuts, |frame, other| estimator.pair(frame, other));
    let mut features: Vec<Vec<Tensor>> = files.iter().map(|_| vec![]).collect();
    for pictures in frames {
        let pictures = pictures?;
        evaluation.push(&pictures.iter().map(tensors::from_image).collect::<Vec<_>>());
        for (features, picture) in features.iter_mut().zip(&pictures) {
            features.extend(scorer.as_ref().map(|scorer| scorer.features(picture)));
        }
    }
    let (meters, cuts) = evaluation.finish();
    let batches = arguments.batch_frames.0.clone();
    let last = meters[0].frames.len() - 1;
    ensure!(batches.iter().all(|&batch| batch <= last), "--batch-frames: the last frame is {last}");
    let working_size = Size { width: size.1, height: size.0 };
    let facts = Facts { files, video_size, working_size, cuts, batches };
    let scores = scorer.map(|scorer| features.iter().map(|video| scorer.score(video, &facts.cuts)).collect());
    Ok(Report::new(facts, &meters, scores))
}

#[cfg(test)]
#[path = "tests.rs"] // also where this file is read from elsewhere
mod tests;

//! Diffusion's honest place: how well `propagation=diffusion` and `propagation=warp` carry an edit through a
//! folder of pictures without a cut, beside the source itself and the look computed for each frame alone.
//!
//! ```sh
//! make bench
//! cargo run --release --example compare_propagation -- FOLDER --prompt "a pencil sketch" --picture "an oil painting"
//! cargo run --release --example compare_propagation -- FOLDER --every-look
//! ```
//! The last column names the targets that the diffused video misses.

#[path = "../metrics/mod.rs"]
mod metrics;
#[path = "../pictures/mod.rs"]
mod pictures;
mod targets;

use std::{fs, path::PathBuf};

use clap::Parser;
use gstflowvid::{
    conditions::{flow::FlowEstimator, gmflow::GmFlow},
    editors::looks::Looks,
    engine::{CancelToken, EditParameters, Frame, ModelRequest, Propagation, open},
    torch::Placement,
    weights::{ModelFolder, load, search_path},
};
use metrics::{Estimator, Measures, Meter, MotionFinder, Sights, View, views};
use pictures::tensors;
use targets::Targets;
use tch::Tensor;

#[derive(Parser)]
struct Arguments {
    /// Folder of pictures of one size, one shot
    frames: PathBuf,
    /// What the video should look like; may be given several times
    #[arg(long)]
    prompt: Vec<String>,
    /// The same, but only the first frame is edited so, and given as `edited-frame`: a picture that nobody
    /// can compute again
    #[arg(long)]
    picture: Vec<String>,
    /// Every look of the model, each by its name
    #[arg(long)]
    every_look: bool,
    /// Number of the first picture
    #[arg(long, default_value_t = 0)]
    from: usize,
    /// Pictures compared
    #[arg(long, default_value_t = 81)]
    count: usize,
    /// Also writes every video's frames into this folder
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The clip, and what is known of it before anything is edited.
struct Clip {
    frames: Vec<Frame>,
    sources: Vec<Tensor>,
    views: Vec<View>,
    sights: Vec<Sights>,
    source: Meter,
    looks: Looks,
    out: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _no_grad = tch::no_grad_guard();
    let clip = Clip::open(&arguments)?;
    println!(
        "{} frames; errors in 0..255 along the source's motion, on pixels that both frames show;",
        clip.frames.len()
    );
    println!(
        "sharpness, seam and edit over those of the look computed for each frame with the first one's statistics.\n"
    );
    println!(
        "| edit | video | 1 apart | 16 apart | to the first | flicker | drift | sharpness re-drawn | held | seam | edit | missed |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for prompt in arguments.prompts(&clip.looks) {
        clip.compare(&prompt, &EditParameters { prompt: prompt.clone(), ..Default::default() })?;
    }
    for look in &arguments.picture {
        let file = std::env::temp_dir().join(format!("compare_propagation-{}.png", std::process::id()));
        tensors::to_image(&clip.look_per_frame(look, false)[0]).save(&file)?;
        let parameters = EditParameters { edited_frame: Some(file.clone()), ..Default::default() };
        let compared = clip.compare(&format!("picture: {look}"), &parameters);
        fs::remove_file(&file)?;
        compared?;
    }
    Ok(())
}

impl Arguments {
    fn prompts(&self, looks: &Looks) -> Vec<String> {
        let every = looks.names().filter(|_| self.every_look).map(String::from);
        let none_asked = self.prompt.is_empty() && self.picture.is_empty() && !self.every_look;
        let usual = none_asked.then(|| "a pencil sketch".to_owned());
        self.prompt.iter().cloned().chain(every).chain(usual).collect()
    }
}

impl Clip {
    fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let files =
            pictures::files(&arguments.frames)?.into_iter().skip(arguments.from).take(arguments.count);
        let frames = pictures::frames(&files.collect::<Vec<_>>())?;
        let sources: Vec<Tensor> = frames.iter().map(|frame| tensors::from_picture(&frame.picture)).collect();
        let folder = ModelFolder::find("nano", &search_path(None))?;
        let flow = FlowEstimator::new(load(&folder.component("flow")?, Placement::cpu(), GmFlow::new)?);
        let views = views(&sources);
        let mut estimator = Estimator::new(&flow);
        let finder = MotionFinder::new(|frame, other| estimator.pair(frame, other));
        let sights = finder.whole(&views, views.len());
        let source = Meter::of(&sights, &views, &views);
        let looks = Looks::load(&folder, Placement::cpu())?;
        Ok(Self { frames, sources, views, sights, source, looks, out: arguments.out.clone() })
    }

    /// One row a video.
    fn compare(&self, name: &str, parameters: &EditParameters) -> anyhow::Result<()> {
        let prompt = name.trim_start_matches("picture: ");
        let painterly = self.looks.is_painterly(&self.looks.understand(prompt, "").look);
        let look = self.look_per_frame(prompt, false);
        // A painterly network paints another scene in other colours: what is to be carried is the first frame's way.
        let truth =
            if painterly { self.meter(&self.look_per_frame(prompt, true)) } else { self.meter(&look) };
        let measure = |video: &[Tensor]| Measures::of(&self.meter(video), &self.source, Some(&truth), &[]);
        let carried = |propagation| edit(&self.frames, &EditParameters { propagation, ..parameters.clone() });
        let (warp, diffusion) = (carried(Propagation::Warp)?, carried(Propagation::Diffusion)?);
        let (per_frame, warped, diffused) = (measure(&look), measure(&warp), measure(&diffusion));
        let missed = Targets { painterly, per_frame: &per_frame, warp: &warped }.missed(&diffused);
        self.print_row(name, ("source", &self.sources), &measure(&self.sources), &[])?;
        self.print_row(name, ("look per frame", &look), &per_frame, &[])?;
        self.print_row(name, ("warp", &warp), &warped, &[])?;
        self.print_row(name, ("diffusion", &diffusion), &diffused, &missed)
    }

    /// In eight bits, as a video has it: rounding is a step from frame to frame, too.
    ///
    /// - `frozen`: with the first frame's statistics, not each frame's own
    fn look_per_frame(&self, prompt: &str, frozen: bool) -> Vec<Tensor> {
        let look = self.looks.understand(prompt, "").look;
        let frozen = frozen.then(|| self.looks.freeze(&look, &self.sources[0]));
        let frozen = frozen.as_ref();
        let rounded = |picture: Tensor| tensors::from_image(&tensors::to_image(&picture));
        self.sources.iter().map(|source| rounded(self.looks.apply(&look, source, 1.0, frozen))).collect()
    }

    fn meter(&self, video: &[Tensor]) -> Meter {
        Meter::of(&self.sights, &self.views, &views(video))
    }

    fn print_row(
        &self,
        edit: &str,
        (name, video): (&str, &[Tensor]),
        measures: &Measures,
        missed: &[String],
    ) -> anyhow::Result<()> {
        let Measures { near, far, anchor, flicker, drift, redrawn, held, seam, edit_over_truth, .. } =
            measures;
        let cell = |value: &Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
        let cells = [near, far, anchor, flicker, drift, redrawn, held, seam, edit_over_truth];
        println!("| {edit} | {name} | {} | {} |", cells.map(cell).join(" | "), missed.join(", "));
        let Some(out) = &self.out else { return Ok(()) };
        let folder = out.join(format!("{edit} {name}").replace([':', ' '], "_"));
        fs::create_dir_all(&folder)?;
        for (number, frame) in video.iter().enumerate() {
            tensors::to_image(frame).save(folder.join(format!("{number:04}.png")))?;
        }
        Ok(())
    }
}

fn edit(frames: &[Frame], parameters: &EditParameters) -> anyhow::Result<Vec<Tensor>> {
    let request = ModelRequest::FlowVid {
        model: "nano".into(),
        preset: "auto".into(),
        device: "auto".into(),
        dtype: "auto".into(),
        plugin_folder: None,
    };
    let cancel = CancelToken::new();
    let mut engine = open(&request, &cancel)?;
    let mut edited = Vec::with_capacity(frames.len());
    while edited.len() < frames.len() {
        let end = frames.len().min(edited.len() + engine.batch_frames(parameters));
        let batch = engine.process(frames[edited.len()..end].to_vec(), parameters, &cancel)?;
        edited.extend(
            batch.frames.iter().filter_map(|frame| frame.picture.as_ref()).map(tensors::from_picture),
        );
    }
    Ok(edited)
}

//! Diffusion's honest place against `propagation=warp`: how steadily each carries an edit along the source's
//! motion, on a folder of pictures.
//!
//! ```sh
//! make bench
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::Parser;
use gstflowvid::{
    conditions::{
        filters::{luma, scharr},
        flow::FlowEstimator,
        gmflow::GmFlow,
        occlusion::{Thresholds, confidence},
        warp::{Border, Sampling, warp},
    },
    engine::{CancelToken, EditParameters, Frame, ModelRequest, Picture, Propagation, Samples, open},
    torch::Placement,
    weights::{ModelFolder, load, search_path},
};
use tch::{Kind, Tensor};

#[derive(Parser)]
struct Arguments {
    /// Folder of pictures of one size; the first two batches are used
    frames: PathBuf,
    /// What the video should look like
    #[arg(long, default_value = "a pencil sketch")]
    prompt: String,
    /// Pictures compared
    #[arg(long, default_value_t = 81)]
    count: usize,
}

/// Pixels seen with more confidence than this are compared.
const SEEN: f64 = 0.9;
const DISTANCES: [usize; 2] = [1, 16];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let frames = frames(&arguments.frames, arguments.count)?;
    let sources: Vec<Tensor> = frames.iter().map(|frame| image(&frame.picture)).collect();
    let folder = ModelFolder::find("nano", &search_path(None))?;
    let gmflow = load(&folder.component("flow")?, Placement::cpu(), GmFlow::new)?;
    let (flow, _no_grad) = (FlowEstimator::new(gmflow), tch::no_grad_guard());
    println!(
        "\"{}\", {} frames: mean absolute difference (0-255) along the source's motion,",
        arguments.prompt,
        frames.len()
    );
    println!("on pixels that both frames show; edges: mean gradient, which blur would lower\n");
    println!("| | 1 frame apart | 16 frames apart | edges |\n|---|---|---|---|");
    print_row("source", &flow, &sources, &sources);
    for (name, propagation) in [("warp", Propagation::Warp), ("diffusion", Propagation::Diffusion)] {
        let edited = edit(&frames, &arguments.prompt, propagation)?;
        print_row(name, &flow, &sources, &edited);
    }
    Ok(())
}

fn print_row(name: &str, flow: &FlowEstimator, sources: &[Tensor], pictures: &[Tensor]) {
    let [near, far] = DISTANCES.map(|distance| warp_error(flow, sources, pictures, distance));
    let edges = pictures.iter().map(gradient).sum::<f64>() / pictures.len() as f64;
    println!("| {name} | {near:.2} | {far:.2} | {edges:.2} |");
}

/// Every few frames, against the frame `distance` before.
fn warp_error(flow: &FlowEstimator, sources: &[Tensor], pictures: &[Tensor], distance: usize) -> f64 {
    let step = distance.div_ceil(4).max(1) * 2;
    let pairs = (distance..pictures.len()).step_by(step);
    let errors: Vec<f64> = pairs
        .map(|index| {
            let (now, then) = (&sources[index], &sources[index - distance]);
            let pair = if distance == 1 { flow.near(now, then) } else { flow.far(now, then) };
            let seen = confidence(&pair.to, &pair.from, now, then, &Thresholds::default()).gt(SEEN);
            let carried = warp(&pictures[index - distance], &pair.to, Sampling::Bilinear, Border::Replicate);
            let error =
                (&pictures[index] - carried).abs().mean_dim([1].as_slice(), true, Kind::Float) * 255.0;
            let total = seen.to_kind(Kind::Float).sum(Kind::Float).clamp_min(1.0);
            ((error * seen.to_kind(Kind::Float)).sum(Kind::Float) / total).double_value(&[])
        })
        .collect();
    errors.iter().sum::<f64>() / errors.len().max(1) as f64
}

fn gradient(picture: &Tensor) -> f64 {
    let (x, y) = scharr(&luma(picture));
    x.hypot(&y).mean(Kind::Float).double_value(&[]) * 255.0
}

fn edit(frames: &[Frame], prompt: &str, propagation: Propagation) -> anyhow::Result<Vec<Tensor>> {
    let request = ModelRequest::FlowVid {
        model: "nano".into(),
        device: "auto".into(),
        dtype: "auto".into(),
        plugin_folder: None,
    };
    let parameters = EditParameters { prompt: prompt.into(), propagation, ..Default::default() };
    let cancel = CancelToken::new();
    let mut engine = open(&request, &cancel)?;
    let mut edited = Vec::with_capacity(frames.len());
    while edited.len() < frames.len() {
        let end = frames.len().min(edited.len() + engine.batch_frames(&parameters));
        let batch = engine.process(frames[edited.len()..end].to_vec(), &parameters, &cancel)?;
        edited.extend(batch.frames.iter().filter_map(|frame| frame.picture.as_ref()).map(image));
    }
    Ok(edited)
}

/// `[1, 3, H, W]`, 0..1.
fn image(picture: &Picture) -> Tensor {
    let Samples::U8(samples) = &picture.samples else { unreachable!("eight bits went in") };
    let rows = Tensor::from_slice(samples).view([picture.height as i64, picture.width as i64, 3]);
    rows.permute([2, 0, 1]).unsqueeze(0).to_kind(Kind::Float).contiguous() / 255.0
}

fn frames(folder: &Path, count: usize) -> anyhow::Result<Vec<Frame>> {
    let mut files =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    let frame = |(index, file): (usize, PathBuf)| {
        let image =
            image::open(&file).with_context(|| format!("{} is no picture", file.display()))?.into_rgb8();
        let (width, height) = (image.width() as usize, image.height() as usize);
        let picture = Arc::new(Picture { width, height, samples: Samples::U8(image.into_raw()) });
        Ok(Frame { picture, stream_time: index as u64 * 40_000_000, starts_shot: false })
    };
    files.into_iter().take(count).enumerate().map(frame).collect()
}

//! Edits a folder of pictures, frame after frame, with the engine alone: no GStreamer.
//!
//! ```sh
//! cargo run --release --example edit_pictures -- --prompt "pencil sketch" frames/ edited/
//! ```

mod pictures;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Parser;
use gstflowvid::engine::{
    CancelToken, EditParameters, EditedFrame, Frame, ModelRequest, Pace, Picture, Propagation, Samples, open,
};

/// Edits a folder of pictures as the frames of a video.
#[derive(Parser)]
struct Arguments {
    /// Folder of pictures of one size; they are taken in the order of their names.
    input: PathBuf,
    /// Folder for the edited ones, under the same names.
    output: PathBuf,
    /// What the video should look like.
    #[arg(long, default_value = "")]
    prompt: String,
    /// The first picture, edited; or a folder of edited pictures, named by their times in seconds.
    #[arg(long)]
    edited_frame: Option<PathBuf>,
    /// Name or folder of the model.
    #[arg(long, default_value = "nano")]
    model: String,
    /// One of the model's presets.
    #[arg(long, default_value = "auto")]
    preset: String,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Leave the diffusion out.
    #[arg(long)]
    warp: bool,
    /// Frames a second of the video; with the seed they decide the noise.
    #[arg(long, default_value_t = 25.0)]
    rate: f64,
}

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    let arguments = Arguments::parse();
    let cancel = CancelToken::new();
    let mut engine = open(&request(&arguments), &cancel)?;
    let parameters = parameters(&arguments);
    let files = pictures::files(&arguments.input)?;
    fs::create_dir_all(&arguments.output)?;
    let mut done = 0;
    while done < files.len() {
        let frame_time = 1e9 / arguments.rate;
        let pace =
            Pace { first: (done as f64 * frame_time).round() as u64, frame: frame_time.round() as u64 };
        let wanted = engine.batch_frames_at(&parameters, pace);
        let batch = &files[done..files.len().min(done + wanted)];
        let frames = batch.iter().enumerate().map(|(index, file)| frame(file, done + index, arguments.rate));
        let frames = frames.collect::<Fallible<Vec<_>>>()?;
        let begun = Instant::now();
        let edited = engine.process(frames.clone(), &parameters, &cancel)?;
        report(batch.len(), begun, &edited.timings, &edited.warnings);
        for ((file, frame), edited) in batch.iter().zip(&frames).zip(edited.frames) {
            save(&arguments.output.join(file.file_name().unwrap_or_default()), frame, edited)?;
        }
        done += batch.len();
    }
    Ok(())
}

fn request(arguments: &Arguments) -> ModelRequest {
    ModelRequest::FlowVid {
        model: arguments.model.clone(),
        preset: arguments.preset.clone(),
        device: arguments.device.clone(),
        dtype: "auto".into(),
        plugin_folder: None,
    }
}

fn parameters(arguments: &Arguments) -> EditParameters {
    EditParameters {
        prompt: arguments.prompt.clone(),
        edited_frame: arguments.edited_frame.clone(),
        propagation: if arguments.warp { Propagation::Warp } else { Propagation::Diffusion },
        ..Default::default()
    }
}

fn frame(file: &Path, index: usize, rate: f64) -> Fallible<Frame> {
    Ok(pictures::frame(file, (index as f64 / rate * 1e9).round() as u64)?)
}

fn save(file: &Path, frame: &Frame, edited: EditedFrame) -> Fallible<()> {
    let picture = edited.picture.unwrap_or_else(|| Picture::clone(&frame.picture));
    let Samples::U8(samples) = picture.samples else { return Err("eight bits went in".into()) };
    image::save_buffer(file, &samples, picture.width as u32, picture.height as u32, image::ColorType::Rgb8)?;
    Ok(())
}

fn report(frames: usize, begun: Instant, timings: &[(&str, Duration)], warnings: &[String]) {
    let stage = |(stage, took): &(&str, Duration)| format!("{stage} {:.2} s", took.as_secs_f64());
    let stages: Vec<String> = timings.iter().map(stage).collect();
    println!("{frames} frames in {:.2} s: {}", begun.elapsed().as_secs_f64(), stages.join(", "));
    for warning in warnings {
        println!("warning: {warning}");
    }
}

//! What is put where no edited frame shows: proposals for an edit that nobody can recompute, beside its truth.
//!
//! ```sh
//! cargo run --release --example unknown_edits -- FOLDER@0-60 OTHER@76-136 --look "a starry night" --object ball
//! ```
//!
//! Each FOLDER holds pictures of one size; `@FIRST-LAST` names the frames of one shot. The first one is edited by a look
//! and given as a picture, so that the engine knows nothing of the look, which is then the truth of every other keyframe.
//! All rows are judged on the same pixels: those that the engine's composite sees with less than half confidence.

mod engine;
mod holes;
#[path = "../metrics/mod.rs"]
mod metrics;
mod objects;
#[path = "../pictures/mod.rs"]
mod pictures;
mod shot;
mod table;

use std::path::PathBuf;

use clap::Parser;
use engine::Carrier;
use gstflowvid::{
    editors::looks::Looks,
    torch::Placement,
    weights::{ModelFolder, search_path},
};
use objects::Object;
use shot::{Edited, Shot};
use tch::Tensor;

#[derive(Parser)]
struct Arguments {
    /// Folders of pictures, each with `@FIRST-LAST`: the frames of one shot
    #[arg(required = true)]
    shots: Vec<String>,
    /// Prompt of a look that the first frame is edited by; may be given several times
    #[arg(long)]
    look: Vec<String>,
    /// An object that is painted over the frames and recoloured, so that its truth is known; may be given several times
    #[arg(long, value_enum)]
    object: Vec<Object>,
    /// Another method's pictures of the keyframes, as ROW=FOLDER, in folders and files named as `--out` names them:
    /// FOLDER/0_an_oil_painting/01.png and so on
    #[arg(long)]
    other: Vec<String>,
    /// Frames from one keyframe to the next
    #[arg(long, default_value_t = 4)]
    interval: usize,
    /// Writes the pictures behind the figures into this folder, and `given.png`, all that the engine is shown of an edit
    #[arg(long)]
    out: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _no_grad = tch::no_grad_guard();
    let placement = Placement::resolve(&arguments.device, "f32")?;
    let folder = ModelFolder::find("nano", &search_path(None))?;
    let looks = Looks::load(&folder, Placement::cpu())?;
    let mut carrier = Carrier::load(&folder, placement)?;
    table::print_head(&placement.device_name());
    for (number, place) in arguments.shots.iter().enumerate() {
        let shot = Shot::read(place, arguments.interval)?;
        for prompt in &arguments.look {
            let edited = edited(&looks, prompt, &shot);
            let name = format!("{number} {prompt}");
            let mut rows = carrier.rows(&edited)?;
            for other in &arguments.other {
                rows.pictures.push(shot::other(other, &name, &edited)?);
            }
            table::print(&name, &rows, &edited, arguments.out.as_deref())?;
        }
        for object in &arguments.object {
            let mut edited = objects::paint(*object, &shot);
            let name = format!("{number} {}", object.name());
            let rows = carrier.rows(&edited)?;
            table::print(&name, &rows, &edited, arguments.out.as_deref())?;
            table::print_whole(&format!("{name}, not only in holes"), &rows, &edited);
            edited.judge_the_others();
            table::print(&format!("{name}, beside it"), &rows, &edited, None)?;
        }
    }
    Ok(())
}

/// The shot in the look of `prompt`, whose statistics are those of the first frame throughout.
fn edited(looks: &Looks, prompt: &str, shot: &Shot) -> Edited {
    let look = looks.understand(prompt, "").look;
    let frozen = looks.freeze(&look, &shot.keyframes[0]);
    let truth = shot.keyframes.iter().map(|source| looks.apply(&look, source, 1.0, Some(&frozen)));
    Edited {
        truth: truth.collect(),
        sources: shot.keyframes.iter().map(Tensor::shallow_clone).collect(),
        judged: None,
    }
}

#[cfg(test)]
mod tests;

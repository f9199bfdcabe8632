//! Makes a clip of one photograph: a camera pans, zooms and rolls over it, gently but for one fast pass. Where all that
//! moves is the camera, what an edit should do is known without a doubt.
//!
//! ```sh
//! cargo run --release --example camera_move -- photograph.jpg FOLDER --frames 61
//! ```

mod pictures;

use std::{f64::consts::TAU, fs, path::PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use gstflowvid::{
    conditions::{
        filters::resize,
        warp::{Border, Sampling, target_coordinates, warp},
    },
    torch::Placement,
};
use pictures::tensors;
use tch::{Kind, Tensor};

#[derive(Parser)]
struct Arguments {
    /// The photograph
    photograph: PathBuf,
    /// Folder for the frames, as PNG
    folder: PathBuf,
    /// How many
    #[arg(long, default_value_t = 61)]
    frames: usize,
    /// Width of a frame in pixels
    #[arg(long, default_value_t = 448)]
    width: i64,
    /// Height of a frame in pixels
    #[arg(long, default_value_t = 256)]
    height: i64,
}

/// Where the camera looks: the middle of the frame on the photograph, and how large the frame is there; shares of the
/// largest frame that fits.
struct View {
    right: f64,
    down: f64,
    zoom: f64,
    roll: f64, // radians
}

/// Pixels of the photograph to one of the frame, where the frame is as large as it can be: detail is left to zoom into.
const FINER: f64 = 1.5;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _no_grad = (Placement::cpu(), tch::no_grad_guard());
    let image = pictures::read(&arguments.photograph)?;
    let photograph = fitted(&tensors::from_image(&image), &arguments)?;
    let folder = &arguments.folder;
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for number in 0..arguments.frames {
        let view = View::at(number as f64 / arguments.frames as f64);
        let frame = view.of(&photograph, (arguments.height, arguments.width));
        tensors::to_image(&frame).save(folder.join(format!("{number:04}.png")))?;
    }
    Ok(())
}

/// The photograph at the size that a frame and the camera's ways need, `[1, 3, h, w]`, 0..1.
fn fitted(photograph: &Tensor, arguments: &Arguments) -> anyhow::Result<Tensor> {
    let [.., height, width] = photograph.size()[..] else { unreachable!("a picture is 4-dimensional") };
    let scale = (arguments.height as f64 / height as f64).max(arguments.width as f64 / width as f64) * FINER;
    ensure!(scale <= 1.25, "{} is too small for such frames", arguments.photograph.display());
    let side = |length: i64| (length as f64 * scale).ceil() as i64;
    Ok(resize(photograph, (side(height), side(width))))
}

impl View {
    /// `time`: 0 at the clip's begin, 1 at its end; the fast pass is in the third quarter.
    fn at(time: f64) -> Self {
        let pass = ((time - 0.5) / 0.12).clamp(0.0, 1.0);
        let eased = pass * pass * (3.0 - 2.0 * pass);
        Self {
            right: 0.6 * (0.5 * TAU * time).sin() - 1.2 * eased + 0.2,
            down: 0.5 * (TAU * time).sin(),
            zoom: 1.0 + 0.18 * (0.5 - 0.5 * (TAU * time).cos()),
            roll: 0.05 * (1.5 * TAU * time).sin(),
        }
    }

    /// What it shows, `[1, 3, height, width]`, 0..1.
    fn of(&self, photograph: &Tensor, (height, width): (i64, i64)) -> Tensor {
        let [.., rows, columns] = photograph.size()[..] else { unreachable!("a picture is 4-dimensional") };
        let axis = |length: i64, shape: [i64; 4]| {
            (Tensor::arange(length, (Kind::Float, photograph.device())) - (length as f64 - 1.0) / 2.0)
                .view(shape)
        };
        let (x, y) = (axis(width, [1, 1, 1, width]), axis(height, [1, 1, height, 1]));
        let (cosine, sine) = (self.roll.cos() / self.zoom, self.roll.sin() / self.zoom);
        let room = |inner: i64, outer: i64| (outer - inner) as f64 / 2.0;
        let middle = |length: i64| (length as f64 - 1.0) / 2.0;
        // 0.85: a rolled frame's corners stay on the photograph.
        let at_x = &x * cosine - &y * sine
            + (middle(columns) + 0.85 * self.right.clamp(-1.0, 1.0) * room(width, columns));
        let at_y =
            &x * sine + &y * cosine + (middle(rows) + 0.85 * self.down.clamp(-1.0, 1.0) * room(height, rows));
        sampled(photograph, &Tensor::cat(&[at_x, at_y], 1))
    }
}

/// The photograph at the places `at`, `[1, 2, h, w]`, pixels.
fn sampled(photograph: &Tensor, at: &Tensor) -> Tensor {
    let [.., height, width] = at.size()[..] else { unreachable!("places are 4-dimensional") };
    let [.., rows, columns] = photograph.size()[..] else { unreachable!("a picture is 4-dimensional") };
    // The flow of a frame that lies in the photograph's upper left corner.
    let missing = [0, columns - width, 0, rows - height];
    let flow = (at - target_coordinates(&at.zeros_like())).pad(missing, "constant", 0.0);
    let whole = warp(photograph, &flow, Sampling::Bicubic, Border::Replicate);
    whole.narrow(2, 0, height).narrow(3, 0, width).clamp(0.0, 1.0)
}

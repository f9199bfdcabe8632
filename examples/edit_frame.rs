//! Edits one picture by hand, so to speak: turns the day into a dusk and draws a moon and a path of lanterns on it.
//! A stand-in for your own paint program: `flowvidfilter edited-frame=…` carries such an edit through the clip.
//!
//! ```sh
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! imagefreeze num-buffers=1 ! videoconvert \
//!     ! video/x-raw,format=RGB ! pngenc ! filesink location=first.png
//! cargo run --release --example edit_frame -- first.png edited.png
//! ```

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use image::{Rgb, RgbImage};

#[derive(Parser)]
struct Arguments {
    /// The clip's first frame
    frame: PathBuf,
    /// The edited picture to write
    edited: PathBuf,
}

const MOON: [f32; 3] = [1.0, 0.93, 0.62];
const LANTERN: [f32; 3] = [1.0, 0.55, 0.12];

fn main() -> anyhow::Result<()> {
    let Arguments { frame, edited } = Arguments::parse();
    let mut picture =
        image::open(&frame).with_context(|| format!("{} is no picture", frame.display()))?.to_rgb8();
    for pixel in picture.pixels_mut() {
        *pixel = to_bytes(dusk(pixel.0.map(|value| f32::from(value) / 255.0)));
    }
    draw_moon(&mut picture);
    draw_lanterns(&mut picture);
    picture.save(&edited).with_context(|| format!("{} cannot be written", edited.display()))
}

/// Grass turns violet, light turns orange, shadows turn blue.
fn dusk([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let light = 0.3 * red + 0.59 * green + 0.11 * blue;
    let warm = light * light;
    let leaf = (green - blue).max(0.0);
    [
        0.25 * red + 0.75 * warm + 0.55 * leaf,
        0.15 * green + 0.45 * warm,
        0.35 * blue + 0.25 * light + 0.12 + 0.4 * leaf,
    ]
}

/// A crescent in the upper right corner.
fn draw_moon(picture: &mut RgbImage) {
    let unit = picture.height() as f32;
    let (x, y) = (picture.width() as f32 - 0.16 * unit, 0.17 * unit);
    let shadow = (x - 0.045 * unit, y - 0.03 * unit);
    for_each_position(picture, |position| {
        let moon = inside(position, (x, y), 0.1 * unit) * (1.0 - inside(position, shadow, 0.085 * unit));
        (MOON, moon)
    });
}

/// Lanterns that hang on a line across the picture's left four fifths, each with its glow.
fn draw_lanterns(picture: &mut RgbImage) {
    let (width, unit) = (picture.width() as f32, picture.height() as f32);
    for number in 0..6 {
        let along = (number as f32 + 0.5) / 6.0;
        let sag = 0.12 * unit * (1.0 - (2.0 * along - 1.0).powi(2));
        let centre = (0.8 * along * width, 0.06 * unit + sag);
        for_each_position(picture, |position| {
            let glow = 0.5 * (-distance(position, centre) / (0.05 * unit)).exp();
            (LANTERN, inside(position, centre, 0.028 * unit).max(glow))
        });
    }
}

/// Blends the colour that `paint` gives for a position over the picture, by the opacity that it gives.
fn for_each_position(picture: &mut RgbImage, paint: impl Fn((f32, f32)) -> ([f32; 3], f32)) {
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (colour, opacity) = paint((x as f32, y as f32));
        let below = pixel.0.map(|value| f32::from(value) / 255.0);
        *pixel = to_bytes(std::array::from_fn(|channel| {
            below[channel] + opacity * (colour[channel] - below[channel])
        }));
    }
}

/// 1 inside the circle, 0 outside, a pixel's width of both at the edge.
fn inside(position: (f32, f32), centre: (f32, f32), radius: f32) -> f32 {
    (radius - distance(position, centre) + 0.5).clamp(0.0, 1.0)
}

fn distance(a: (f32, f32), b: (f32, f32)) -> f32 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

fn to_bytes(colour: [f32; 3]) -> Rgb<u8> {
    Rgb(colour.map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8))
}

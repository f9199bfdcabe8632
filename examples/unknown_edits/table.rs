//! The table, and the pictures behind it.

use std::{fs, path::Path};

use tch::Tensor;

use crate::{
    engine::Rows,
    holes::{Figures, HoleMeter},
    pictures::tensors,
    shot::Edited,
};

pub fn print_head(device: &str) {
    println!(
        "Computed on {device}. Judged where no edited frame sees a keyframe; error and low frequencies (sigma 3) are mean"
    );
    println!(
        "differences to the truth, 0..255, sharpness is over the truth's, texture the distance of 7x7 patches.\n"
    );
    println!(
        "| shot, edit | row | pixels | error | low frequencies | sharpness | texture distance | s a keyframe |"
    );
    println!("|---|---|---|---|---|---|---|---|");
}

/// One line a row.
///
/// # Errors
/// Pictures that cannot be written into `out`.
pub fn print(case: &str, rows: &Rows, edited: &Edited, out: Option<&Path>) -> anyhow::Result<()> {
    let judged = judged(rows, edited);
    print_rows(case, rows, edited, &judged);
    out.map_or(Ok(()), |out| save(&out.join(case.replace(' ', "_")), rows, edited, &judged))
}

/// The same of all pixels that are to be judged, holes or not.
pub fn print_whole(case: &str, rows: &Rows, edited: &Edited) {
    if let Some(judged) = &edited.judged {
        print_rows(case, rows, edited, &judged[1..]);
    }
}

fn print_rows(case: &str, rows: &Rows, edited: &Edited, judged: &[Tensor]) {
    for (name, pictures) in &rows.pictures {
        let mut meter = HoleMeter::default();
        for ((picture, truth), judged) in pictures.iter().zip(&edited.truth[1..]).zip(judged) {
            meter.add(picture, truth, judged);
        }
        let seconds = (name == "proposal").then_some(rows.seconds);
        print_row(case, name, &meter.figures(), seconds);
    }
}

fn print_row(case: &str, name: &str, figures: &Figures, seconds: Option<f64>) {
    let cell = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    let Figures { pixels, error, low, sharpness, texture } = *figures;
    let cells = [error, low, sharpness, texture, seconds].map(cell).join(" | ");
    println!("| {case} | {name} | {pixels} | {cells} |");
}

/// The holes, as far as they are to be judged.
fn judged(rows: &Rows, edited: &Edited) -> Vec<Tensor> {
    let Some(judged) = &edited.judged else { return rows.holes.iter().map(Tensor::shallow_clone).collect() };
    rows.holes.iter().zip(&judged[1..]).map(|(holes, judged)| holes.logical_and(judged)).collect()
}

fn save(folder: &Path, rows: &Rows, edited: &Edited, judged: &[Tensor]) -> anyhow::Result<()> {
    let truth = ("truth".to_owned(), edited.truth[1..].iter().map(Tensor::shallow_clone).collect());
    let masks = judged.iter().map(|judged| judged.to_kind(tch::Kind::Float).expand([-1, 3, -1, -1], false));
    let masks = ("judged".to_owned(), masks.collect());
    fs::create_dir_all(folder)?;
    tensors::to_image(&edited.truth[0]).save(folder.join("given.png"))?;
    for (name, pictures) in rows.pictures.iter().chain([&truth, &masks]) {
        let folder = folder.join(name.replace([' ', ',', '\''], "_"));
        fs::create_dir_all(&folder)?;
        for (number, picture) in pictures.iter().enumerate() {
            tensors::to_image(picture).save(folder.join(format!("{:02}.png", number + 1)))?;
        }
    }
    Ok(())
}

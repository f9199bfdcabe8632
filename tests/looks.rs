//! The looks of the embedded model: that they differ, and that prompts find them.

mod common;

use std::{fs, path::Path};

use common::{Fixture, project};
use gstflowvid::{
    editors::{
        alignment::{ALIGNED, outline_agreement},
        looks::Looks,
    },
    torch::Placement,
    weights::{Component, WeightsError},
};
use tch::{Kind, Tensor};

fn looks() -> Looks {
    open(&project("models/nano/editor")).expect("the embedded model's looks")
}

fn open(folder: &Path) -> Result<Looks, WeightsError> {
    Looks::open(&Component::open(folder.into())?, Placement::cpu())
}

/// A real frame at half the working size.
fn frame() -> Tensor {
    let frame = Fixture::open("painterly").picture("frame");
    frame.internal_upsample_bilinear2d_aa([128, 224], false, None, None)
}

/// Mean absolute difference, 0..255.
fn apart(one: &Tensor, other: &Tensor) -> f64 {
    (one - other).abs().mean(Kind::Float).double_value(&[]) * 255.0
}

#[test]
fn every_look_is_a_picture_and_always_the_same() {
    let (looks, frame) = (looks(), frame());
    let untouched = frame.copy();
    for name in looks.names() {
        let look = looks.named(name).unwrap();
        let edited = looks.apply(&look, &frame, 1.0, None);
        assert_eq!(edited.size(), frame.size(), "{name}");
        let (low, high) = (edited.min().double_value(&[]), edited.max().double_value(&[]));
        assert!(low >= 0.0 && high <= 1.0, "{name}: {low}..{high}"); // false for NaN as well
        assert_eq!(apart(&frame, &untouched), 0.0, "{name} writes into the source");
        assert_eq!(apart(&edited, &looks.apply(&look, &frame, 1.0, None)), 0.0, "{name}");
        let half = looks.apply(&look, &frame, 0.5, None);
        assert!((apart(&half, &frame) * 2.0 - apart(&edited, &frame)).abs() < 0.1, "{name} at half strength");
        assert_eq!(apart(&looks.apply(&look, &frame, 0.0, None), &frame), 0.0, "{name} at strength 0");
    }
}

#[test]
fn no_look_leaves_the_source_and_no_two_are_alike() {
    const LEAST: f64 = 8.0;
    common::model("painterly"); // a stand-in would be alike: say what is missing instead
    let (looks, frame) = (looks(), frame());
    let mut pictures = vec![("source", frame.shallow_clone())];
    for name in looks.names() {
        pictures.push((name, looks.apply(&looks.named(name).unwrap(), &frame, 1.0, None)));
    }
    let mut closest = (f64::MAX, "", "");
    for (index, (name, picture)) in pictures.iter().enumerate() {
        for (other, another) in &pictures[..index] {
            let distance = apart(picture, another);
            closest = if distance < closest.0 { (distance, name, other) } else { closest };
        }
    }
    println!("closest: {closest:?}");
    assert!(closest.0 > LEAST, "{} is like {}: {:.1}/255 apart", closest.1, closest.2, closest.0);
}

/// What stands on the screen (hatching, grain) would swim over what moves.
#[test]
fn procedural_looks_move_with_the_picture() {
    const SHIFT: i64 = 5;
    const MARGIN: i64 = 24;
    let root = tempfile::tempdir().unwrap();
    fs::copy(project("models/nano/editor/config.json"), root.path().join("config.json")).unwrap();
    let looks = open(root.path()).unwrap(); // without the painterly network
    let frame = frame();
    let [height, width] = [2, 3].map(|side| frame.size()[side] - SHIFT);
    let [rows, columns] = [height, width].map(|length| length - SHIFT - 2 * MARGIN);
    for name in looks.names() {
        let look = looks.named(name).unwrap();
        let edited = |from: i64| {
            let cut = frame.narrow(2, from, height).narrow(3, from, width).contiguous();
            looks.apply(&look, &cut, 1.0, None)
        };
        let inside = |frames: Tensor, from: i64| frames.narrow(2, from, rows).narrow(3, from, columns);
        let (here, there) = (inside(edited(0), SHIFT + MARGIN), inside(edited(SHIFT), MARGIN));
        let swims = apart(&here, &there);
        println!("{name}: {swims:.2}");
        assert!(swims < 4.0, "{name} swims: {swims:.1}/255 for a shift of {SHIFT} pixels");
    }
}

#[test]
fn frames_of_a_batch_do_not_touch_each_other() {
    let (looks, frame) = (looks(), frame());
    let both = Tensor::cat(&[&frame, &(1.0 - &frame)], 0);
    for name in looks.names() {
        let look = looks.named(name).unwrap();
        let alone = looks.apply(&look, &frame, 1.0, None);
        let together = looks.apply(&look, &both, 1.0, None).narrow(0, 0, 1);
        assert!(apart(&alone, &together) < 0.05, "{name}: {}", apart(&alone, &together));
    }
}

#[test]
fn prompts_find_their_looks() {
    let looks = looks();
    for (prompt, expected) in [
        ("a pencil sketch", vec![("pencil", 1.0)]),
        ("Charcoal drawing on paper", vec![("charcoal", 1.0)]),
        ("watercolor painting", vec![("watercolour", 1.0)]),
        ("an oil painting, thick brush strokes", vec![("oil", 1.0)]),
        ("a painting", vec![("oil", 1.0)]),
        ("in the style of Van Gogh", vec![("starry", 1.0)]),
        ("Japanese woodblock print by Hokusai", vec![("ukiyo-e", 1.0)]),
        ("a stained-glass window", vec![("stained glass", 1.0)]),
        ("impressionist, like Monet", vec![("impressionist", 1.0)]),
        ("anime", vec![("cartoon", 1.0)]),
        ("neon city", vec![("neon", 1.0)]),
        ("covered in snow", vec![("winter", 1.0)]),
        ("an old photograph", vec![("vintage", 1.0)]),
        ("golden hour", vec![("sunset", 1.0)]),
        ("film noir", vec![("noir", 1.0)]),
        ("a pencil sketch of a neon city", vec![("pencil", 1.0), ("neon", 1.0)]),
        ("half oil, half watercolour", vec![("oil", 0.5), ("watercolour", 0.5)]),
        (
            "watercolour of an autumn wood in the evening",
            vec![("watercolour", 1.0), ("autumn", 0.5), ("sunset", 0.5)],
        ),
        ("clay figures", vec![("clay", 1.0)]),
        ("pop-art poster", vec![("poster", 1.0)]),
    ] {
        let understood = looks.understand(prompt, "");
        assert_eq!(looks.describe(&understood.look), expected, "{prompt}");
        assert!(!understood.unknown && !understood.matched.is_empty(), "{prompt}");
    }
}

#[test]
fn every_look_is_found_by_its_own_name() {
    let looks = looks();
    for name in looks.names() {
        let understood = looks.understand(name, "");
        assert_eq!(looks.describe(&understood.look), [(name, 1.0)], "matched {:?}", understood.matched);
    }
}

#[test]
fn an_unknown_prompt_says_where_the_words_are() {
    let (looks, frame) = (looks(), frame());
    let understood = looks.understand("a robot instead of the rabbit", "");
    assert!(understood.unknown && understood.look.is_empty());
    let [warning] = &understood.warnings[..] else { panic!("{:?}", understood.warnings) };
    assert!(warning.contains("robot") && warning.contains("editor/config.json"), "{warning}");
    assert_eq!(apart(&looks.apply(&understood.look, &frame, 1.0, None), &frame), 0.0);
    assert!(!looks.understand("  ", "").unknown, "an empty prompt asks for nothing");
}

#[test]
fn a_negative_prompt_takes_looks_away() {
    let looks = looks();
    let understood = looks.understand("a pencil sketch in the snow", "snow, frost");
    assert_eq!(looks.describe(&understood.look), [("pencil", 1.0)]);
    assert!(looks.understand("snow", "winter").unknown);
}

#[test]
fn a_missing_painterly_network_is_said_and_its_stand_in_named() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("nano/editor");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(project("models/nano/editor/config.json"), folder.join("config.json")).unwrap();
    let looks = open(&folder).unwrap();
    let understood = looks.understand("starry night", "");
    let [warning] = &understood.warnings[..] else { panic!("{:?}", understood.warnings) };
    assert!(
        warning.contains("`starry`") && warning.contains("make setup") && warning.contains("`oil`"),
        "{warning}"
    );
    assert_eq!(looks.understand("oil painting", "").warnings, [""; 0]);
}

#[test]
fn a_look_that_does_not_exist_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let config = |looks: &str| {
        let text = format!(r#"{{"_class_name": "Looks", "painterly": "none", "looks": [{looks}]}}"#);
        fs::write(root.path().join("config.json"), text).unwrap();
        open(root.path()).map(|_| ()).map_err(|error| error.to_string())
    };
    let look =
        |name: &str, more: &str| format!(r#"{{"name": "{name}", "stage": "medium", "words": ["x"]{more}}}"#);
    assert!(config(&look("oil", "")).is_ok());
    assert!(config(&look("oli", "")).unwrap_err().contains("`oli`"));
    assert!(config(&look("starry", r#", "style": 19, "instead": "oil""#)).unwrap_err().contains("`starry`"));
    assert!(config(&look("oil", r#", "scene_colours": 1.5"#)).unwrap_err().contains("`scene_colours`"));
}

#[test]
fn the_readme_lists_every_look() {
    let readme = fs::read_to_string(project("models/nano/editor/README.md")).unwrap();
    let rows = readme.lines().filter(|line| {
        line.starts_with("| scene") || line.starts_with("| medium") || line.starts_with("| finish")
    });
    let mut listed: Vec<String> = rows
        .flat_map(|row| row.split('|').nth(2).unwrap().split(',').map(|name| name.trim().to_string()))
        .collect();
    let looks = looks();
    let mut known: Vec<String> = looks.names().map(Into::into).collect();
    listed.sort();
    known.sort();
    assert_eq!(listed, known);
}

#[test]
fn a_look_keeps_the_sources_outlines_and_a_picture_from_elsewhere_does_not() {
    common::model("painterly");
    let (looks, frame) = (looks(), frame());
    for name in looks.names() {
        let edit = looks.apply(&looks.named(name).unwrap(), &frame, 1.0, None);
        let agreement = outline_agreement(&frame, &edit);
        assert!(agreement > ALIGNED + 0.05, "{name}: {agreement:.2}");
        for elsewhere in [edit.roll([16], [3]), edit.roll([16], [2]), edit.flip([3])] {
            let agreement = outline_agreement(&frame, &elsewhere);
            assert!(agreement < ALIGNED - 0.05, "{name}, elsewhere: {agreement:.2}");
        }
    }
    assert_eq!(
        outline_agreement(&frame, &frame.ones_like()),
        1.0,
        "nothing is there that could lie elsewhere"
    );
}

//! `edited-frame` and `mask-location`: which pictures are taken, and what is said of the others.

use std::{fs, path::Path};

use gstflowvid::{
    editors::picture::{EditedPicture, EditorError, load, load_mask},
    torch::Placement,
};
use image::{ImageFormat, Rgba, RgbaImage};

const VIDEO: (usize, usize) = (1280, 720);
const SIZE: (i64, i64) = (252, 448);

fn read(file: &Path) -> Result<EditedPicture, EditorError> {
    load(file, VIDEO, SIZE, Placement::cpu().device)
}

/// Half transparent red on the left, opaque blue on the right.
fn picture(width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, _| {
        if x < width / 2 { Rgba([255, 0, 0, 128]) } else { Rgba([0, 0, 255, 255]) }
    })
}

#[track_caller]
fn refused(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edited.png");
    fs::write(&file, content).unwrap();
    let error = read(&file).unwrap_err().to_string();
    assert!(error.contains("edited.png"), "{error}");
    error
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture(width, height).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn every_format_and_size_of_the_same_shape_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    for (format, (width, height)) in [
        (ImageFormat::Png, (1280, 720)),
        (ImageFormat::Jpeg, (640, 360)),
        (ImageFormat::WebP, (1920, 1080)),
        (ImageFormat::Tiff, (448, 256)), // 1.6 % off
        (ImageFormat::Bmp, (320, 180)),
    ] {
        let file = folder.path().join("edited"); // the content tells the format
        let picture = image::DynamicImage::from(picture(width, height));
        let opaque = format == ImageFormat::Jpeg;
        let written = if opaque { picture.to_rgb8().into() } else { picture };
        written.save_with_format(&file, format).unwrap();
        let EditedPicture { picture, alpha } =
            read(&file).unwrap_or_else(|error| panic!("{format:?}: {error}"));
        assert_eq!(picture.size(), [1, 3, SIZE.0, SIZE.1], "{format:?}");
        let at = |channel: i64, x: i64| picture.double_value(&[0, channel, 100, x]);
        assert!(at(0, 50) > 0.97 && at(1, 50) < 0.03, "{format:?}: half transparent red is red");
        assert!(at(2, 400) > 0.97 && at(0, 400) < 0.03, "{format:?}");
        assert_eq!(alpha.is_none(), opaque, "{format:?}");
        if let Some(alpha) = alpha {
            let at = |x: i64| alpha.double_value(&[0, 0, 100, x]);
            assert!((at(50) - 128.0 / 255.0).abs() < 0.01 && at(400) > 0.9999, "{format:?}");
        }
    }
}

#[test]
fn the_colour_of_transparent_pixels_gets_into_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edited.png");
    let hidden_green =
        RgbaImage::from_fn(
            1280,
            720,
            |x, _| if x < 640 { Rgba([0, 255, 0, 0]) } else { Rgba([255, 0, 0, 255]) },
        );
    hidden_green.save(&file).unwrap();
    let EditedPicture { picture, alpha } = read(&file).unwrap();
    assert_eq!(picture.select(1, 1).max().double_value(&[]), 0.0, "no green anywhere");
    let edge = alpha.unwrap().narrow(2, 0, 1);
    assert_eq!((edge.min().double_value(&[]), edge.max().double_value(&[])), (0.0, 1.0));
}

#[test]
fn a_mask_is_white_where_it_is_edited() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mask.png");
    let bars = |x: u32| match x / 320 {
        0 => Rgba([0, 0, 0, 255]),
        1 => Rgba([128, 128, 128, 255]),
        2 => Rgba([255, 255, 255, 255]),
        _ => Rgba([255, 255, 255, 0]),
    };
    RgbaImage::from_fn(1280, 720, |x, _| bars(x)).save(&file).unwrap();
    let mask = load_mask(&file, VIDEO, SIZE, Placement::cpu().device).unwrap();
    assert_eq!(mask.size(), [1, 1, SIZE.0, SIZE.1]);
    let found = [56, 168, 280, 392].map(|x| mask.double_value(&[0, 0, 100, x]));
    assert!(found[0] == 0.0 && (found[1] - 128.0 / 255.0).abs() < 1e-3, "{found:?}");
    assert!(found[2] > 0.9999 && found[3] == 0.0, "{found:?}");
    let told = load_mask(&file, (720, 1280), SIZE, Placement::cpu().device).unwrap_err().to_string();
    assert!(told.contains("mask-location") && told.contains("1280x720"), "{told}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = read(Path::new("nowhere/edited.png")).unwrap_err();
    assert!(
        matches!(error, EditorError::Unopened { .. }) && error.to_string().contains("nowhere/edited.png")
    );
}

#[test]
fn what_is_no_picture_is_refused() {
    assert!(refused(b"").contains("no picture"));
    assert!(refused(b"Dear friend, here is my picture.").contains("no picture"));
    let whole = png(1280, 720);
    assert!(refused(&whole[..whole.len() / 2]).contains("no picture"), "a truncated file");
}

#[test]
fn another_shape_is_refused_with_both_sizes_and_a_cure() {
    let error = refused(&png(800, 800));
    for part in ["800x800", "1280x720", "800x450"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn a_header_that_claims_a_huge_picture_is_refused_before_memory_is_taken() {
    let mut bytes = png(16, 9);
    bytes[16..20].copy_from_slice(&60_000u32.to_be_bytes()); // IHDR: width, height, then its checksum
    bytes[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert!(refused(&bytes).contains("too large"));
}

/// PNG's checksum, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

//! `edited-frame`: which pictures are taken, and what is said of the others.

use std::{fs, path::Path};

use gstflowvid::{
    editors::picture::{EditorError, load},
    torch::Placement,
};
use image::{ImageFormat, Rgba, RgbaImage};
use tch::Tensor;

const VIDEO: (usize, usize) = (1280, 720);
const SIZE: (i64, i64) = (252, 448);

fn read(file: &Path) -> Result<Tensor, EditorError> {
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
        let tensor = read(&file).unwrap_or_else(|error| panic!("{format:?}: {error}"));
        assert_eq!(tensor.size(), [1, 3, SIZE.0, SIZE.1], "{format:?}");
        let at = |channel: i64, x: i64| tensor.double_value(&[0, channel, 100, x]);
        let expected_green = if opaque { 0.0 } else { 127.0 / 255.0 }; // white shows through
        assert!((at(1, 50) - expected_green).abs() < 0.02, "{format:?}: green {}", at(1, 50));
        assert!(at(0, 50) > 0.97 && at(2, 400) > 0.97 && at(0, 400) < 0.03, "{format:?}");
    }
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

//! Arbitrary values for every property, and frames with arbitrary strides.

use std::panic::{AssertUnwindSafe, catch_unwind};

use glib::Value;
use gst::prelude::*;
use gst_video::{VideoFormat, prelude::*};
use gstflowvid::element::settings::{Access, PROPERTIES, Values};
use proptest::{
    prelude::*,
    test_runner::{FileFailurePersistence, RngSeed},
};

use crate::rig::*;

/// The same cases in each run, after those that once failed.
pub fn bounded(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(2312),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/corpus/element.txt"
        )))),
        ..Default::default()
    }
}

/// Texts that a user, a script or a mistake may write.
fn text() -> impl Strategy<Value = String> {
    let known = [
        "",
        "NaN",
        "-inf",
        "1e999",
        "-1",
        "0",
        "1",
        "4294967296",
        "18446744073709551616",
        "true",
        "auto",
        "identity",
        "cuda:999",
        "/",
        "/dev/null",
        "../..",
        "NULL",
        "(string)x",
        "a\nb",
        "\u{202e}\u{0}x",
        "\"",
        "\\",
    ];
    prop_oneof![
        proptest::sample::select(known.to_vec()).prop_map(String::from),
        proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
    ]
    .prop_map(|text| text.replace('\0', "")) // no C text holds it
}

/// Values of every kind that a property has, whatever the property.
fn typed() -> impl Strategy<Value = Value> {
    let reals = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX, -0.0, 0.5, 1.0];
    prop_oneof![
        proptest::sample::select(reals.to_vec()).prop_map(|real| real.to_value()),
        any::<u32>().prop_map(|number| number.to_value()),
        (0u32..100).prop_map(|number| number.to_value()),
        any::<u64>().prop_map(|number| number.to_value()),
        any::<i32>().prop_map(|number| number.to_value()),
        any::<bool>().prop_map(|on| on.to_value()),
        text().prop_map(|text| text.to_value()),
        Just(None::<String>.to_value()),
    ]
}

/// A number within its limits, and never NaN.
fn keeps_its_limits(element: &FlowVidFilter, name: &str, values: &Values) -> bool {
    match values {
        Values::Real { min, max } => (*min..=*max).contains(&element.property::<f64>(name)),
        Values::Whole { min, max, .. } => (*min..=*max).contains(&element.property::<u32>(name)),
        _ => element.find_property(name).unwrap().value_type() == element.property_value(name).type_(),
    }
}

/// As gst-launch does it, or as a program does; GObject refuses what does not fit, by a panic of its binding.
fn try_to_set(element: &FlowVidFilter, name: &str, value: &Value) {
    let _ = catch_unwind(AssertUnwindSafe(|| element.set_property_from_value(name, value)));
}

fn settable() -> impl Iterator<Item = &'static gstflowvid::element::settings::Property> {
    PROPERTIES.iter().filter(|property| matches!(property.access, Access::Setting { .. }))
}

proptest! {
    #![proptest_config(bounded(48))]

    #[test]
    fn any_value_of_any_property_leaves_an_element_that_plays(
        texts in proptest::collection::vec(text(), PROPERTIES.len()),
        values in proptest::collection::vec(typed(), PROPERTIES.len()),
    ) {
        let element = filter(2, 1);
        for (property, (text, value)) in settable().zip(texts.iter().zip(&values)) {
            let spec = element.find_property(property.name).unwrap();
            if let Ok(value) = Value::deserialize_with_pspec(text, &spec) {
                try_to_set(&element, property.name, &value);
            }
            try_to_set(&element, property.name, value);
            prop_assert!(keeps_its_limits(&element, property.name, &property.values), "{}", property.name);
        }
        element.set_property_from_str("engine", "identity");
        let mut harness = playing(&element, &small());
        feed(&mut harness, 0..5);
        prop_assert!(harness.push_event(gst::event::Eos::new()));
        prop_assert_eq!(pull_all(&mut harness).len(), 5);
    }

    #[test]
    fn strides_of_any_width_come_out_as_the_same_picture(
        format in proptest::sample::select(FORMATS.to_vec()),
        (width, height) in (1u32..40, 1u32..12),
        padding in proptest::array::uniform4(0usize..19),
        lead in 0usize..9,
        seed in any::<u8>(),
    ) {
        let info = info(format, width, height, (25, 1));
        let source = padded(&info, padding, lead, seed);
        let expected = rows(&source, &info);
        let mut harness = playing(&filter(2, 1), &info);
        harness.push(source).unwrap();
        harness.push_event(gst::event::Eos::new());
        let out = pull_all(&mut harness);
        prop_assert_eq!(out.len(), 1);
        prop_assert_eq!(rows(&out[0], &info), expected);
    }
}

const FORMATS: [VideoFormat; 10] = [
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Nv21,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::I42010le,
    VideoFormat::P01010le,
    VideoFormat::Yuy2,
    VideoFormat::Rgb,
    VideoFormat::Gray8,
];

/// A frame whose planes begin `lead` bytes in and have rows longer by `padding`, as a video meta tells.
fn padded(info: &gst_video::VideoInfo, padding: [usize; 4], lead: usize, seed: u8) -> gst::Buffer {
    let planes = info.n_planes() as usize;
    let (mut offsets, mut strides, mut end) = (vec![0; planes], vec![0; planes], lead);
    for plane in 0..planes {
        let stride = info.stride()[plane] as usize + padding[plane];
        (offsets[plane], strides[plane]) = (end, stride as i32);
        end += stride * plane_height(info, plane) + padding[plane];
    }
    let bytes: Vec<u8> = (0..end).map(|at| (at as u8).wrapping_mul(37).wrapping_add(seed)).collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &offsets,
        &strides,
    )
    .unwrap();
    buffer
}

fn plane_height(info: &gst_video::VideoInfo, plane: usize) -> usize {
    let component = (0..info.n_components()).find(|&c| info.comp_plane(c as u8) as usize == plane).unwrap();
    info.comp_height(component as u8) as usize
}

/// Every component's samples, row by row, without what lies between them.
fn rows(buffer: &gst::BufferRef, info: &gst_video::VideoInfo) -> Vec<u8> {
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
    let mut samples = Vec::new();
    for component in 0..info.n_components() {
        let bytes = if info.comp_depth(component as u8) > 8 { 2 } else { 1 };
        let step = info.comp_pstride(component as u8) as usize;
        let plane = frame.comp_plane(component);
        let stride = frame.plane_stride()[plane as usize] as usize;
        let data = frame.plane_data(plane).unwrap();
        for row in 0..info.comp_height(component as u8) as usize {
            for column in 0..info.comp_width(component as u8) as usize {
                let at = row * stride + column * step + info.comp_poffset(component as u8) as usize;
                samples.extend_from_slice(&data[at..at + bytes]);
            }
        }
    }
    samples
}

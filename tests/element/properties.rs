//! Every row of the table of settings, and what the element says of itself.

use gst::prelude::*;
use gstflowvid::element::settings::{Access, PROPERTIES, Values, When, markdown_table};

use crate::rig::*;

/// Two values that the property takes, other than the default where there is another.
fn samples(spec: &glib::ParamSpec, values: &Values) -> Vec<glib::Value> {
    match values {
        Values::Text | Values::Path => ["/a b/c.png", "x"].map(|text| text.to_value()).into(),
        Values::Switch => [true, false].map(|on| on.to_value()).into(),
        Values::Whole { min, max, .. } => [*min, *max].map(|number| number.to_value()).into(),
        Values::Long | Values::Time | Values::Bytes => [u64::MAX, 1].map(|number| number.to_value()).into(),
        Values::Real { min, max } => [*min, *max].map(|number| number.to_value()).into(),
        Values::Choice(_) => {
            let class = glib::EnumClass::with_type(spec.value_type()).unwrap();
            class.values().iter().map(|choice| choice.to_value(&class)).collect()
        }
        Values::Structure => Vec::new(),
    }
}

#[test]
fn every_setting_keeps_what_it_is_given() {
    let element = filter(2, 2);
    for property in &PROPERTIES {
        let spec = element.find_property(property.name).unwrap_or_else(|| panic!("{}", property.name));
        if matches!(property.access, Access::Status(_)) {
            assert!(!spec.flags().contains(glib::ParamFlags::WRITABLE), "{}", property.name);
            continue;
        }
        for value in samples(&spec, &property.values) {
            element.set_property_from_value(property.name, &value);
            let back = element.property_value(property.name);
            assert_eq!(format!("{back:?}"), format!("{value:?}"), "{}", property.name);
        }
    }
}

#[test]
fn a_new_element_has_the_defaults_of_its_specs() {
    init();
    let element = gst::ElementFactory::make("flowvidfilter").build().unwrap();
    for property in &PROPERTIES {
        let spec = element.find_property(property.name).unwrap();
        if !matches!(property.values, Values::Structure) {
            let value = element.property_value(property.name);
            assert_eq!(format!("{value:?}"), format!("{:?}", spec.default_value()), "{}", property.name);
        }
    }
    let defaults = ["model", "batch-size", "keyframe-interval", "processing-size", "strength", "engine"]
        .map(|name| element.property_value(name).serialize().unwrap().to_string());
    assert_eq!(defaults, ["nano", "0", "4", "448", "1", "flowvid"]);
}

#[test]
fn some_settings_only_change_in_ready() {
    let element = filter(2, 2);
    let mut harness = playing(&element, &small());
    for property in &PROPERTIES {
        let Access::Setting { changes, .. } = property.access else { continue };
        let spec = element.find_property(property.name).unwrap();
        let before = format!("{:?}", element.property_value(property.name));
        let other = samples(&spec, &property.values)
            .into_iter()
            .find(|value| format!("{value:?}") != before)
            .expect("another value");
        element.set_property_from_value(property.name, &other);
        let changed = format!("{:?}", element.property_value(property.name)) != before;
        assert_eq!(changed, changes != When::Ready, "{}", property.name);
    }
    harness.push_event(gst::event::Eos::new());
}

#[test]
fn the_table_of_the_readme_has_every_property() {
    init();
    let table = markdown_table();
    assert_eq!(table.lines().count(), PROPERTIES.len() + 2, "{table}");
    assert!(table.contains(
        "| `keyframe-interval` | Source frames from one keyframe to the next; the frames between are interpolated \
         | 1 to 64 frames | `4` | in READY |"
    ), "{table}");
    assert!(table.contains("| auto, source-flow, rife, none | `auto` | any time |"), "{table}");
}

/// The README's table is written by the test itself when UPDATE_README is set.
#[test]
fn the_readme_shows_the_table() {
    init();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&file).unwrap();
    let (begin, end) = ("<!-- properties: generated -->\n", "<!-- end of properties -->");
    let (before, rest) = readme.split_once(begin).expect("the README marks where the table stands");
    let (table, after) = rest.split_once(end).expect("the README marks where the table ends");
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&file, format!("{before}{begin}{}{end}{after}", markdown_table())).unwrap();
    } else {
        assert_eq!(table, markdown_table(), "run the test once with UPDATE_README=1");
    }
}

#[test]
fn settings_are_those_of_the_first_frame_of_a_batch() {
    let element = filter(3, 2);
    let mut harness = playing(&element, &small());
    let push = |harness: &mut gst_check::Harness, range: std::ops::Range<usize>| {
        feed(harness, range);
    };
    push(&mut harness, 0..5);
    element.set_property("enabled", false);
    push(&mut harness, 5..8);
    element.set_property("enabled", true);
    push(&mut harness, 8..13);
    harness.push_event(gst::event::Eos::new());
    assert_eq!(pull_all(&mut harness).len(), 13);
    assert_eq!(["in", "out", "bypassed", "batches"].map(|name| count(&element, name)), [13, 13, 3, 2]);
}

#[test]
fn numbers_and_switches_can_be_controlled() {
    let element = filter(2, 2);
    for (name, controllable) in
        [("strength", true), ("seed", true), ("enabled", true), ("prompt", false), ("batch-size", false)]
    {
        let flags = element.find_property(name).unwrap().flags();
        assert_eq!(flags.contains(gst::PARAM_FLAG_CONTROLLABLE), controllable, "{name}");
    }
}

#[test]
fn a_batch_is_reported_with_its_times() {
    let element = filter(3, 2);
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..7);
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness);
    let reports: Vec<_> = bus
        .iter_filtered(&[gst::MessageType::Element])
        .map(|message| message.structure().unwrap().to_owned())
        .collect();
    let of = |index: usize| {
        let report = &reports[index];
        let time = |name: &str| report.get::<Option<gst::ClockTime>>(name).unwrap().unwrap().mseconds();
        assert_eq!(report.name(), "flowvid-batch");
        assert!(report.get::<f64>("realtime-factor").unwrap() > 0.0);
        assert!(report.has_field("timings") && report.has_field("wall"));
        (
            report.get::<u64>("batch").unwrap(),
            time("first-pts"),
            time("last-pts"),
            report.get::<u32>("frames").unwrap(),
            report.get::<u32>("keyframes").unwrap(),
        )
    };
    assert_eq!(reports.len(), 2);
    assert_eq!(of(0), (0, 0, 160, 5, 3));
    assert_eq!((of(1).0, of(1).1, of(1).3), (1, 200, 2));
}

#[test]
fn presets_can_be_kept() {
    assert!(filter(2, 2).is::<gst::Preset>());
}

#[test]
fn a_thousand_changes_while_playing() {
    let element = filter(2, 2);
    let changing = std::thread::spawn({
        let element = element.clone();
        move || {
            for round in 0..1000u32 {
                element.set_property("prompt", format!("prompt {round}"));
                element.set_property("strength", f64::from(round % 10) / 10.0);
                element.set_property("enabled", round % 3 != 0);
                element.property::<gst::Structure>("stats");
            }
        }
    });
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..200);
    changing.join().unwrap();
    harness.push_event(gst::event::Eos::new());
    let received: Vec<_> =
        pull_all(&mut harness).iter().map(|buffer| buffer.pts().unwrap().mseconds()).collect();
    assert_eq!(received, (0..200).map(|index| index * 40).collect::<Vec<u64>>());
}

#[test]
fn the_longest_times_can_be_set() {
    let element = filter(2, 2);
    for name in ["processing-latency", "batch-timeout", "stall-timeout"] {
        element.set_property(name, u64::MAX);
    }
    let mut harness = playing(&element, &small());
    harness.query_latency();
    feed(&mut harness, 0..3);
    harness.push_event(gst::event::Eos::new());
    assert_eq!(pull_all(&mut harness).len(), 3);
}

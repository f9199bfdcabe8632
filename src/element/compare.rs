//! How wide a picture is that shows original and edited side by side.

use super::enums::Compare;

/// The caps of the output for an input of `caps`.
pub fn outside(compare: Compare, caps: gst::Caps) -> gst::Caps {
    with_widths(compare, caps, |(least, most)| {
        let doubled = |width: i32| width.saturating_add(width % 2).saturating_mul(2);
        Some((doubled(least), doubled(most)))
    })
}

/// The caps of the input whose output may have `caps`.
pub fn inside(compare: Compare, caps: gst::Caps) -> gst::Caps {
    with_widths(compare, caps, |(least, most)| {
        let halved_up = least / 2 + least % 2;
        // The wider of two neighbours has an even width; both have the same output.
        let narrowest = (halved_up + halved_up % 2 - 1).max(1);
        let widest = if most == i32::MAX { most } else { most / 4 * 2 };
        (narrowest <= widest).then_some((narrowest, widest))
    })
}

/// `caps` with each width, a range from least to most, made another; structures without one left fall.
fn with_widths(
    compare: Compare,
    caps: gst::Caps,
    other: impl Fn((i32, i32)) -> Option<(i32, i32)>,
) -> gst::Caps {
    if compare != Compare::SideBySide || caps.is_any() {
        return caps;
    }
    let mut mapped = gst::Caps::new_empty();
    for (structure, features) in caps.iter_with_features() {
        let widths = structure.value("width").map_or(vec![(1, i32::MAX)], ranges);
        for (least, most) in widths.into_iter().filter_map(&other) {
            let mut structure = structure.to_owned();
            if least == most {
                structure.set("width", least);
            } else {
                structure.set("width", gst::IntRange::new(least, most));
            }
            mapped.make_mut().append_structure_full(structure, Some(features.to_owned()));
        }
    }
    mapped
}

/// The ranges of a width: one number, a range, or a list of either.
fn ranges(width: &glib::SendValue) -> Vec<(i32, i32)> {
    let range = |value: &glib::Value| {
        let one = value.get::<i32>().map(|width| (width, width));
        one.or_else(|_| value.get::<gst::IntRange<i32>>().map(|range| (range.min(), range.max()))).ok()
    };
    match width.get::<gst::ListRef>() {
        Ok(list) => list.iter().filter_map(|value| range(value)).collect(),
        Err(_) => range(width).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(width: &str) -> gst::Caps {
        gst::init().unwrap();
        format!("video/x-raw,width={width},height=2").parse().unwrap()
    }

    #[test]
    fn two_pictures_stand_on_whole_chroma_samples() {
        let wide = |width: &str| outside(Compare::SideBySide, raw(width));
        for (input, output) in [("1920", "3840"), ("3", "8"), ("[1,2147483647]", "[4,2147483647]")] {
            assert_eq!(wide(input), raw(output), "{input}");
        }
        let mut both = raw("32");
        both.merge(raw("[64,80]"));
        assert!(wide("{16,[32,40]}").is_strictly_equal(&both));
    }

    #[test]
    fn an_input_is_any_width_whose_output_fits() {
        let narrow = |width: &str| inside(Compare::SideBySide, raw(width));
        for (output, input) in
            [("3840", "[1919,1920]"), ("[10,20]", "[5,10]"), ("[1,2147483647]", "[1,2147483647]")]
        {
            assert_eq!(narrow(output), raw(input), "{output}");
        }
        assert!(narrow("6").is_empty(), "no width becomes one that four does not divide");
        for width in 1..100 {
            let output = outside(Compare::SideBySide, raw(&width.to_string()));
            assert!(inside(Compare::SideBySide, output).can_intersect(&raw(&width.to_string())), "{width}");
        }
    }

    #[test]
    fn a_wipe_keeps_the_width() {
        assert_eq!(outside(Compare::Wipe, raw("7")), raw("7"));
        assert_eq!(inside(Compare::Off, raw("7")), raw("7"));
    }
}

//! Upstream says by regions of interest where a frame is edited; around them it keeps its own bytes.

use gst_video::{VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo, VideoRegionOfInterestMeta};
use gstflowvid::engine::IdentityScript;

use crate::rig::*;

const WIDTH: u32 = 32;
const HEIGHT: u32 = 16;

/// Name, then x, y, width and height.
type Region<'a> = (&'a str, (u32, u32, u32, u32));

/// What an element makes of one frame with these regions; its engine makes negatives.
fn negative(info: &VideoInfo, regions: &[Region]) -> gst::Buffer {
    let element = filter(2, 1);
    let script = IdentityScript { returns_pictures: true, negative: true, ..Default::default() };
    element.set_identity_script(script);
    let mut harness = playing(&element, info);
    let mut buffer = timed(info, 0);
    for (kind, rectangle) in regions {
        VideoRegionOfInterestMeta::add(buffer.get_mut().unwrap(), kind, *rectangle);
    }
    harness.push(buffer).unwrap();
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness).remove(0)
}

/// Columns and rows of `plane` whose samples differ from the source's.
fn changed(buffer: &gst::BufferRef, info: &VideoInfo, plane: usize) -> Vec<(usize, usize)> {
    let source = timed(info, 0);
    let rows = |buffer: &gst::BufferRef| -> Vec<Vec<u8>> {
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
        let (stride, width) = (frame.plane_stride()[plane] as usize, info.comp_width(plane as u8) as usize);
        let pixels = width * info.comp_pstride(plane as u8) as usize;
        let height = info.comp_height(plane as u8) as usize;
        let rows = frame.plane_data(plane as u32).unwrap().chunks(stride).take(height);
        rows.map(|row| row[..pixels].to_vec()).collect()
    };
    let step = info.comp_pstride(plane as u8) as usize;
    let (source, found) = (rows(&source), rows(buffer));
    let mut changed = Vec::new();
    for (y, (source, found)) in source.iter().zip(&found).enumerate() {
        for (x, (source, found)) in source.chunks(step).zip(found.chunks(step)).enumerate() {
            if source != found {
                changed.push((x, y));
            }
        }
    }
    changed
}

fn rectangle(columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) -> Vec<(usize, usize)> {
    rows.flat_map(|y| columns.clone().map(move |x| (x, y))).collect()
}

#[test]
fn a_frame_is_edited_within_its_regions_alone() {
    let info = info(VideoFormat::Rgb, WIDTH, HEIGHT, (25, 1));
    let one = negative(&info, &[("flowvid", (4, 2, 10, 5))]);
    assert_eq!(changed(&one, &info, 0), rectangle(4..14, 2..7));
    let clipped = negative(&info, &[("flowvid", (30, 12, 1000, u32::MAX)), ("face", (0, 0, 9, 9))]);
    assert_eq!(changed(&clipped, &info, 0), rectangle(30..32, 12..16), "others' regions are not ours");
    let mut both = rectangle(0..3, 0..2);
    both.extend(rectangle(20..32, 2..16));
    let found = negative(&info, &[("flowvid", (0, 0, 3, 2)), ("flowvid", (20, 2, 12, 14))]);
    assert_eq!(changed(&found, &info, 0), both);
    assert_eq!(changed(&negative(&info, &[("face", (0, 0, 9, 9))]), &info, 0).len(), 32 * 16);
}

/// Chroma that a region's edge runs through is of both sides; beyond it all is native.
#[test]
fn subsampled_chroma_around_a_region_keeps_its_own_bytes() {
    let info = info(VideoFormat::I420, WIDTH, HEIGHT, (25, 1));
    let found = negative(&info, &[("flowvid", (8, 4, 12, 6))]);
    for plane in 0..3 {
        let (columns, rows) = if plane == 0 { (8..20, 4..10) } else { (4..11, 2..6) };
        let outside: Vec<_> = changed(&found, &info, plane)
            .into_iter()
            .filter(|(x, y)| !(columns.contains(x) && rows.contains(y)))
            .collect();
        assert!(outside.is_empty(), "plane {plane}: {outside:?}");
        assert!(!changed(&found, &info, plane).is_empty(), "plane {plane} is edited");
    }
}

#[test]
fn a_region_of_no_area_keeps_the_frame_as_it_is() {
    for format in [VideoFormat::I420, VideoFormat::Uyvy, VideoFormat::Rgb] {
        let info = info(format, WIDTH, HEIGHT, (25, 1));
        for region in [(0, 0, 0, 0), (40, 2, 8, 8)] {
            let found = negative(&info, &[("flowvid", region)]);
            assert_eq!(bytes(&found), bytes(&timed(&info, 0)), "{format:?} {region:?}");
            assert_eq!(found.iter_meta::<VideoRegionOfInterestMeta>().count(), 1, "the region goes on");
        }
    }
}

//! Formats, and which of them goes out where downstream does not take the input's own.

use gst::ClockTime;
use gst_video::{VideoFormat, VideoFormatInfo, VideoInfo};

use super::{compare, enums::Compare};

/// The formats that are taken and given.
pub const FORMATS: [VideoFormat; 31] = [
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Yv12,
    VideoFormat::Nv21,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::Yuy2,
    VideoFormat::Uyvy,
    VideoFormat::I42010le,
    VideoFormat::P01010le,
    VideoFormat::I42210le,
    VideoFormat::Y44410le,
    VideoFormat::I42012le,
    VideoFormat::V210,
    VideoFormat::Ayuv,
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Argb,
    VideoFormat::Abgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Rgbp,
    VideoFormat::Gbr,
    VideoFormat::Gbr10le,
    VideoFormat::Gray8,
    VideoFormat::Gray16Le,
    VideoFormat::Argb64,
];

/// Fields that belong to a format, so they fall when the format may change.
const FORMAT_FIELDS: [&str; 3] = ["format", "colorimetry", "chroma-site"];

/// A stream's format: its caps as they came, and what they mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Format {
    /// All fields, also those that nobody here reads.
    pub caps: gst::Caps,
    /// Read from the caps.
    pub info: VideoInfo,
}

impl Format {
    /// Reads `caps`.
    ///
    /// # Errors
    /// A text for the user if they are no raw video, or hold two fields apart.
    pub fn new(caps: &gst::CapsRef) -> Result<Self, String> {
        let info =
            VideoInfo::from_caps(caps).map_err(|_| format!("not raw video in system memory: {caps}"))?;
        match info.interlace_mode() {
            gst_video::VideoInterlaceMode::Progressive
            | gst_video::VideoInterlaceMode::Mixed
            | gst_video::VideoInterlaceMode::Interleaved => Ok(Self { caps: caps.to_owned(), info }),
            _ => Err(FIELDS.into()),
        }
    }
}

impl Format {
    /// The same at another width.
    pub fn with_width(&self, width: u32) -> Option<Self> {
        let mut caps = self.caps.copy();
        caps.make_mut().set("width", width as i32);
        Self::new(&caps).ok()
    }

    /// Whether every frame has two fields.
    pub fn is_interlaced(&self) -> bool {
        self.info.interlace_mode() == gst_video::VideoInterlaceMode::Interleaved
    }

    /// How long a frame is shown; none at a variable rate.
    pub fn frame_duration(&self) -> Option<ClockTime> {
        let (frames, seconds) = (self.info.fps().numer(), self.info.fps().denom());
        let nanoseconds = ClockTime::SECOND.nseconds().checked_mul(seconds.try_into().ok()?)?;
        nanoseconds.checked_div(frames.try_into().ok()?).map(ClockTime::from_nseconds)
    }

    /// The transfer of its code values if that is for high dynamic range.
    pub fn hdr(&self) -> Option<&'static str> {
        match self.info.colorimetry().transfer() {
            gst_video::VideoTransferFunction::Smpte2084 => Some("PQ"),
            gst_video::VideoTransferFunction::AribStdB67 => Some("HLG"),
            _ => None,
        }
    }

    /// The same as downstream is shown it.
    pub fn shown(&self, compare: Compare) -> Option<Self> {
        Self::new(&compare::outside(compare, self.caps.clone())).ok()
    }
}

const FIELDS: &str = "fields that lie apart cannot be edited: put `deinterlace` before flowvidfilter";

/// What the user is told about interlaced input.
pub const INTERLACED: &str = "interlaced video is not edited: put `deinterlace` before flowvidfilter, or set \
    interlaced=bypass to have it pass unedited, or interlaced=weave where both fields show one moment";

/// The pads' template.
pub fn template() -> gst::Caps {
    gst_video::VideoCapsBuilder::new().format_list(FORMATS).build()
}

/// What one pad takes, given what the peer of the other pad takes: the same, or better than nothing the
/// same in another format. Size, frame rate and pixel aspect stay as they are; see [`compare`] for their width.
pub fn through(peer: &gst::Caps, filter: Option<&gst::CapsRef>) -> gst::Caps {
    let template = template();
    let mut caps = peer.intersect_with_mode(&template, gst::CapsIntersectMode::First);
    let mut converted = caps.copy();
    for structure in converted.make_mut().iter_mut() {
        structure.remove_fields(FORMAT_FIELDS);
    }
    let converted = converted.intersect_with_mode(&template, gst::CapsIntersectMode::First);
    caps.merge(converted);
    match filter {
        Some(filter) => filter.to_owned().intersect_with_mode(&caps, gst::CapsIntersectMode::First),
        None => caps,
    }
}

/// The output's format for `input`, among what downstream takes (`allowed`): the input's own, else the
/// one that loses least.
pub fn choose(input: &Format, allowed: &gst::Caps) -> Option<Format> {
    let from = VideoFormatInfo::from_format(input.info.format());
    let mut formats = FORMATS;
    formats.sort_by_key(|format| loss(&from, &VideoFormatInfo::from_format(*format)));
    formats.iter().find_map(|&format| in_format(input, format, allowed))
}

fn in_format(input: &Format, format: VideoFormat, allowed: &gst::Caps) -> Option<Format> {
    if format == input.info.format() {
        return allowed.can_intersect(&input.caps).then(|| input.clone());
    }
    let from = VideoFormatInfo::from_format(input.info.format());
    let to = VideoFormatInfo::from_format(format);
    let mut caps = input.caps.copy();
    let structure = caps.make_mut().structure_mut(0)?;
    structure.set("format", format.to_str().as_str());
    if kind(&from) != kind(&to) {
        structure.remove_fields(["colorimetry", "chroma-site"]);
    } else if chroma(&from) != chroma(&to) {
        structure.remove_field("chroma-site");
    }
    let mut caps = allowed.intersect_with_mode(&caps, gst::CapsIntersectMode::First);
    if caps.is_empty() {
        return None;
    }
    caps.fixate();
    Format::new(&caps).ok()
}

/// What is lost by going from one format to another; 0 for the same.
fn loss(from: &VideoFormatInfo, to: &VideoFormatInfo) -> u32 {
    if from.format() == to.format() {
        return 0;
    }
    let lost = |is_lost: bool, weight: u32| u32::from(is_lost) * weight;
    let (coarser, finer) = (chroma(to) > chroma(from), chroma(to) < chroma(from));
    1 + lost(to.is_gray() && !from.is_gray(), 20_000)
        + from.depth()[0].saturating_sub(to.depth()[0]) * 2_500
        + lost(from.has_alpha() && !to.has_alpha(), 4_000)
        + lost(coarser, 1_000)
        + lost(kind(from) != kind(to), 300)
        + lost(to.depth()[0] > from.depth()[0], 100)
        + lost(finer, 20)
        + lost(!from.has_alpha() && to.has_alpha(), 10)
        + from.n_planes().abs_diff(to.n_planes())
}

#[derive(PartialEq, Eq)]
enum Kind {
    Gray,
    Rgb,
    Yuv,
}

fn kind(info: &VideoFormatInfo) -> Kind {
    match info {
        _ if info.is_gray() => Kind::Gray,
        _ if info.is_rgb() => Kind::Rgb,
        _ => Kind::Yuv,
    }
}

/// How coarse the chroma is: the sum of both subsamplings.
fn chroma(info: &VideoFormatInfo) -> u32 {
    let coarsest = |shifts: &[u32]| shifts.iter().copied().max().unwrap_or(0);
    coarsest(info.w_sub()) + coarsest(info.h_sub())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(input: VideoFormat, allowed: &[VideoFormat]) -> VideoFormat {
        gst::init().unwrap();
        let info = VideoInfo::builder(input, 320, 240).build().unwrap();
        let allowed = gst_video::VideoCapsBuilder::new().format_list(allowed.iter().copied()).build();
        choose(&Format::new(&info.to_caps().unwrap()).unwrap(), &allowed).unwrap().info.format()
    }

    #[test]
    fn the_output_loses_least() {
        use VideoFormat::*;
        let x264enc = [Y444, Y42b, I420, Yv12, Nv12, Y44410le, I42210le, I42010le];
        for (input, allowed, expected) in [
            (Nv12, &x264enc[..], Nv12),
            (P01010le, &x264enc, I42010le),
            (I42012le, &x264enc, I42010le),
            (I42210le, &x264enc, I42210le),
            (Uyvy, &x264enc, Y42b),
            (Nv21, &x264enc, Nv12),
            (Rgb, &x264enc, Y444),
            (Gray8, &x264enc, Y444),
            (I420, &[Gray8, Rgb, Bgra], Rgb),
            (Rgba, &[I420, Rgb, Ayuv, Bgra], Bgra),
            (Gray16Le, &[Gray8, I420, I42010le, Gray16Le], Gray16Le),
            (P01010le, &[I420, Nv12, Y44410le], Y44410le),
        ] {
            assert_eq!(chosen(input, allowed), expected, "{input:?} into {allowed:?}");
        }
    }

    #[test]
    fn nothing_fits_nothing() {
        gst::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::I420, 320, 240).build().unwrap();
        let input = Format::new(&info.to_caps().unwrap()).unwrap();
        let other_size = gst_video::VideoCapsBuilder::new().width(640).build();
        assert_eq!(choose(&input, &other_size), None);
    }

    #[test]
    fn colours_stay_described_where_the_format_changes() {
        gst::init().unwrap();
        let caps = "video/x-raw,format=P010_10LE,width=64,height=64,framerate=25/1,colorimetry=bt2020,\
                    chroma-site=mpeg2,mastering-display-info=(string)kept"
            .parse::<gst::Caps>()
            .unwrap();
        let allowed = "video/x-raw,format=I420_10LE".parse().unwrap();
        let output = choose(&Format::new(&caps).unwrap(), &allowed).unwrap().caps;
        let mut expected = caps;
        expected.make_mut().set("format", "I420_10LE");
        assert_eq!(output, expected);
    }

    #[test]
    fn sizes_cross_the_element_and_formats_need_not() {
        gst::init().unwrap();
        let raw = |fields: &str| format!("video/x-raw,{fields}").parse::<gst::Caps>().unwrap();
        let caps = through(&raw("format=I420,width=64,height=48"), None);
        assert!(caps.can_intersect(&raw("format=UYVY,width=64,height=48")));
        assert!(!caps.can_intersect(&raw("format=I420,width=65,height=48")));
        assert_eq!(caps.structure(0).unwrap().get::<&str>("format"), Ok("I420"));
    }
}

//! Seeks in a real file: downstream sees the very same with the element as without it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::mpsc::{Receiver, channel},
};

use gst::{ClockTime, SeekFlags, prelude::*};

use crate::rig::*;

/// Frames in the file, of 40 ms; every tenth is a key unit.
const FRAMES: u64 = 100;

fn millis(value: u64) -> ClockTime {
    ClockTime::from_mseconds(value)
}

/// A file of H.264 with B-frames, whose pictures all differ.
fn make_file(folder: &Path) -> String {
    let file = folder.join("clip.mp4").to_str().unwrap().to_string();
    let description = format!(
        "videotestsrc num-buffers={FRAMES} pattern=ball ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 ! \
         x264enc key-int-max=10 speed-preset=veryfast bframes=2 threads=1 ! mp4mux ! filesink location=\"{file}\""
    );
    run(&description).unwrap();
    file
}

/// What reaches the sink.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Frame { pts: ClockTime, duration: Option<ClockTime>, discont: bool, checksum: u64 },
    Segment { rate: f64, flags: gst::SegmentFlags, times: [Option<ClockTime>; 4] },
    FlushStop,
    SegmentDone(u64),
    Eos,
}

fn seen(info: &gst::PadProbeInfo) -> Option<Seen> {
    match info.data.as_ref()? {
        gst::PadProbeData::Buffer(buffer) => Some(Seen::Frame {
            pts: buffer.pts().unwrap(),
            duration: buffer.duration(),
            discont: buffer.flags().contains(gst::BufferFlags::DISCONT),
            checksum: checksum(buffer),
        }),
        gst::PadProbeData::Event(event) => match event.view() {
            gst::EventView::FlushStop(_) => Some(Seen::FlushStop),
            gst::EventView::Eos(_) => Some(Seen::Eos),
            gst::EventView::SegmentDone(done) => {
                Some(Seen::SegmentDone(u64::try_from(done.get().value()).unwrap()))
            }
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().downcast_ref::<ClockTime>().unwrap();
                let times = [segment.start(), segment.stop(), segment.time(), segment.base()];
                Some(Seen::Segment { rate: segment.rate(), flags: segment.flags(), times })
            }
            _ => None,
        },
        _ => None,
    }
}

fn checksum(buffer: &gst::BufferRef) -> u64 {
    let mut hasher = DefaultHasher::new();
    buffer.map_readable().unwrap().hash(&mut hasher);
    hasher.finish()
}

struct Player {
    pipeline: gst::Pipeline,
    seen: Receiver<Seen>,
}

impl Player {
    /// Plays `file` through `elements`.
    fn new(file: &str, elements: &str) -> Self {
        let description = format!(
            "filesrc location=\"{file}\" ! qtdemux ! avdec_h264 max-threads=1 ! {elements} fakesink name=sink sync=false"
        );
        let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
        let (sender, receiver) = channel();
        let mask =
            gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
        let pad = pipeline.by_name("sink").unwrap().static_pad("sink").unwrap();
        pad.add_probe(mask, move |_, info| {
            seen(info).map(|seen| sender.send(seen));
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Paused).unwrap();
        pipeline.state(ClockTime::from_seconds(20)).0.unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, seen: receiver }
    }

    fn seek(&self, seek: &Seek) {
        let Seek { rate, flags, from, to } = *seek;
        let set = gst::SeekType::Set;
        self.pipeline.seek(rate, flags, set, millis(from), set, to.map(millis)).unwrap();
    }

    /// All up to the first that `ends`.
    fn until(&self, ends: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let mut all = Vec::new();
        while all.last().is_none_or(|last| !ends(last)) {
            all.push(self.seen.recv_timeout(PATIENCE).expect("the end never came"));
        }
        all
    }

    /// What the flushing `seek` brings, from its flush on.
    fn after(&self, seek: &Seek) -> Vec<Seen> {
        self.seek(seek);
        self.until(|seen| *seen == Seen::FlushStop);
        self.until(|seen| matches!(seen, Seen::Eos | Seen::SegmentDone(_)))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[derive(Debug, Clone, Copy)]
struct Seek {
    rate: f64,
    flags: SeekFlags,
    from: u64,
    to: Option<u64>,
}

fn seek(rate: f64, flags: SeekFlags, from: u64, to: Option<u64>) -> Seek {
    Seek { rate, flags, from, to }
}

fn seeks() -> Vec<Seek> {
    let flush = SeekFlags::FLUSH;
    let accurate = flush | SeekFlags::ACCURATE;
    let key_units = flush | SeekFlags::TRICKMODE | SeekFlags::TRICKMODE_KEY_UNITS;
    vec![
        seek(1.0, accurate, 0, None),
        seek(1.0, accurate, 1240, None),
        seek(1.0, accurate, 1290, Some(2010)), // both in the middle of a frame
        seek(1.0, accurate, 3960, None),       // the last frame
        seek(1.0, flush | SeekFlags::KEY_UNIT, 2700, None),
        seek(2.0, accurate, 500, Some(2500)),
        seek(-1.0, accurate, 400, Some(2200)),
        seek(-1.0, accurate, 0, None),
        seek(-2.5, accurate, 1000, Some(3000)),
        seek(4.0, key_units, 0, None),
        seek(-4.0, key_units, 0, None),
        seek(1.0, accurate | SeekFlags::SEGMENT, 800, Some(1600)),
        seek(-1.0, accurate | SeekFlags::SEGMENT, 800, Some(1600)),
    ]
}

/// Batches of seven frames, so that no seek's frames are a whole number of them.
const ELEMENT: &str = "flowvidfilter name=filter engine=identity batch-size=3 keyframe-interval=3 !";

fn times(seen: &[Seen]) -> Vec<u64> {
    let time = |seen: &Seen| match seen {
        Seen::Frame { pts, .. } => Some(pts.mseconds()),
        _ => None,
    };
    seen.iter().filter_map(time).collect()
}

/// Each of `seeks` shows with `element` what it shows without; how many frames each shows.
fn compare(file: &str, element: &str, seeks: &[Seek]) -> Vec<usize> {
    let (without, with) = (Player::new(file, ""), Player::new(file, element));
    let shows = |seek: &Seek| {
        let expected = without.after(seek);
        let shown = times(&expected);
        assert!(!shown.is_empty() && matches!(expected[0], Seen::Segment { .. }), "{seek:?}");
        assert!(shown.is_sorted_by(|a, b| (a < b) == (seek.rate > 0.0)), "{seek:?}: {shown:?}");
        assert!(with.after(seek) == expected, "{seek:?}");
        shown.len()
    };
    seeks.iter().map(shows).collect()
}

#[test]
fn every_seek_shows_what_it_shows_without_the_element() {
    init();
    let folder = tempfile::tempdir().unwrap();
    compare(&make_file(folder.path()), ELEMENT, &seeks());
}

/// The demo's clip: 132 frames of 1280x720 in one group of pictures, so that every seek decodes from its start on.
/// Set-up fetches it for the plugin with the engine.
#[cfg(feature = "torch")]
#[test]
fn every_seek_in_the_demos_clip_shows_what_it_shows_without_the_element() {
    init();
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/clips/bigbuckbunny.mp4");
    assert!(clip.exists(), "{} is missing: run `make setup`", clip.display());
    let flush = SeekFlags::FLUSH;
    let accurate = flush | SeekFlags::ACCURATE;
    let seeks = [
        seek(1.0, accurate, 2010, None), // in the middle of a frame
        seek(1.0, accurate, 1000, Some(4010)),
        seek(1.0, flush | SeekFlags::KEY_UNIT, 3000, None),
        seek(2.0, accurate, 1000, Some(4000)),
        seek(-1.0, accurate, 0, None),
        seek(-1.0, accurate, 1010, Some(4000)),
        seek(1.0, accurate | SeekFlags::SEGMENT, 2000, Some(3000)),
    ];
    let shown = compare(clip.to_str().unwrap(), "flowvidfilter engine=identity !", &seeks);
    assert_eq!(shown, [82, 76, 132, 75, 132, 75, 25]);
}

#[test]
fn seeks_that_interrupt_each_other() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = make_file(folder.path());
    let (without, with) = (Player::new(&file, ""), Player::new(&file, ELEMENT));
    for last in seeks() {
        let interrupted = &seeks()[..6];
        interrupted.iter().for_each(|seek| with.seek(seek));
        with.seek(&last);
        for _ in 0..=interrupted.len() {
            with.until(|seen| *seen == Seen::FlushStop);
        }
        let expected = without.after(&last);
        let shown = with.until(|seen| matches!(seen, Seen::Eos | Seen::SegmentDone(_)));
        assert!(shown == expected, "{last:?}: {:?}", times(&shown));
    }
}

/// Scrubbing: the picture that a paused player shows.
#[test]
fn every_seek_while_paused_shows_its_first_frame() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = make_file(folder.path());
    let players = ["", ELEMENT].map(|elements| Player::new(&file, elements));
    for player in &players {
        player.pipeline.set_state(gst::State::Paused).unwrap();
    }
    for seek in seeks() {
        let [expected, shown] = players.each_ref().map(|player| {
            player.seek(&seek);
            player.pipeline.state(ClockTime::from_seconds(20)).0.unwrap();
            let sink = player.pipeline.by_name("sink").unwrap();
            let sample = sink.property::<Option<gst::Sample>>("last-sample").expect("no preroll");
            (sample.buffer().unwrap().pts(), bytes(sample.buffer().unwrap()))
        });
        assert!(shown == expected, "{seek:?}: {:?} instead of {:?}", shown.0, expected.0);
    }
}

/// A player's endless loop: at the end of each segment the next begins without a flush.
#[test]
fn a_segment_that_is_played_again_and_again() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = make_file(folder.path());
    let rounds = |elements: &str| {
        let player = Player::new(&file, elements);
        let bus = player.pipeline.bus().unwrap();
        let first = seek(1.0, SeekFlags::FLUSH | SeekFlags::ACCURATE | SeekFlags::SEGMENT, 800, Some(1600));
        let mut all = player.after(&first);
        for flags in [SeekFlags::SEGMENT, SeekFlags::SEGMENT, SeekFlags::empty()] {
            let done = bus.timed_pop_filtered(ClockTime::from_seconds(20), &[gst::MessageType::SegmentDone]);
            assert!(done.is_some(), "the pipeline never told that the segment is done");
            player.seek(&Seek { flags: flags | SeekFlags::ACCURATE, ..first });
            all.extend(player.until(|seen| matches!(seen, Seen::Eos | Seen::SegmentDone(_))));
        }
        all
    };
    let expected = rounds("");
    assert_eq!(times(&expected).len(), 4 * 20);
    assert!(rounds(ELEMENT) == expected);
}

#[test]
fn position_and_duration_are_those_of_the_file() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = make_file(folder.path());
    let with = Player::new(&file, ELEMENT);
    let pad = with.pipeline.by_name("filter").unwrap().static_pad("src").unwrap();
    for rate in [1.0, -1.0] {
        let seen = with.after(&seek(rate, SeekFlags::FLUSH | SeekFlags::ACCURATE, 1000, Some(2040)));
        let Seen::Segment { times: [start, _, time, _], .. } = seen[0] else { panic!("no segment") };
        let last = millis(*times(&seen).last().unwrap()) - start.unwrap() + time.unwrap();
        assert_eq!(pad.query_position::<ClockTime>(), Some(last), "rate {rate}");
        assert_eq!(pad.query_duration::<ClockTime>(), Some(millis(FRAMES * 40)), "rate {rate}");
    }
}

/// Key units are ten frames apart. A shot's first batch holds seven frames, each later one six.
#[test]
fn backwards_batches_reach_across_key_units() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let with = Player::new(&make_file(folder.path()), ELEMENT);
    with.until(|seen| *seen == Seen::Eos);
    let filter = with.pipeline.by_name("filter").unwrap();
    let before = count(&filter, "batches");
    let shown = with.after(&seek(-1.0, SeekFlags::FLUSH | SeekFlags::ACCURATE, 0, None));
    assert_eq!(times(&shown).len() as u64, FRAMES);
    assert_eq!(count(&filter, "batches") - before, 1 + (FRAMES - 7).div_ceil(6));
}

#[test]
fn key_units_alone_are_shots_of_one_frame() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = make_file(folder.path());
    let with = Player::new(&file, ELEMENT);
    let flags = SeekFlags::FLUSH | SeekFlags::TRICKMODE | SeekFlags::TRICKMODE_KEY_UNITS;
    with.until(|seen| *seen == Seen::Eos);
    let filter = with.pipeline.by_name("filter").unwrap();
    let before = count(&filter, "batches");
    let shown = times(&with.after(&seek(4.0, flags, 0, None)));
    assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == 400), "{shown:?}");
    assert_eq!((shown.len(), count(&filter, "batches") - before), (10, 10));
}

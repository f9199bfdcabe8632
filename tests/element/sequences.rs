//! Arbitrary sequences of frames, events, queries and flushes: what leaves is what came, in its order.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, channel},
};

use gst::{ClockTime, prelude::*};
use gst_check::Harness;
use gst_video::VideoFormat;
use gstflowvid::engine::IdentityScript;
use proptest::prelude::*;

use crate::{fuzz::bounded, rig::*};

/// Frames of a full batch; twice as many find room while the engine is busy.
const BATCH: usize = 3;

/// What upstream, downstream or the application does. Everything that is sent has a number of its own.
#[derive(Debug, Clone)]
enum Step {
    Frames(usize),
    FrameAfterLoss,
    Tag,
    Custom,
    Gap {
        milliseconds: u64,
    },
    KeyUnit,
    SegmentDone,
    Segment {
        key_units: bool,
    },
    Stream,
    Caps {
        wide: bool,
    },
    /// The caps that hold already: nobody need hear of them.
    CapsAgain,
    Enabled(bool),
    Drain,
    Flush,
    /// That many frames, of which the engine returns none before the flush.
    FlushWhileBusy(usize),
    FlushStopAlone,
    /// That many frames and an event, before the engine returns any.
    WhileBusy(usize),
    /// Downstream would like to be asked again.
    Reconfigure,
    /// To PAUSED and back.
    Pause,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    prop_oneof![
        6 => (1usize..8).prop_map(Frames),
        1 => Just(FrameAfterLoss),
        1 => Just(Tag),
        1 => Just(Custom),
        1 => (0u64..90).prop_map(|milliseconds| Gap { milliseconds }),
        1 => Just(KeyUnit),
        1 => Just(SegmentDone),
        1 => any::<bool>().prop_map(|key_units| Segment { key_units }),
        1 => Just(Stream),
        1 => any::<bool>().prop_map(|wide| Caps { wide }),
        1 => Just(CapsAgain),
        1 => any::<bool>().prop_map(Enabled),
        1 => Just(Drain),
        1 => Just(Flush),
        1 => (0..=2 * BATCH).prop_map(FlushWhileBusy),
        1 => Just(FlushStopAlone),
        1 => (0..=2 * BATCH).prop_map(WhileBusy),
        1 => Just(Reconfigure),
        1 => Just(Pause),
        1 => Just(End),
    ]
}

/// They outlive a flush.
const STICKY: [&str; 3] = ["tag", "caps", "stream"];

/// A thing that was sent, by kind and number.
type Thing = (&'static str, u64);

fn number(structure: Option<&gst::StructureRef>) -> u64 {
    structure.and_then(|structure| structure.get("number").ok()).unwrap_or_default()
}

fn thing(info: &gst::PadProbeInfo) -> Option<Thing> {
    use gst::EventView;
    match info.data.as_ref()? {
        gst::PadProbeData::Buffer(buffer) => Some(("frame", buffer.offset())),
        gst::PadProbeData::Event(event) => Some(match event.view() {
            EventView::FlushStop(_) => ("flush", 0),
            EventView::Eos(eos) => ("end", eos.running_time_offset() as u64),
            EventView::Tag(tag) => ("tag", u64::from(tag.tag().get::<gst::tags::TrackNumber>()?.get())),
            EventView::Gap(gap) => ("gap", gap.get().0.mseconds()),
            EventView::SegmentDone(done) => ("segment-done", u64::try_from(done.get().value()).unwrap()),
            EventView::Segment(segment) => ("segment", segment.running_time_offset() as u64),
            EventView::StreamStart(start) => ("stream", start.stream_id().parse().unwrap_or_default()),
            EventView::Caps(caps) => ("caps", caps.caps().structure(0)?.get::<i32>("number").ok()? as u64),
            EventView::CustomDownstream(custom) => {
                ("custom", Some(number(custom.structure())).filter(|&number| number > 0)?)
            }
            _ => return None,
        }),
        _ => None,
    }
}

struct Player {
    harness: Harness,
    seen: Receiver<Thing>,
    /// Each message lets one batch pass.
    gate: (crossbeam_channel::Sender<()>, crossbeam_channel::Receiver<()>),
    /// What was sent since the last flush.
    sent: VecDeque<Thing>,
    /// The last number before the last flush.
    flushed: u64,
    numbers: u64,
    wide: bool,
}

impl Player {
    fn new(live: bool) -> Self {
        let element = filter(2, BATCH as u32 - 1);
        let gate = crossbeam_channel::unbounded();
        element.set_identity_script(IdentityScript { gate: Some(gate.1.clone()), ..Default::default() });
        let (sender, seen) = channel();
        let mask =
            gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
        let mut harness = harness(&element);
        // Behind the link: what a flushing peer refuses comes again later.
        harness.sinkpad().unwrap().add_probe(mask, move |_, info| {
            thing(info).map(|thing| sender.send(thing));
            gst::PadProbeReturn::Ok
        });
        harness.set_live(live);
        if live {
            harness.use_testclock();
        }
        harness.play();
        let mut player =
            Self { harness, seen, gate, sent: VecDeque::new(), flushed: 0, numbers: 0, wide: false };
        player.open();
        player.step(&Step::Stream);
        player
    }

    fn open(&self) {
        (0..10_000).for_each(|_| self.gate.0.send(()).unwrap());
    }

    fn close(&self) {
        while self.gate.1.try_recv().is_ok() {}
    }

    fn send(&mut self, kind: &'static str, make: impl FnOnce(u64) -> gst::Event) {
        self.numbers += 1;
        let event = make(self.numbers);
        assert!(self.harness.push_event(event), "{kind}");
        self.sent.push_back((kind, self.numbers));
    }

    fn frames(&mut self, count: usize, flags: gst::BufferFlags) {
        for _ in 0..count {
            self.numbers += 1;
            let mut buffer = timed(&self.info(), self.numbers as usize);
            buffer.get_mut().unwrap().set_flags(flags);
            buffer.get_mut().unwrap().set_offset(self.numbers);
            self.harness.push(buffer).unwrap();
            self.sent.push_back(("frame", self.numbers));
        }
    }

    fn info(&self) -> gst_video::VideoInfo {
        info(VideoFormat::Gray8, if self.wide { 32 } else { 16 }, 4, (25, 1))
    }

    fn caps(&mut self) {
        let mut caps = self.info().to_caps().unwrap();
        self.send("caps", |number| {
            caps.make_mut().set("number", number as i32);
            gst::event::Caps::new(&caps)
        });
    }

    fn segment(&mut self, key_units: bool) {
        let mut segment = gst::FormattedSegment::<ClockTime>::new();
        if key_units {
            segment.set_flags(gst::SegmentFlags::TRICKMODE_KEY_UNITS);
        }
        self.send("segment", |number| {
            gst::event::Segment::builder(&segment).running_time_offset(number as i64).build()
        });
    }

    fn stream(&mut self) {
        self.send("stream", |number| gst::event::StreamStart::new(&number.to_string()));
        self.caps();
        self.segment(false);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Frames(count) => self.frames(count, gst::BufferFlags::empty()),
            Step::FrameAfterLoss => self.frames(1, gst::BufferFlags::DISCONT),
            Step::Tag => self.send("tag", |number| {
                let mut tags = gst::TagList::new();
                let (tag, append) = (&(number as u32), gst::TagMergeMode::Append);
                tags.get_mut().unwrap().add::<gst::tags::TrackNumber>(tag, append);
                gst::event::Tag::new(tags)
            }),
            Step::Custom => self.send("custom", |number| {
                let structure = gst::Structure::builder("flowvid-test").field("number", number).build();
                gst::event::CustomDownstream::new(structure)
            }),
            Step::Gap { milliseconds } => self.send("gap", |number| {
                let duration = ClockTime::from_mseconds(milliseconds);
                gst::event::Gap::builder(ClockTime::from_mseconds(number)).duration(duration).build()
            }),
            Step::KeyUnit => self.send("custom", |number| {
                let builder = gst_video::DownstreamForceKeyUnitEvent::builder();
                builder.other_field("number", number).build()
            }),
            Step::SegmentDone => self.send("segment-done", |number| {
                gst::event::SegmentDone::new(ClockTime::from_nseconds(number))
            }),
            Step::Segment { key_units } => self.segment(key_units),
            Step::Stream => self.stream(),
            Step::Caps { wide } => {
                self.wide = wide;
                self.caps();
            }
            Step::CapsAgain => {
                let caps = self.harness.srcpad().unwrap().current_caps().unwrap();
                assert!(self.harness.push_event(gst::event::Caps::new(&caps)));
            }
            Step::Enabled(enabled) => self.harness.element().unwrap().set_property("enabled", enabled),
            Step::Drain => self.drain(),
            Step::Flush => self.flush(true),
            Step::FlushWhileBusy(frames) => {
                self.drain();
                self.close();
                self.frames(frames, gst::BufferFlags::empty());
                self.flush(true);
                self.open();
            }
            Step::FlushStopAlone => self.flush(false),
            Step::WhileBusy(frames) => {
                self.drain();
                self.close();
                self.frames(frames, gst::BufferFlags::empty());
                self.step(&Step::Tag);
                self.open();
            }
            Step::Reconfigure => {
                self.harness.push_upstream_event(gst::event::Reconfigure::new());
            }
            Step::Pause => {
                let element = self.harness.element().unwrap();
                for state in [gst::State::Paused, gst::State::Playing] {
                    element.set_state(state).unwrap();
                }
            }
            Step::End => {
                self.end();
                self.stream();
            }
        }
    }

    /// When the query is answered, all has left.
    fn drain(&mut self) {
        self.harness.srcpad().unwrap().peer_query(&mut gst::query::Drain::new());
        while let Ok(thing) = self.seen.try_recv() {
            self.left(thing);
        }
        assert!(self.sent.is_empty(), "not drained: {:?}", self.sent);
    }

    /// It is what must come next, or a sticky event from before a flush: one that the flush found on its way
    /// comes once more.
    fn left(&mut self, thing: Thing) {
        if self.sent.front() == Some(&thing) {
            self.sent.pop_front();
        } else {
            let again = STICKY.contains(&thing.0) && thing.1 <= self.flushed;
            assert!(again, "{thing:?} instead of {:?}", self.sent);
        }
    }

    fn flush(&mut self, begun: bool) {
        if begun {
            assert!(self.harness.push_event(gst::event::FlushStart::new()));
        }
        assert!(self.harness.push_event(gst::event::FlushStop::new(true)));
        loop {
            match self.seen.try_recv().expect("the flush has passed") {
                ("flush", _) => break,
                thing => self.left(thing),
            }
        }
        self.sent.clear();
        self.flushed = self.numbers;
        self.segment(false);
    }

    fn end(&mut self) {
        self.send("end", |number| gst::event::Eos::builder().running_time_offset(number as i64).build());
        while !self.sent.is_empty() {
            let thing = self.seen.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("lost: {:?}", self.sent));
            self.left(thing);
        }
    }

    /// What the source pad keeps for whoever is linked later.
    fn assert_nothing_sticky_was_lost(&self) {
        let element = self.harness.element().unwrap();
        let (sink, src) = (element.static_pad("sink").unwrap(), element.static_pad("src").unwrap());
        assert_eq!(src.current_caps(), sink.current_caps());
        let stream = |pad: &gst::Pad| pad.stream_id().unwrap().to_string();
        assert_eq!(stream(&src), stream(&sink));
        let tags = |pad: &gst::Pad| pad.sticky_event::<gst::event::Tag>(0).map(|tag| tag.tag_owned());
        assert_eq!(tags(&src), tags(&sink));
    }
}

proptest! {
    #![proptest_config(bounded(256))]

    #[test]
    fn what_leaves_is_what_came_in_its_order(
        live in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut player = Player::new(live);
        for step in &steps {
            player.step(step);
        }
        player.end();
        player.assert_nothing_sticky_was_lost();
    }
}

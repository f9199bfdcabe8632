//! A live source and an engine that is too slow for it, on a clock that the test owns.

use std::sync::mpsc::Receiver;

use gst::{ClockTime, MessageType, prelude::*};
use gst_check::{Harness, TestClock};

use crate::rig::*;

const FRAME: u64 = 40;
/// Frames of a full batch, with `filter(3, 2)`.
const BATCH: u64 = 5;
/// Frames of a minute.
const MINUTE: u64 = 1500;
/// Milliseconds that the engine takes for a batch: half as long again as the batch lasts.
const SLOW: u64 = 300;

/// A frame that left.
#[derive(Debug, Clone, Copy)]
struct Left {
    pts: u64,
    at: u64,
    discont: bool,
}

struct Live {
    element: FlowVidFilter,
    harness: Harness,
    clock: TestClock,
    bus: gst::Bus,
    gate: crossbeam_channel::Sender<()>,
    begun: crossbeam_channel::Receiver<()>,
    leaving: Receiver<Left>,
    left: Vec<Left>,
    edited: u64,
    lost: Vec<u64>,
}

fn millis(value: u64) -> ClockTime {
    ClockTime::from_mseconds(value)
}

impl Live {
    fn new(policy: &str) -> Self {
        let element = filter(3, 2);
        element.set_property_from_str("overload-policy", policy);
        let (gate, begun) = gated_and_heard(&element);
        let bus = bus(&element);
        let mut harness = harness(&element);
        harness.set_live(true);
        harness.use_testclock();
        let clock = harness.testclock().unwrap();
        let leaving = watch_leaving(&element, &clock);
        harness.set_src_caps(small().to_caps().unwrap());
        harness.play();
        Self {
            element,
            harness,
            clock,
            bus,
            gate,
            begun,
            leaving,
            left: Vec::new(),
            edited: 0,
            lost: Vec::new(),
        }
    }

    fn push(&mut self, index: u64) {
        self.clock.set_time(millis(index * FRAME));
        self.harness.push(timed(&small(), index as usize)).unwrap();
    }

    fn engine_begins(&self) {
        self.begun.recv_timeout(PATIENCE).expect("the engine begins a batch");
    }

    /// The batch in work is done, at `at`; what waits is enough for the next.
    fn engine_ends(&mut self, at: u64) {
        self.clock.set_time(millis(at));
        self.gate.send(()).unwrap();
        self.engine_begins();
        // When the next batch begins, the one before and all that passes unedited is on its way out.
        self.read_bus();
        let leaves = self.edited + self.count("bypassed");
        self.wait_for(leaves);
    }

    /// What the bus tells of edited batches and of lost frames.
    fn read_bus(&mut self) {
        for message in self.bus.iter_filtered(&[MessageType::Element, MessageType::Qos]) {
            match message.structure().and_then(|batch| batch.get::<u32>("frames").ok()) {
                Some(frames) => self.edited += u64::from(frames),
                None => self.lost.push(qos(&message)),
            }
        }
    }

    fn wait_for(&mut self, frames: u64) {
        while (self.left.len() as u64) < frames {
            self.left.push(self.leaving.recv_timeout(PATIENCE).expect("a frame leaves"));
        }
    }

    fn count(&self, name: &str) -> u64 {
        count(&self.element, name)
    }

    fn latency(&self) -> (u64, Option<u64>) {
        let (live, min, max) = told_latency(&self.element);
        assert!(live);
        (min.mseconds(), max.map(ClockTime::mseconds))
    }

    /// A minute of frames past an engine that takes [`SLOW`] for each batch, and the end.
    fn minute(&mut self) {
        let mut engine_ends = None;
        for index in 0..MINUTE {
            while let Some(end) = engine_ends.filter(|end| *end <= index * FRAME) {
                self.engine_ends(end);
                engine_ends = Some(end + SLOW);
            }
            self.push(index);
            if index + 1 == BATCH {
                self.engine_begins();
                engine_ends = Some(index * FRAME + SLOW);
            }
        }
        self.harness.push_event(gst::event::Eos::new());
        for _ in 0..MINUTE {
            let _ = self.gate.send(());
        }
        let lost = self.count("dropped");
        self.wait_for(MINUTE - lost);
        // A frame that the probe saw is counted once downstream has taken it.
        while self.harness.pull_event().unwrap().type_() != gst::EventType::Eos {}
        self.read_bus();
    }
}

fn watch_leaving(element: &FlowVidFilter, clock: &TestClock) -> Receiver<Left> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let clock = clock.clone();
    element.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let buffer = info.buffer().unwrap();
        let left = Left {
            pts: buffer.pts().unwrap().mseconds(),
            at: clock.time().mseconds(),
            discont: buffer.flags().contains(gst::BufferFlags::DISCONT),
        };
        let _ = sender.send(left); // the test may have ended
        gst::PadProbeReturn::Ok
    });
    receiver
}

#[test]
fn drop_keeps_the_delay_and_tells_of_every_frame() {
    let mut live = Live::new("drop");
    live.minute();
    let (dropped, out) = (live.count("dropped"), live.count("out"));
    assert_eq!((live.count("in"), out + dropped), (MINUTE, MINUTE));
    assert!((MINUTE / 4..MINUTE / 2).contains(&dropped), "a third is too much for the engine: {dropped}");
    assert_eq!(live.count("bypassed"), 0);
    let (latency, _) = live.latency();
    assert_eq!(latency, BATCH * FRAME + SLOW);
    for pair in live.left.windows(2) {
        let [before, frame] = pair else { unreachable!() };
        assert!(frame.at - frame.pts <= latency, "{frame:?}");
        assert_eq!(frame.discont, frame.pts > before.pts + FRAME, "{before:?}, {frame:?}");
    }
    let left: Vec<u64> = live.left.iter().map(|frame| frame.pts).collect();
    let expected: Vec<u64> =
        (0..MINUTE).map(|index| index * FRAME).filter(|pts| left.binary_search(pts).is_err()).collect();
    assert_eq!(live.lost, expected, "one QOS message per lost frame");
}

/// The timestamp that the message is about.
fn qos(message: &gst::Message) -> u64 {
    let gst::MessageView::Qos(qos) = message.view() else { panic!("{message:?}") };
    let (live, running_time, stream_time, timestamp, duration) = qos.get();
    assert!(live);
    assert_eq!((running_time, stream_time, duration), (timestamp, timestamp, Some(millis(FRAME))));
    timestamp.unwrap().mseconds()
}

#[test]
fn bypass_keeps_the_delay_and_every_frame() {
    let mut live = Live::new("bypass");
    live.minute();
    let counts = ["in", "out", "dropped"].map(|name| live.count(name));
    assert_eq!(counts, [MINUTE, MINUTE, 0]);
    let bypassed = live.count("bypassed");
    assert_eq!(live.edited + bypassed, MINUTE);
    assert!((MINUTE / 4..MINUTE / 2).contains(&bypassed), "a third is too much for the engine: {bypassed}");
    let (latency, _) = live.latency();
    assert_eq!(latency, BATCH * FRAME + SLOW);
    for (index, frame) in live.left.iter().enumerate() {
        assert_eq!(frame.pts, index as u64 * FRAME);
        assert!(frame.at - frame.pts <= latency, "{frame:?}");
        assert!(!frame.discont, "{frame:?}");
    }
    assert!(live.lost.is_empty());
}

#[test]
fn bypass_calls_off_an_engine_that_never_ends() {
    let mut live = Live::new("bypass");
    (0..BATCH).for_each(|index| live.push(index));
    live.engine_begins();
    (BATCH..4 * BATCH + 1).for_each(|index| live.push(index));
    // The engine begins anew, with the frames that came last.
    live.engine_begins();
    live.wait_for(3 * BATCH + 1);
    assert_eq!((live.count("bypassed"), live.count("dropped")), (3 * BATCH + 1, 0));
    let warning = first(&live.bus, MessageType::Warning);
    assert!(warning.contains("pass unedited") && warning.contains("overload-policy=drop"), "{warning}");
}

#[test]
fn block_edits_every_frame_and_holds_no_more_than_its_queues() {
    let live = Live::new("block");
    let Live { element, harness, gate, begun, bus, leaving, .. } = live;
    let pad = element.static_pad("sink").unwrap();
    let source = std::thread::spawn(move || {
        (0..60).for_each(|index| assert!(pad.chain(timed(&small(), index)).is_ok()));
    });
    for _ in 0..2 {
        begun.recv_timeout(PATIENCE).unwrap();
        // Both at one moment.
        let stats = element.property::<gst::Structure>("stats");
        let held = stats.get::<u64>("in").unwrap() - stats.get::<u64>("out").unwrap();
        assert!(held <= 3 * BATCH + 1, "{held} frames held");
        gate.send(()).unwrap();
    }
    drop(gate);
    source.join().unwrap();
    element.static_pad("sink").unwrap().send_event(gst::event::Eos::new());
    let left: Vec<u64> = (0..60).map(|_| leaving.recv_timeout(PATIENCE).unwrap().pts).collect();
    assert_eq!(left, (0..60).map(|index| index * FRAME).collect::<Vec<_>>());
    assert_eq!(["dropped", "bypassed"].map(|name| count(&element, name)), [0, 0]);
    assert!(bus.pop_filtered(&[MessageType::Qos]).is_none());
    drop(harness);
}

/// The same frames and the same slow engine, from a file: upstream waits, whatever the policy.
#[test]
fn a_file_loses_nothing() {
    for policy in ["drop", "bypass"] {
        let element = filter(3, 2);
        element.set_property_from_str("overload-policy", policy);
        let (gate, begun) = gated_and_heard(&element);
        let harness = playing(&element, &small());
        let out = record(&element);
        let pad = element.static_pad("sink").unwrap();
        let source = std::thread::spawn(move || {
            (0..60).for_each(|index| assert!(pad.chain(timed(&small(), index)).is_ok()));
            pad.send_event(gst::event::Eos::new());
        });
        begun.recv_timeout(PATIENCE).unwrap();
        while count(&element, "in") < 2 * BATCH {
            std::thread::yield_now();
        }
        drop(gate);
        source.join().unwrap();
        let seen = until(&out, &event("eos"));
        let frames: Vec<_> = seen.into_iter().filter(|out| matches!(out, Out::Buffer(_))).collect();
        assert_eq!(frames, buffers(0..60), "{policy}");
        assert_eq!(["dropped", "bypassed"].map(|name| count(&element, name)), [0, 0], "{policy}");
        drop(harness);
    }
}

/// A partial batch waits on the pipeline's clock, from the moment when its first frame came.
#[test]
fn a_partial_batch_is_closed_in_time() {
    let element = filter(3, 2);
    element.set_property("batch-timeout", 100_000_000u64);
    let mut harness = harness(&element);
    harness.set_live(true);
    harness.use_testclock();
    let clock = harness.testclock().unwrap();
    harness.set_src_caps(small().to_caps().unwrap());
    harness.play();
    let out = record(&element);
    for (first, at) in [(0, 0), (2, 7000)] {
        clock.set_time(millis(at));
        feed(&mut harness, first..first + 1);
        let alarm = clock.wait_for_next_pending_id();
        assert_eq!(alarm.time(), millis(at + 100));
        clock.set_time(millis(at + 60));
        feed(&mut harness, first + 1..first + 2);
        clock.set_time(millis(at + 100));
        assert_eq!(clock.process_next_clock_id(), Some(alarm));
        until(&out, &Out::Buffer((first as u64 + 1) * FRAME));
    }
    assert_eq!(count(&element, "batches"), 2);
    assert_eq!(told_latency(&element).1, millis(100), "a frame waits no longer than the timeout");
}

#[test]
fn a_file_waits_for_full_batches() {
    let element = filter(3, 2);
    element.set_property("batch-timeout", 1u64);
    let mut harness = harness(&element);
    harness.use_testclock();
    let clock = harness.testclock().unwrap();
    harness.set_src_caps(small().to_caps().unwrap());
    harness.play();
    for index in 0..9 {
        clock.set_time(millis(100 * index as u64));
        feed(&mut harness, index..index + 1);
    }
    harness.push_event(gst::event::Eos::new());
    assert_eq!(pull_all(&mut harness).len(), 9);
    assert_eq!(count(&element, "batches"), 2);
}

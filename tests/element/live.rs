//! A minute of a live pipeline on a clock that the test owns: an edited branch and a plain one behind the
//! same camera, each with a sink that keeps to the clock, show every frame at the same moment.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc::{Receiver, Sender, channel},
};

use gst::{ClockTime, prelude::*};
use gst_check::TestClock;

use crate::rig::*;

/// Frames of a minute, at 30000/1001 per second.
const FRAMES: u64 = 1798;
/// Frames of a full batch; the first one of a shot has one more.
const BATCH: u64 = 8;

/// Who went on after the clock had let it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Camera,
    Plain { pts: ClockTime, at: ClockTime },
    Edited { pts: ClockTime, at: ClockTime },
}

/// A pipeline whose threads stand still unless the clock lets one of them go on.
#[derive(Debug)]
struct Studio {
    pipeline: gst::Pipeline,
    clock: TestClock,
    moves: Receiver<Moved>,
    /// How often the element told of another latency.
    told: Arc<AtomicUsize>,
    gate: crossbeam_channel::Sender<()>,
    begun: crossbeam_channel::Receiver<()>,
    /// Frames that the camera gave, that the engine took and that it gave back.
    shot: u64,
    taken: u64,
    edited: u64,
    plain_shown: Vec<(ClockTime, ClockTime)>,
    edited_shown: Vec<(ClockTime, ClockTime)>,
}

impl Studio {
    fn new() -> Self {
        init();
        let sink = "fakesink sync=true async=false signal-handoffs=true processing-deadline=0";
        let room = "max-size-buffers=0 max-size-bytes=0 max-size-time=0";
        let description = format!(
            "videotestsrc is-live=true num-buffers={FRAMES} \
             ! video/x-raw,format=I420,width=16,height=16,framerate=30000/1001 ! tee name=tee \
             tee. ! queue {room} ! {sink} name=plain \
             tee. ! flowvidfilter name=filter engine=identity batch-size=3 keyframe-interval=4 \
                  ! {sink} name=edited"
        );
        let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
        let clock = TestClock::new();
        pipeline.use_clock(Some(&clock));
        let filter = pipeline.by_name("filter").unwrap().downcast::<FlowVidFilter>().unwrap();
        let (gate, begun) = gated_and_heard(&filter);
        let (sender, moves) = channel();
        watch(&pipeline, &clock, &sender);
        let told = recalculate_latency(&pipeline);
        let (plain_shown, edited_shown) = (Vec::new(), Vec::new());
        Self {
            pipeline,
            clock,
            moves,
            told,
            gate,
            begun,
            shot: 0,
            taken: 0,
            edited: 0,
            plain_shown,
            edited_shown,
        }
    }

    /// Threads that wait for the clock when all have gone as far as they can.
    fn waiting(&self) -> u32 {
        u32::from(self.shot < FRAMES)
            + self.waits(&self.plain_shown, self.shot)
            + self.waits(&self.edited_shown, self.edited)
    }

    /// A sink waits with each frame that has reached it, and at last with EOS.
    fn waits(&self, shown: &[(ClockTime, ClockTime)], reached: u64) -> u32 {
        let shown = shown.len() as u64;
        u32::from(shown < reached || shown == FRAMES)
    }

    /// Frames of the batch that the engine can begin.
    fn next_batch(&self) -> Option<u64> {
        let full = if self.taken == 0 { BATCH + 1 } else { BATCH };
        let held = self.shot - self.taken;
        let closed = held >= full || (self.shot == FRAMES && held > 0);
        // The engine rests once all of the batch before has found room: with the sink, and on the way to it.
        let rests =
            self.edited == self.taken && self.edited - self.edited_shown.len() as u64 <= 1 + BATCH + 1;
        (rests && closed).then_some(held.min(full))
    }

    /// Runs to the end, with an engine that takes the time of `processing` for the batch after so many frames. How
    /// often the pipeline heard of another latency.
    fn run(&mut self, processing: impl Fn(u64) -> ClockTime) -> usize {
        self.pipeline.set_state(gst::State::Playing).unwrap();
        let mut engine_ends = None;
        while (self.edited_shown.len() as u64) < FRAMES || (self.plain_shown.len() as u64) < FRAMES {
            if let Some(frames) = self.next_batch() {
                self.begun
                    .recv_timeout(PATIENCE)
                    .unwrap_or_else(|_| panic!("the engine does not begin: {self:?}"));
                engine_ends = Some(self.clock.time() + processing(self.taken));
                self.taken += frames;
            }
            if self.waiting() > 0 {
                let all = self.clock.timed_wait_for_multiple_pending_ids(self.waiting(), 20_000);
                assert!(all.0, "not all threads wait for the clock: {self:?}");
            }
            let next = self.clock.next_entry_time();
            match engine_ends.filter(|end| next.is_none_or(|next| *end <= next)) {
                Some(end) => {
                    self.clock.set_time(end);
                    self.gate.send(()).unwrap();
                    self.wait_for_batch();
                    self.edited = self.taken;
                    engine_ends = None;
                }
                None => self.let_one_go(),
            }
        }
        self.told.load(Ordering::SeqCst)
    }

    /// From `from` on each frame of both branches was shown this long after its time.
    fn assert_in_sync(&self, from: ClockTime, latency: ClockTime) {
        for shown in [&self.plain_shown, &self.edited_shown] {
            assert_eq!(shown.len() as u64, FRAMES);
            assert!(shown.windows(2).all(|pair| pair[0].0 < pair[1].0), "in their order");
            for (pts, at) in shown.iter().filter(|(pts, _)| *pts >= from) {
                assert_eq!(*at, *pts + latency, "the frame of {pts} was shown at {at}");
            }
        }
    }

    /// Until the element has told of the batch, so of the time that it took.
    fn wait_for_batch(&self) {
        let bus = self.pipeline.bus().unwrap();
        bus.timed_pop_filtered(PATIENCE.try_into().ok(), &[gst::MessageType::Element])
            .expect("a batch is told");
    }

    fn let_one_go(&mut self) {
        assert!(self.clock.crank());
        match self.moves.recv_timeout(PATIENCE).expect("somebody goes on") {
            Moved::Camera => self.shot += 1,
            Moved::Plain { pts, at } => self.plain_shown.push((pts, at)),
            Moved::Edited { pts, at } => self.edited_shown.push((pts, at)),
        }
    }
}

fn watch(pipeline: &gst::Pipeline, clock: &TestClock, sender: &Sender<Moved>) {
    let tee = pipeline.by_name("tee").unwrap();
    let camera = sender.clone();
    tee.static_pad("sink").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let _ = camera.send(Moved::Camera); // the test may have ended
        gst::PadProbeReturn::Ok
    });
    for name in ["plain", "edited"] {
        let (sender, clock) = (sender.clone(), clock.clone());
        pipeline.by_name(name).unwrap().connect("handoff", false, move |values| {
            let pts = values[1].get::<gst::Buffer>().unwrap().pts().unwrap();
            let at = clock.time();
            let moved = if name == "plain" { Moved::Plain { pts, at } } else { Moved::Edited { pts, at } };
            let _ = sender.send(moved);
            None
        });
    }
}

/// As every application does: on the filter's LATENCY message the pipeline is asked anew. How often.
fn recalculate_latency(pipeline: &gst::Pipeline) -> Arc<AtomicUsize> {
    let told = Arc::new(AtomicUsize::new(0));
    let (weak, counted) = (pipeline.downgrade(), told.clone());
    pipeline.bus().unwrap().set_sync_handler(move |_, message| {
        let ours = message.src().is_some_and(|source| source.name() == "filter");
        if ours
            && message.type_() == gst::MessageType::Latency
            && let Some(pipeline) = weak.upgrade()
        {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = pipeline.recalculate_latency(); // not before all pads are active; another message comes
        }
        gst::BusSyncReply::Pass
    });
    told
}

/// Frame time rounded up, times the frames.
fn batch_time() -> ClockTime {
    ClockTime::from_nseconds((1_001_000_000 * (BATCH + 1)).div_ceil(30))
}

/// A frame's time: videotestsrc's own latency.
const CAMERA: ClockTime = ClockTime::from_nseconds(33_366_666);

impl Drop for Studio {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

fn millis(value: u64) -> ClockTime {
    ClockTime::from_mseconds(value)
}

#[test]
fn a_fast_engine_keeps_a_minute_in_sync() {
    let mut studio = Studio::new();
    assert_eq!(studio.run(|_| ClockTime::ZERO), 1, "the frame rate is news");
    studio.assert_in_sync(ClockTime::ZERO, CAMERA + batch_time());
}

/// The first batch shows how long the engine takes; from then on the whole pipeline waits that long.
#[test]
fn a_slow_engine_is_waited_for_by_the_other_branch_too() {
    let mut studio = Studio::new();
    assert_eq!(studio.run(|_| millis(170)), 2, "the frame rate, and the engine's time");
    studio.assert_in_sync(millis(500), CAMERA + batch_time() + millis(170));
}

#[test]
fn an_engine_that_slows_down_is_told_and_waited_for() {
    let mut studio = Studio::new();
    let told = studio.run(|taken| if taken < FRAMES / 2 { millis(40) } else { millis(200) });
    assert_eq!(told, 3, "the frame rate, the engine's time, and that it grew");
    studio.assert_in_sync(ClockTime::from_seconds(32), CAMERA + batch_time() + millis(200));
}

//! What a live stream may hold, tried on one thread: upstream, worker and downstream act in turn, each millisecond.

use std::sync::Arc;

use gst::ClockTime;

use super::Stream;
use crate::element::{
    caps::Format,
    enums::OverloadPolicy,
    items::{InputFrame, Output, first_batch},
    latency::{Latency, reported},
    settings::{Settings, Timing},
};

/// Milliseconds.
const FRAME: u64 = 40;
const MINUTE: u64 = 60_000;
/// Frames of a full batch; the first one of the stream has one more.
const BATCH: usize = 4;

enum Worker {
    Rests,
    /// So many frames are with the engine, until then.
    Works(usize, u64),
    /// So many edited frames are to find room.
    Sends(usize),
}

struct Line {
    stream: Stream,
    format: Arc<Format>,
    worker: Worker,
    /// What the engine takes for a batch.
    engine: u64,
    /// A shot begins after so many frames.
    cuts: u64,
    /// The sink shows a frame so long after its time.
    latency: u64,
    /// The frame that waits in the sink.
    in_sink: Option<u64>,
    taken: usize,
    dropped: usize,
    shown: usize,
    late: usize,
}

fn millis(time: ClockTime) -> u64 {
    time.mseconds()
}

impl Line {
    fn new(engine: u64, cuts: u64) -> Self {
        gst::init().unwrap();
        let timing = Timing {
            overload: OverloadPolicy::Drop,
            processing_latency: engine * 1_000_000,
            ..Timing::default()
        };
        let stream = Stream::new(BATCH + 1, timing);
        stream.set_live(true);
        stream.set_rate(gst::Fraction::new(25, 1));
        let caps =
            gst_video::VideoInfo::builder(gst_video::VideoFormat::Gray8, 4, 4).build().unwrap().to_caps();
        let format = Arc::new(Format::new(&caps.unwrap()).unwrap());
        let (worker, in_sink) = (Worker::Rests, None);
        Self {
            stream,
            format,
            worker,
            engine,
            cuts,
            latency: 0,
            in_sink,
            taken: 0,
            dropped: 0,
            shown: 0,
            late: 0,
        }
    }

    /// The greatest latency that the pipeline is told.
    fn greatest(&self) -> u64 {
        let upstream = Latency { live: true, min: ClockTime::ZERO, max: None };
        millis(reported(upstream, &self.stream.delay()).max.expect("frames are dropped, so there is one"))
    }

    fn upstream(&mut self, now: u64) {
        let mut buffer = gst::Buffer::new();
        buffer.get_mut().unwrap().set_pts(ClockTime::from_mseconds(now));
        let frame = InputFrame {
            buffer,
            format: self.format.clone(),
            settings: Arc::new(Settings::default()),
            stream_time: 0,
            running_time: None,
            starts_shot: (now / FRAME).is_multiple_of(self.cuts),
            key_unit_asked: false,
            arrived: None,
            bypass: false,
        };
        let dropped = &mut self.dropped;
        self.stream.push_frame(frame, |relief| *dropped += relief.dropped.len()).unwrap();
    }

    fn work(&mut self, now: u64) {
        match self.worker {
            Worker::Rests => {
                let wanted = BATCH + usize::from(self.taken == 0);
                self.stream.state.lock().rest();
                let closed = first_batch(self.stream.state.lock().input.iter(), wanted).1;
                if closed {
                    let collected = self.stream.collect(0, wanted, |_, _| (), || false);
                    let frames = collected.expect("nothing flushes").0.len();
                    self.taken += frames;
                    self.worker = Worker::Works(frames, now + self.engine);
                }
            }
            Worker::Works(frames, end) if now >= end => self.worker = Worker::Sends(frames),
            Worker::Works(..) => {}
            Worker::Sends(0) => self.worker = Worker::Rests,
            Worker::Sends(frames) => self.send(frames),
        }
    }

    fn send(&mut self, frames: usize) {
        let mut state = self.stream.state.lock();
        state.load.working = false;
        state.load.blocked = state.output.frames() >= state.output.capacity();
        if state.load.blocked {
            return;
        }
        let first = first_batch(state.input.iter(), 1).0[0].buffer.clone();
        drop(state);
        self.stream.finish_frame(0, first, vec![]).unwrap();
        self.worker = Worker::Sends(frames - 1);
    }

    fn downstream(&mut self, now: u64) {
        if let Some(pts) = self.in_sink.take_if(|pts| now >= *pts + self.latency) {
            self.shown += 1;
            self.late += usize::from(now > pts + self.latency);
        }
        if self.in_sink.is_none() && self.stream.state.lock().output.frames() > 0 {
            let Some(Output::Buffer(buffer)) = self.stream.next_output() else { panic!("a frame waits") };
            self.in_sink = buffer.pts().map(millis);
        }
    }

    /// A minute of the stream with a pipeline of this latency; how many frames were dropped and shown late.
    fn minute(mut self, latency: u64) -> (usize, usize) {
        self.latency = latency;
        for now in 0..MINUTE {
            if now % FRAME == 0 {
                self.upstream(now);
            }
            // Each does what it can before the next millisecond.
            (0..4 * BATCH).for_each(|_| {
                self.downstream(now);
                self.work(now);
            });
        }
        assert!(self.shown + self.dropped > 1400, "{} frames were shown", self.shown);
        (self.dropped, self.late)
    }
}

/// A pipeline waits longer than this element needs where another branch needs longer.
#[test]
fn nothing_is_lost_or_late_between_the_least_and_the_greatest_latency() {
    for (engine, cuts) in
        [(0, 5000), (100, 5000), (160, 5000), (0, 7), (100, 7), (0, 2), (60, 2), (0, 1), (30, 1)]
    {
        let line = || Line::new(engine, cuts);
        let (least, greatest) = ((BATCH as u64 + 1) * FRAME + engine, line().greatest());
        assert!(greatest >= 2 * BATCH as u64 * FRAME, "{greatest} ms are too little to be of use");
        for latency in [least, (least + greatest) / 2, greatest] {
            assert_eq!(
                line().minute(latency),
                (0, 0),
                "{engine} ms, cuts {cuts}, {latency} of {greatest} ms"
            );
        }
        let (dropped, _) = line().minute(greatest + 3 * FRAME);
        assert!(dropped > 0, "{engine} ms, cuts {cuts}: more than {greatest} ms can be held");
    }
}

//! A flush comes back at once, whatever the engine does, and nothing stale is seen after it.

use std::time::{Duration, Instant};

use gst::{ClockTime, prelude::*};
use gst_check::Harness;

use crate::rig::*;

/// The engine would take this long; the flush must not.
const BUSY: Duration = Duration::from_secs(30);
const AT_ONCE: Duration = Duration::from_secs(5);

fn flush(harness: &mut Harness) {
    let begun = Instant::now();
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    assert!(begun.elapsed() < AT_ONCE, "the flush took {:?}", begun.elapsed());
    assert!(harness.push_event(segment()));
}

/// Flushes after `held` frames were pushed, then expects only what comes after.
fn flush_after(name: &str, held: usize, flushes: usize, busy: bool) {
    let element = filter(3, 2);
    let gate = gated(&element);
    let mut harness = playing(&element, &small());
    let out = record(&element);
    if !busy {
        drop(gate.clone());
    }
    feed(&mut harness, 0..held);
    (0..flushes).for_each(|_| flush(&mut harness));
    drop(gate); // from now on the engine returns at once
    feed(&mut harness, 100..107);
    harness.push_event(gst::event::Eos::new());
    let seen = until(&out, &event("eos"));
    let frames: Vec<_> = seen.iter().filter(|out| matches!(out, Out::Buffer(_))).cloned().collect();
    assert_eq!(frames, buffers(100..107), "{name}");
}

#[test]
fn at_every_point_once_and_twice() {
    for flushes in [1, 2] {
        flush_after("empty", 0, flushes, true);
        flush_after("half a batch", 3, flushes, true);
        flush_after("the engine is busy", 5, flushes, true);
        flush_after("the engine is busy and the next batch waits", 10, flushes, true);
    }
}

#[test]
fn while_the_engine_sleeps() {
    let element = filter(2, 1);
    element.set_identity_script(gstflowvid::engine::IdentityScript { delay: BUSY, ..Default::default() });
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..4);
    flush(&mut harness);
}

#[test]
fn while_upstream_waits_for_room() {
    let element = filter(2, 1);
    let _gate = gated(&element);
    let mut harness = playing(&element, &small());
    let pad = element.static_pad("sink").unwrap();
    // Two batches fit; the frame after them waits in the element's chain function.
    feed(&mut harness, 0..4);
    let waiting = std::thread::spawn({
        let pad = pad.clone();
        move || pad.chain(timed(&small(), 4))
    });
    let begun = Instant::now();
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert_eq!(waiting.join().unwrap(), Err(gst::FlowError::Flushing));
    assert!(begun.elapsed() < AT_ONCE);
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
}

#[test]
fn while_downstream_takes_nothing() {
    for seeks in [1, 2] {
        let pipeline = full("appsink name=sink sync=false");
        let second = |seek: u64| ClockTime::from_seconds(10 * seek);
        for seek in 1..=seeks {
            let begun = Instant::now();
            pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, second(seek)).unwrap();
            assert!(begun.elapsed() < AT_ONCE, "seek {seek} took {:?}", begun.elapsed());
        }
        pipeline.set_state(gst::State::Playing).unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
        for index in 0..10 {
            let sample = sink.try_pull_sample(PATIENCE.try_into().ok()).expect("frames after the seek");
            let expected = second(seeks) + index * ClockTime::from_mseconds(40);
            assert_eq!(sample.buffer().unwrap().pts(), Some(expected));
        }
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// Loading goes on, and what was pushed before is not seen when it is done.
#[test]
fn while_the_model_loads() {
    for (held, flushes) in [(0, 1), (3, 2), (10, 1), (10, 2)] {
        let element = filter(3, 2);
        let gate = loading(&element);
        let bus = bus(&element);
        let mut harness = playing(&element, &small());
        let out = record(&element);
        bus.timed_pop_filtered(PATIENCE.try_into().ok(), &[gst::MessageType::Progress]).expect("it loads");
        feed(&mut harness, 0..held);
        (0..flushes).for_each(|_| flush(&mut harness));
        drop(gate);
        feed(&mut harness, 100..107);
        harness.push_event(gst::event::Eos::new());
        let seen = until(&out, &event("eos"));
        let frames: Vec<_> = seen.iter().filter(|out| matches!(out, Out::Buffer(_))).cloned().collect();
        assert_eq!(frames, buffers(100..107), "{held} held, {flushes} flushes");
        let progress = bus.iter_filtered(&[gst::MessageType::Progress]).map(|message| progress_of(&message));
        assert_eq!(progress.collect::<Vec<_>>(), [gst::ProgressType::Complete], "loading goes on");
    }
}

#[test]
fn sticky_events_survive() {
    let element = filter(3, 2);
    let gate = gated(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..6);
    let mut tags = gst::TagList::new();
    tags.get_mut().unwrap().add::<gst::tags::Title>(&"kept", gst::TagMergeMode::Append);
    harness.push_event(gst::event::Tag::new(tags));
    let wide = info(gst_video::VideoFormat::I420, 32, 16, (25, 1));
    harness.push_event(gst::event::Caps::new(&wide.to_caps().unwrap()));
    flush(&mut harness);
    drop(gate);
    harness.push(timed(&wide, 7)).unwrap();
    harness.push_event(gst::event::Eos::new());
    assert_eq!(pull_all(&mut harness).len(), 1);
    let pad = element.static_pad("src").unwrap();
    assert_eq!(
        pad.sticky_event::<gst::event::Tag>(0).unwrap().tag().get::<gst::tags::Title>().unwrap().get(),
        "kept"
    );
    assert_eq!(pad.current_caps().unwrap(), wide.to_caps().unwrap());
}

#[test]
fn a_seek_in_a_pipeline() {
    init();
    let description = "videotestsrc ! video/x-raw,width=32,height=32,framerate=25/1 ! \
                       flowvidfilter engine=identity batch-size=2 keyframe-interval=4 ! appsink name=sink sync=false max-buffers=3";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for second in [3, 0, 5, 1] {
        sink.pull_sample().unwrap();
        pipeline
            .seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, ClockTime::from_seconds(second))
            .unwrap();
        let sample = sink.pull_sample().unwrap();
        assert_eq!(sample.buffer().unwrap().pts(), Some(ClockTime::from_seconds(second)));
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

/// The gate lets one batch through: if the flush had not called the engine off, the old batch would
/// take that leave and the new one would wait for ever.
#[test]
fn the_engine_is_called_off() {
    let element = filter(2, 1);
    let (gate, begun) = gated_and_heard(&element);
    let mut harness = playing(&element, &small());
    let out = record(&element);
    feed(&mut harness, 0..2);
    begun.recv_timeout(PATIENCE).unwrap();
    flush(&mut harness);
    feed(&mut harness, 100..102);
    gate.send(()).unwrap();
    let seen = until(&out, &Out::Buffer(101 * 40));
    assert!(!seen.contains(&Out::Buffer(0)), "{seen:?}");
}

/// A pad that somebody else deactivated, or flushes: nobody will ever take what we hold.
#[test]
fn downstream_that_flushes_by_itself_lets_upstream_go() {
    let element = filter(2, 1);
    let mut harness = playing(&element, &small());
    let out = record(&element);
    let downstream = harness.sinkpad().unwrap();
    downstream.set_active(false).unwrap();
    let (sender, answer) = std::sync::mpsc::channel();
    let pad = element.static_pad("sink").unwrap();
    std::thread::spawn(move || {
        let error = (0..1000).find_map(|index| pad.chain(timed(&small(), index)).err());
        sender.send(error).unwrap();
    });
    let error = answer.recv_timeout(PATIENCE).expect("upstream waits for ever");
    assert_eq!(error, Some(gst::FlowError::Flushing));
    downstream.set_active(true).unwrap();
    flush(&mut harness);
    feed(&mut harness, 2000..2002);
    harness.push_event(gst::event::Eos::new());
    assert!(until(&out, &event("eos")).ends_with(&[buffers(2000..2002), vec![event("eos")]].concat()));
}

#[test]
fn while_downstream_is_blocked() {
    let element = filter(2, 1);
    let mut harness = playing(&element, &small());
    let (sender, blocked) = std::sync::mpsc::channel();
    let pad = element.static_pad("src").unwrap();
    let probe = pad
        .add_probe(gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER, move |_, _| {
            sender.send(()).unwrap();
            gst::PadProbeReturn::Ok
        })
        .unwrap();
    feed(&mut harness, 0..4);
    blocked.recv_timeout(PATIENCE).unwrap();
    flush(&mut harness);
    pad.remove_probe(probe);
    feed(&mut harness, 100..103);
    harness.push_event(gst::event::Eos::new());
    let received: Vec<_> = pull_all(&mut harness).iter().map(|buffer| bytes(buffer)).collect();
    assert_eq!(received, [100, 101, 102].map(|index| bytes(&timed(&small(), index))));
}

/// Its queues are emptied, so what the engine returns meanwhile must find no place in them.
#[test]
fn an_end_of_a_flush_that_never_began() {
    let element = filter(2, 1);
    let (gate, begun) = gated_and_heard(&element);
    let mut harness = playing(&element, &small());
    let out = record(&element);
    feed(&mut harness, 0..2);
    begun.recv_timeout(PATIENCE).unwrap();
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    assert!(harness.push_event(segment()));
    feed(&mut harness, 100..103);
    drop(gate);
    harness.push_event(gst::event::Eos::new());
    let seen = until(&out, &event("eos"));
    let frames: Vec<_> = seen.into_iter().filter(|out| matches!(out, Out::Buffer(_))).collect();
    assert_eq!(frames, buffers(100..103));
}

/// The format was settled, but the flush came before downstream was told.
#[test]
fn while_the_format_is_negotiated() {
    let element = filter(2, 1);
    let (sink, src) = (element.static_pad("sink").unwrap(), element.static_pad("src").unwrap());
    let flushes = std::sync::atomic::AtomicBool::new(true);
    src.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let asks = matches!(&info.data, Some(gst::PadProbeData::Query(query)) if query.type_() == gst::QueryType::Caps);
        let worker = std::thread::current().name().is_some_and(|name| name.starts_with("flowvid:"));
        if asks && worker && flushes.swap(false, std::sync::atomic::Ordering::SeqCst) {
            sink.send_event(gst::event::FlushStart::new());
            sink.send_event(gst::event::FlushStop::new(true));
        }
        gst::PadProbeReturn::Ok
    });
    let out = record(&element);
    let mut harness = playing(&element, &small());
    until(&out, &event("caps"));
    harness.push_event(segment());
    feed(&mut harness, 0..3);
    harness.push_event(gst::event::Eos::new());
    assert_eq!(pull_all(&mut harness).len(), 3);
    assert_eq!(src.current_caps(), Some(small().to_caps().unwrap()));
}

/// As a demuxer does it: one thread feeds, another seeks. After a flush only frames that were fed after it leave.
#[test]
fn a_hundred_in_full_flow() {
    let element = filter(2, 1);
    let mut harness = playing(&element, &small());
    let (sender, leaving) = std::sync::mpsc::channel();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
    element.static_pad("src").unwrap().add_probe(mask, move |_, info| {
        let left = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => Some(buffer.pts().unwrap().mseconds() as usize / 40),
            _ => None,
        };
        let _ = sender.send(left); // the test may have failed
        gst::PadProbeReturn::Ok
    });
    let next = std::sync::Arc::new(parking_lot::Mutex::new(0));
    let (fed, feeder) = keep_feeding(element.static_pad("sink").unwrap(), next.clone());
    let mut firsts = vec![0];
    for _ in 0..100 {
        fed.try_iter().for_each(drop); // frames of before
        fed.recv_timeout(PATIENCE).unwrap();
        assert!(harness.push_event(gst::event::FlushStart::new()));
        let next = next.lock();
        assert!(harness.push_event(gst::event::FlushStop::new(true)));
        assert!(harness.push_event(segment()));
        firsts.push(*next);
    }
    drop(fed); // ends the feeding
    feeder.join().unwrap();
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness);
    let left: Vec<_> = leaving.try_iter().collect();
    // A flush is two events.
    let between: Vec<_> = left.split(Option::is_none).step_by(2).collect();
    assert_eq!(between.len(), firsts.len());
    for (frames, first) in between.into_iter().zip(firsts) {
        assert!(frames.iter().flatten().all(|&frame| frame >= first), "{first}: {frames:?}");
    }
}

/// A thread that feeds `pad` with frame after frame, holding their number meanwhile, until nobody hears of it.
fn keep_feeding(
    pad: gst::Pad,
    next: std::sync::Arc<parking_lot::Mutex<usize>>,
) -> (std::sync::mpsc::Receiver<()>, std::thread::JoinHandle<()>) {
    let (sender, fed) = std::sync::mpsc::channel();
    let feeder = std::thread::spawn(move || {
        while sender.send(()).is_ok() {
            let mut next = next.lock();
            let answer = pad.chain(timed(&small(), *next));
            assert!(matches!(answer, Ok(_) | Err(gst::FlowError::Flushing)), "{answer:?}");
            *next += 1;
            parking_lot::MutexGuard::unlock_fair(next);
        }
    });
    (fed, feeder)
}

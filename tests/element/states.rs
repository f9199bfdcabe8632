//! Any state at any time, again and again, with several instances.

use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::rig::*;

const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn two_hundred_starts() {
    let element = filter(2, 2);
    for round in 0..200 {
        let mut harness = playing(&element, &small());
        for index in 0..round % 5 {
            harness.push(timed(&small(), index)).unwrap();
        }
        drop(harness); // the element goes to NULL
    }
}

#[test]
fn a_hundred_elements_that_never_ran() {
    for _ in 0..100 {
        let element = filter(2, 2);
        let watched = element.downgrade();
        drop(element);
        assert!(watched.upgrade().is_none());
    }
}

#[test]
fn an_element_that_ran_is_freed() {
    let element = filter(2, 2);
    let watched = element.downgrade();
    let mut harness = playing(&element, &small());
    harness.push(timed(&small(), 0)).unwrap();
    drop(harness);
    drop(element);
    assert!(watched.upgrade().is_none());
}

#[test]
fn stopping_does_not_wait_for_the_engine() {
    for delay in [Duration::ZERO, Duration::from_secs(30)] {
        for frames in [0, 1, 3, 5, 10] {
            let element = filter(3, 2);
            let (_gate, receiver) = crossbeam_channel::unbounded::<()>();
            element.set_identity_script(gstflowvid::engine::IdentityScript {
                gate: delay.is_zero().then_some(receiver),
                delay,
                ..Default::default()
            });
            let mut harness = playing(&element, &small());
            feed(&mut harness, 0..frames);
            let begun = Instant::now();
            element.set_state(gst::State::Null).unwrap();
            assert!(begun.elapsed() < AT_ONCE, "{frames} frames: {:?}", begun.elapsed());
        }
    }
}

#[test]
fn a_pipeline_stops_while_the_source_waits_for_room() {
    init();
    let description = "videotestsrc ! flowvidfilter name=filter engine=identity batch-size=2 ! fakesink";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let element = pipeline.by_name("filter").unwrap().downcast::<FlowVidFilter>().unwrap();
    for target in [gst::State::Null, gst::State::Ready, gst::State::Null] {
        let _gate = gated(&element);
        pipeline.set_state(gst::State::Playing).unwrap();
        // Upstream's thread has begun to fill the element when the first frame is in.
        let bus = pipeline.bus().unwrap();
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::StreamStart]);
        let begun = Instant::now();
        pipeline.set_state(target).unwrap();
        assert!(begun.elapsed() < AT_ONCE, "{target:?}: {:?}", begun.elapsed());
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn stopping_does_not_wait_for_downstream() {
    for target in [gst::State::Ready, gst::State::Null] {
        let pipeline = full("fakesink");
        let begun = Instant::now();
        pipeline.set_state(target).unwrap();
        assert!(begun.elapsed() < AT_ONCE, "{target:?}: {:?}", begun.elapsed());
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// What was begun is told to have ended: gst-launch waits for that.
#[test]
fn stopping_calls_loading_off() {
    for frames in [0, 3, 10] {
        let element = filter(3, 2);
        let gate = loading(&element);
        let bus = bus(&element);
        let mut harness = playing(&element, &small());
        bus.timed_pop_filtered(PATIENCE.try_into().ok(), &[gst::MessageType::Progress]).expect("it loads");
        feed(&mut harness, 0..frames);
        let begun = Instant::now();
        element.set_state(gst::State::Null).unwrap();
        assert!(begun.elapsed() < AT_ONCE, "{frames} frames: {:?}", begun.elapsed());
        let progress = bus.iter_filtered(&[gst::MessageType::Progress]).map(|message| progress_of(&message));
        assert_eq!(progress.collect::<Vec<_>>(), [gst::ProgressType::Canceled]);
        element.set_identity_script(Default::default());
        assert!(gate.send(()).is_err(), "the worker still waits for the model");
    }
}

#[test]
fn every_frame_arrives_in_each_of_three_instances() {
    let chain = "flowvidfilter engine=identity batch-size=2 keyframe-interval=3";
    let description =
        format!("videotestsrc num-buffers=50 ! {chain} ! {chain} ! {chain} ! fakesink name=sink");
    let runs: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn({
                let description = description.clone();
                move || run(&description)
            })
        })
        .collect();
    for finished in runs {
        assert_eq!(finished.join().unwrap(), Ok(50));
    }
}

#[test]
fn paused_to_ready_and_back_begins_anew() {
    let element = filter(3, 2);
    let mut harness = playing(&element, &small());
    harness.push(timed(&small(), 0)).unwrap();
    element.set_state(gst::State::Ready).unwrap();
    assert_eq!(harness.push(timed(&small(), 1)), Err(gst::FlowError::Flushing));
    assert_eq!(element.property::<String>("active-device"), "");
    element.set_state(gst::State::Playing).unwrap();
    begin_again(&mut harness);
    harness.push(timed(&small(), 2)).unwrap();
    harness.push_event(gst::event::Eos::new());
    let received: Vec<_> =
        pull_all(&mut harness).iter().map(|buffer| buffer.pts().unwrap().mseconds()).collect();
    assert_eq!(received, [80]);
}

#[test]
fn stopping_calls_the_engine_off() {
    let element = filter(2, 1);
    let (gate, begun) = gated_and_heard(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..4);
    begun.recv_timeout(PATIENCE).unwrap();
    element.set_state(gst::State::Null).unwrap();
    element.set_identity_script(Default::default());
    assert!(gate.send(()).is_err(), "the worker still waits in the engine");
}

/// Plays one frame; how many times loading was told since the last time.
fn loads(element: &FlowVidFilter, harness: &mut gst_check::Harness, bus: &gst::Bus) -> usize {
    element.set_state(gst::State::Playing).unwrap();
    begin_again(harness);
    harness.push(timed(&small(), 0)).unwrap();
    harness.push_event(gst::event::Eos::new());
    while harness.pull_event().unwrap().type_() != gst::EventType::Eos {}
    element.set_state(gst::State::Ready).unwrap();
    bus.iter_filtered(&[gst::MessageType::Progress]).count() / 2 // start and complete
}

#[test]
fn a_model_is_loaded_once_and_freed_in_null() {
    let element = filter(2, 2);
    let (outcomes, others) = (std::sync::Arc::default(), std::sync::Arc::default());
    let script = |outcomes: &std::sync::Arc<_>| gstflowvid::engine::IdentityScript {
        outcomes: std::sync::Arc::clone(outcomes),
        ..Default::default()
    };
    // Everyone who holds the script holds it twice: in the request and as the model that was loaded.
    element.set_identity_script(script(&outcomes));
    let idle = std::sync::Arc::strong_count(&outcomes);
    let bus = bus(&element); // before the harness plays: loading begins with that
    let mut harness = harness(&element);
    let mut loads = || loads(&element, &mut harness, &bus);
    assert_eq!((loads(), loads()), (1, 0));
    assert!(std::sync::Arc::strong_count(&outcomes) > idle, "READY keeps the model");
    element.set_identity_script(script(&others));
    assert_eq!(loads(), 1, "another request");
    assert_eq!(std::sync::Arc::strong_count(&outcomes), 1, "the first model is let go of");
    element.set_state(gst::State::Null).unwrap();
    assert_eq!(std::sync::Arc::strong_count(&others), idle, "NULL frees the model");
    assert_eq!(loads(), 1);
}

//! A fault is told on the bus, ends the flow, hangs nobody, and is over after READY.

use gst::{FlowError, MessageType, prelude::*};
use gstflowvid::engine::{EngineError, IdentityScript, Outcome};

use crate::rig::*;

/// An element whose first batch ends as told.
fn failing(outcome: Outcome) -> FlowVidFilter {
    let element = filter(2, 1);
    let outcomes = std::sync::Arc::new(parking_lot::Mutex::new(vec![outcome]));
    element.set_identity_script(IdentityScript { outcomes, ..Default::default() });
    element
}

/// Pushes frames until upstream hears of the error.
fn push_until_error(harness: &mut gst_check::Harness) -> FlowError {
    (0..1000)
        .find_map(|index| harness.push(timed(&small(), index)).err())
        .expect("upstream heard of no error")
}

#[test]
fn engine_errors_reach_the_bus_and_upstream() {
    let out_of_memory = EngineError::OutOfMemory { device: "cuda:0".into(), detail: "8 GiB asked".into() };
    for (outcome, text, matches_domain) in [
        (
            Outcome::Fail(out_of_memory),
            "lower processing-size",
            gst::ResourceError::NoSpaceLeft.into_domain(),
        ),
        (
            Outcome::Fail(EngineError::Settings("no such picture".into())),
            "no such picture",
            gst::LibraryError::Settings.into_domain(),
        ),
        (
            Outcome::Fail(EngineError::Unavailable("no model".into())),
            "no model",
            gst::LibraryError::Init.into_domain(),
        ),
        (Outcome::Panic, "told to panic", gst::LibraryError::Failed.into_domain()),
    ] {
        let element = failing(outcome);
        let bus = bus(&element);
        let mut harness = playing(&element, &small());
        assert_eq!(push_until_error(&mut harness), FlowError::Error, "{text}");
        let message =
            bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = message.view() else { unreachable!() };
        assert!(error.error().to_string().contains(text), "{error:?}");
        assert_eq!(error.error().domain(), matches_domain, "{error:?}");
        assert!(!harness.push_event(gst::event::Eos::new()), "{text}: EOS after an error");
        recovers(&element, harness);
    }
}

trait IntoDomain {
    fn into_domain(self) -> glib::Quark;
}

impl<E: glib::error::ErrorDomain> IntoDomain for E {
    fn into_domain(self) -> glib::Quark {
        E::domain()
    }
}

/// Back to READY and on: frames pass.
fn recovers(element: &FlowVidFilter, harness: gst_check::Harness) {
    drop(harness);
    let mut harness = playing(element, &small());
    harness.push(timed(&small(), 0)).unwrap();
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(pull_all(&mut harness).len(), 1);
}

#[test]
fn a_flush_after_an_error_lets_frames_pass_again() {
    let element = failing(Outcome::Panic);
    let mut harness = playing(&element, &small());
    assert_eq!(push_until_error(&mut harness), FlowError::Error);
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    harness.push_event(segment());
    feed(&mut harness, 0..3);
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(pull_all(&mut harness).len(), 3);
}

#[test]
fn a_model_that_cannot_be_had_is_told_with_progress() {
    let element = filter(2, 1);
    element.set_property_from_str("engine", "flowvid");
    element.set_property("prompt", "a watercolour");
    element.set_property("model", "/nowhere/at/all");
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    assert_eq!(push_until_error(&mut harness), FlowError::Error);
    let error = first(&bus, MessageType::Error);
    assert!(error.contains("/nowhere/at/all") || error.contains("built without libtorch"), "{error}");
    drop(harness);
}

#[test]
fn loading_is_told_from_start_to_end() {
    let element = filter(2, 1);
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    harness.push(timed(&small(), 0)).unwrap();
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness);
    assert_eq!(element.property::<String>("active-device"), "none");
    let kinds: Vec<_> =
        bus.iter_filtered(&[MessageType::Progress]).map(|message| progress_of(&message)).collect();
    assert_eq!(kinds, [gst::ProgressType::Start, gst::ProgressType::Complete]);
}

#[test]
fn what_the_model_has_to_say_stands_with_its_loading() {
    let element = filter(3, 2);
    let note = "x.safetensors is an LCM LoRA";
    element.set_identity_script(IdentityScript { notes: vec![note.into()], ..Default::default() });
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..1);
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness);
    let complete = bus.iter_filtered(&[MessageType::Progress]).last().expect("it was loaded");
    let gst::MessageView::Progress(progress) = complete.view() else { unreachable!("filtered") };
    assert_eq!(progress.get().2, format!("model loaded on none; {note}"));
}

#[test]
fn nothing_to_do_is_said_once() {
    let element = filter(2, 1);
    element.set_property_from_str("engine", "flowvid");
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..5);
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness);
    assert_eq!(bus.iter_filtered(&[MessageType::Warning]).count(), 1);
}

#[test]
fn downstream_errors_come_back_to_upstream() {
    for (answer, expected) in [
        (FlowError::Error, FlowError::Error),
        (FlowError::NotLinked, FlowError::NotLinked),
        (FlowError::Eos, FlowError::Eos),
        (FlowError::NotNegotiated, FlowError::NotNegotiated),
        (FlowError::Flushing, FlowError::Flushing),
    ] {
        let element = filter(2, 1);
        let mut harness = playing(&element, &small());
        answering(&element, answer);
        assert_eq!(push_until_error(&mut harness), expected);
    }
}

/// Makes downstream answer each frame with an error.
fn answering(element: &FlowVidFilter, answer: FlowError) {
    let pad = element.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        info.flow_res = Err(answer);
        gst::PadProbeReturn::Handled
    });
}

#[test]
fn an_error_after_eos_is_told_on_the_bus() {
    let element = filter(3, 3);
    let gate = gated(&element);
    let bus = bus(&element);
    let mut harness = playing(&element, &small());
    answering(&element, FlowError::NotLinked);
    harness.push(timed(&small(), 0)).unwrap();
    assert!(harness.push_event(gst::event::Eos::new()));
    drop(gate);
    assert!(first(&bus, MessageType::Error).contains("NotLinked"));
}

#[test]
fn events_still_pass_when_downstream_has_enough() {
    let element = filter(2, 1);
    let mut harness = playing(&element, &small());
    let out = record(&element);
    answering(&element, FlowError::Eos);
    assert_eq!(push_until_error(&mut harness), FlowError::Eos);
    assert!(harness.push_event(gst::event::Eos::new()));
    until(&out, &event("eos"));
}

//! The trap behind a `tee`: a sibling branch that cannot hold a batch stops the whole pipeline.

use gst::{ClockTime, MessageType, prelude::*};

use crate::rig::*;

/// A batch of nine frames beside a branch whose queue is `sibling`.
fn tee(sibling: &str) -> gst::Pipeline {
    init();
    let description = format!(
        "videotestsrc num-buffers=40 ! video/x-raw,width=16,height=16,framerate=25/1 ! tee name=tee \
         tee. ! queue name=narrow {sibling} ! fakesink \
         tee. ! queue ! flowvidfilter name=filter engine=identity batch-size=3 keyframe-interval=4 \
              stall-timeout=100000000 ! fakesink"
    );
    gst::parse::launch(&description).unwrap().downcast().unwrap()
}

fn wait_for(pipeline: &gst::Pipeline, kind: MessageType) -> gst::Message {
    let bus = pipeline.bus().unwrap();
    let kinds = [kind, MessageType::Error];
    let message = bus.timed_pop_filtered(ClockTime::from_seconds(20), &kinds).expect("the message comes");
    assert_eq!(message.type_(), kind, "{message:?}");
    message
}

#[test]
fn a_narrow_sibling_is_named_with_the_remedy_that_helps() {
    let pipeline = tee("max-size-buffers=3");
    pipeline.set_state(gst::State::Playing).unwrap();
    let message = wait_for(&pipeline, MessageType::Warning);
    let gst::MessageView::Warning(warning) = message.view() else { unreachable!() };
    let text = warning.error().to_string();
    let remedy = "max-size-buffers=0 max-size-bytes=0 max-size-time=0";
    assert!(text.contains("narrow") && text.contains(remedy), "{text}");
    let again =
        pipeline.bus().unwrap().timed_pop_filtered(ClockTime::from_mseconds(300), &[MessageType::Warning]);
    assert!(again.is_none(), "a stall is told once");
    let narrow = pipeline.by_name("narrow").unwrap();
    narrow.set_property("max-size-bytes", 0u32);
    narrow.set_property("max-size-time", 0u64);
    narrow.set_property("max-size-buffers", 0u32);
    wait_for(&pipeline, MessageType::Eos);
    assert_eq!(count(&pipeline.by_name("filter").unwrap(), "out"), 40);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_wide_sibling_finishes_without_a_word() {
    let pipeline = tee("max-size-buffers=0 max-size-bytes=0 max-size-time=0");
    pipeline.set_state(gst::State::Playing).unwrap();
    wait_for(&pipeline, MessageType::Eos);
    assert!(pipeline.bus().unwrap().pop_filtered(&[MessageType::Warning]).is_none());
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Hears what the element says of the stall that it looked into.
fn hear(pipeline: &gst::Pipeline, part: &'static str) -> std::sync::mpsc::Receiver<()> {
    let (sender, heard) = std::sync::mpsc::channel();
    let filter = pipeline.by_name("filter").unwrap();
    gst::log::set_threshold_for_name("flowvidfilter", gst::DebugLevel::Debug);
    gst::log::add_log_function(move |category, _, _, _, _, object, message| {
        let ours = object.is_some_and(|object| object.as_ptr().cast() == filter.as_ptr());
        if ours && category.name() == "flowvidfilter" && message.get().is_some_and(|text| text.contains(part))
        {
            let _ = sender.send(()); // the test may have ended
        }
    });
    heard
}

#[test]
fn a_slow_source_is_no_stall() {
    init();
    let description = "appsrc name=source format=time caps=video/x-raw,format=I420,width=16,height=16,framerate=25/1 \
                       ! tee name=tee tee. ! queue ! fakesink \
                       tee. ! flowvidfilter name=filter engine=identity stall-timeout=1000000 ! fakesink";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let heard = hear(&pipeline, "no branch beside this one is full");
    let source = pipeline.by_name("source").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    source.push_buffer(timed(&small(), 0)).unwrap();
    heard.recv_timeout(PATIENCE).expect("the element looked for the reason");
    source.end_of_stream().unwrap();
    wait_for(&pipeline, MessageType::Eos);
    assert!(pipeline.bus().unwrap().pop_filtered(&[MessageType::Warning]).is_none());
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_paused_pipeline_is_no_stall() {
    init();
    let description = "videotestsrc ! video/x-raw,width=16,height=16,framerate=25/1 ! tee name=tee \
                       tee. ! queue max-size-buffers=3 ! fakesink async=false \
                       tee. ! flowvidfilter name=filter engine=identity stall-timeout=1000000 ! fakesink async=false";
    let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let heard = hear(&pipeline, "the pipeline is paused");
    pipeline.set_state(gst::State::Paused).unwrap();
    heard.recv_timeout(PATIENCE).expect("the element looked for the reason");
    assert!(pipeline.bus().unwrap().pop_filtered(&[MessageType::Warning]).is_none());
    pipeline.set_state(gst::State::Null).unwrap();
}

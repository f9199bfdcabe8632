//! Downstream is told that a generative model edited the video, and how; never where it did not.

use gst::{TagMergeMode, TagScope, prelude::*, tags};
use gstflowvid::engine::IdentityScript;

use crate::rig::*;

/// An element whose engine gives edited pictures, so that there is an edit to tell of.
fn editing(prompt: &str) -> FlowVidFilter {
    let element = filter(3, 1);
    edit(&element, prompt);
    element
}

fn edit(element: &FlowVidFilter, prompt: &str) {
    element.set_identity_script(IdentityScript { returns_pictures: true, ..Default::default() });
    element.set_property("prompt", prompt);
    element.set_property("seed", 7u64);
}

fn upstream(scope: TagScope, title: &str) -> gst::Event {
    let mut list = gst::TagList::new();
    {
        let list = list.get_mut().unwrap();
        list.set_scope(scope);
        list.add::<tags::Title>(&title, TagMergeMode::Append);
        list.add::<tags::Comment>(&"theirs", TagMergeMode::Append);
    }
    gst::event::Tag::new(list)
}

/// What downstream knows of `scope` in the end.
fn known(element: &FlowVidFilter, scope: TagScope) -> Option<gst::TagList> {
    let mut found = None;
    element.static_pad("src").unwrap().sticky_events_foreach(|event| {
        if let gst::EventView::Tag(tag) = event.view()
            && tag.tag().scope() == scope
        {
            found = Some(tag.tag_owned());
        }
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    found
}

fn comments(list: &gst::TagListRef) -> Vec<String> {
    list.iter_tag::<tags::Comment>().map(|comment| comment.get().to_owned()).collect()
}

fn extended(list: &gst::TagListRef) -> Vec<String> {
    list.iter_tag::<tags::ExtendedComment>().map(|comment| comment.get().to_owned()).collect()
}

#[test]
fn an_edit_is_told_before_its_first_frame_and_again_when_it_changes() {
    let element = editing("oil");
    let out = record(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..3);
    element.set_property("prompt", "pencil");
    feed(&mut harness, 3..7);
    harness.push_event(gst::event::StreamStart::new("another"));
    feed(&mut harness, 7..8);
    harness.push_event(gst::event::Eos::new());
    let seen = until(&out, &event("eos"));
    let start = seen.iter().position(|out| *out == event("segment")).unwrap() + 1;
    let expected = [
        vec![event("tag")],
        buffers(0..3),
        vec![event("tag")],
        buffers(3..7),
        vec![event("stream-start"), event("tag")],
        buffers(7..8),
        vec![event("eos")],
    ];
    assert_eq!(seen[start..], expected.concat());
}

/// The whole batch is edited with what its first frame met.
#[test]
fn a_change_within_a_batch_is_told_with_the_next() {
    let element = editing("oil");
    let out = record(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..1);
    element.set_property("prompt", "pencil");
    feed(&mut harness, 1..6);
    harness.push_event(gst::event::Eos::new());
    let seen = until(&out, &event("eos"));
    let start = seen.iter().position(|out| *out == event("segment")).unwrap() + 1;
    let expected = [vec![event("tag")], buffers(0..3), vec![event("tag")], buffers(3..6), vec![event("eos")]];
    assert_eq!(seen[start..], expected.concat());
}

#[test]
fn the_tags_tell_of_model_prompt_and_seed() {
    let element = editing("oil; thick");
    element.set_property("negative-prompt", "blurry");
    element.set_property("edited-frame", "/home/somebody/edit.png");
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..3);
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness);
    let list = known(&element, TagScope::Stream).unwrap();
    let name = list.get::<tags::ApplicationName>().unwrap();
    assert_eq!(name.get(), concat!("flowvidfilter ", env!("CARGO_PKG_VERSION")));
    let source = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";
    assert_eq!(
        comments(&list),
        [format!(
            "Edited by a generative model; prompt: oil; thick; negative-prompt: blurry; edited-frame: edit.png; \
             model: nano; seed: 7; digital-source-type: {source}"
        )]
    );
    let told = extended(&list);
    for fact in ["flowvid-prompt=oil; thick", "flowvid-model=nano", "flowvid-seed=7"] {
        assert!(told.iter().any(|comment| comment == fact), "{fact} in {told:?}");
    }
}

#[test]
fn upstream_s_tags_stay_and_their_changes_arrive() {
    for (before, after) in [(Some("old"), None), (None, Some("new")), (Some("old"), Some("new"))] {
        let element = editing("oil");
        let mut harness = playing(&element, &small());
        harness.push_event(upstream(TagScope::Global, "of all"));
        if let Some(title) = before {
            harness.push_event(upstream(TagScope::Stream, title));
        }
        feed(&mut harness, 0..3);
        if let Some(title) = after {
            harness.push_event(upstream(TagScope::Stream, title));
        }
        feed(&mut harness, 3..5);
        harness.push_event(gst::event::Eos::new());
        pull_all(&mut harness);
        let list = known(&element, TagScope::Stream).unwrap();
        assert_eq!(list.get::<tags::Title>().unwrap().get(), after.or(before).unwrap());
        let comments = comments(&list);
        assert!(comments[0].contains("prompt: oil") && comments[1..] == ["theirs"], "{comments:?}");
        let global = known(&element, TagScope::Global).unwrap();
        assert_eq!(global.get::<tags::Title>().unwrap().get(), "of all");
        assert_eq!(global.n_tags(), 2, "tags of the whole file are upstream's: {global:?}");
    }
}

#[test]
fn nothing_is_told_of_an_edit_that_was_not() {
    let identity = filter(3, 1);
    identity.set_property("prompt", "oil");
    let switched_off = editing("oil");
    switched_off.set_property("enabled", false);
    let silent = editing("oil");
    silent.set_property("add-tags", false);
    for (name, element) in
        [("identity", identity), ("enabled=false", switched_off), ("add-tags=false", silent)]
    {
        let mut harness = playing(&element, &small());
        harness.push_event(upstream(TagScope::Stream, "a title"));
        feed(&mut harness, 0..5);
        harness.push_event(gst::event::Eos::new());
        pull_all(&mut harness);
        let list = known(&element, TagScope::Stream).unwrap();
        assert_eq!((comments(&list), list.n_tags()), (vec!["theirs".into()], 2), "{name}: {list:?}");
    }
}

#[test]
fn tags_outlive_a_flush() {
    let element = editing("oil");
    let out = record(&element);
    let mut harness = playing(&element, &small());
    feed(&mut harness, 0..3);
    until(&out, &Out::Buffer(80));
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    harness.push_event(segment());
    feed(&mut harness, 0..3);
    harness.push_event(gst::event::Eos::new());
    let seen = until(&out, &event("eos"));
    assert!(known(&element, TagScope::Stream).is_some());
    assert!(!seen.contains(&event("tag")), "it was told, and it is sticky: {seen:?}");
}

/// The tags that a demuxer finds in the file.
fn in_file(file: &std::path::Path) -> gst::TagList {
    let launch = format!("uridecodebin uri=file://{} ! fakesink", file.display());
    let pipeline = gst::parse::launch(&launch).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut found = gst::TagList::new();
    for message in pipeline.bus().unwrap().iter_timed(gst::ClockTime::from_seconds(60)) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            gst::MessageView::Tag(tag) => found.make_mut().insert(&tag.tags(), TagMergeMode::Append),
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    found
}

#[test]
fn the_file_says_that_it_was_edited() {
    init();
    let folder = tempfile::tempdir().unwrap();
    for (muxer, keeps_name) in [("mp4mux", true), ("qtmux", true), ("matroskamux", false)] {
        let file = folder.path().join(muxer);
        let launch = format!(
            "videotestsrc num-buffers=8 ! video/x-raw,width=64,height=64 ! taginject tags=title=theirs ! \
             flowvidfilter name=filter engine=identity batch-size=2 ! x264enc speed-preset=ultrafast ! {muxer} ! \
             filesink location={}",
            file.display()
        );
        let pipeline = gst::parse::launch(&launch).unwrap().downcast::<gst::Pipeline>().unwrap();
        edit(&pipeline.by_name("filter").unwrap().downcast().unwrap(), "a watercolour");
        play_to_end(&pipeline).unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        let found = in_file(&file);
        let comments = comments(&found);
        let comment = comments.iter().find(|comment| comment.starts_with("Edited by a generative model"));
        let comment = comment.unwrap_or_else(|| panic!("{muxer}: {found:?}"));
        for fact in ["prompt: a watercolour", "model: nano", "seed: 7", "TrainedAlgorithmicMedia"] {
            assert!(comment.contains(fact), "{muxer}: {comment}");
        }
        assert_eq!(found.get::<tags::Title>().unwrap().get(), "theirs", "{muxer}");
        let name = found.get::<tags::ApplicationName>().map(|name| name.get().to_owned());
        assert_eq!(name.is_some_and(|name| name.starts_with("flowvidfilter ")), keeps_name, "{muxer}");
    }
}

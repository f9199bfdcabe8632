//! The tags that say of a stream that a generative model edited it.
//!
//! A TAG event replaces the one before of the same scope, so ours holds upstream's tags too, and
//! upstream's are given ours on their way.

use gst::{TagMergeMode, TagScope, tags};

use super::settings::Settings;

/// IPTC's term for a recording that was edited by a generative model.
const SOURCE_TYPE: &str =
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";

/// What is to be said of frames that were edited with `settings`. MP4 and Matroska keep the comment (MP4 the
/// application's name, too); the extended comments are for programs and for formats that keep them.
pub fn of(settings: &Settings) -> gst::TagList {
    let facts = facts(settings);
    let mut list = gst::TagList::new();
    {
        let list = list.make_mut();
        list.set_scope(TagScope::Stream);
        let name = concat!("flowvidfilter ", env!("CARGO_PKG_VERSION"));
        list.add::<tags::ApplicationName>(&name, TagMergeMode::Append);
        let told: Vec<String> = facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let comment = format!("Edited by a generative model; {}", told.join("; "));
        list.add::<tags::Comment>(&comment.as_str(), TagMergeMode::Append);
        for (name, value) in &facts {
            let comment = format!("flowvid-{name}={value}");
            list.add::<tags::ExtendedComment>(&comment.as_str(), TagMergeMode::Append);
        }
    }
    list
}

fn facts(settings: &Settings) -> Vec<(&'static str, String)> {
    let parameters = &settings.parameters;
    let prompts = [("prompt", &parameters.prompt), ("negative-prompt", &parameters.negative_prompt)];
    let asked = prompts.into_iter().filter(|(_, prompt)| !prompt.is_empty());
    let mut facts: Vec<_> = asked.map(|(name, prompt)| (name, prompt.clone())).collect();
    if let Some(name) = parameters.edited_frame.as_ref().and_then(|file| file.file_name()) {
        facts.push(("edited-frame", name.to_string_lossy().into_owned()));
    }
    facts.push(("model", settings.model.clone()));
    facts.push(("seed", parameters.seed.to_string()));
    facts.push(("digital-source-type", SOURCE_TYPE.into()));
    facts
}

/// The tags on their way downstream; of one stream.
#[derive(Debug, Default)]
pub struct Tags {
    upstream: Option<gst::TagList>,
    ours: Option<gst::TagList>,
}

impl Tags {
    /// The TAG event that tells downstream of `ours`, unless it was told.
    pub fn announce(&mut self, ours: gst::TagList) -> Option<gst::Event> {
        if self.ours.as_ref() == Some(&ours) {
            return None;
        }
        self.ours = Some(ours);
        self.merged().map(gst::event::Tag::new)
    }

    /// An event of upstream's as it is to go on: one with tags is given ours, a new stream has none yet.
    pub fn pass(&mut self, event: gst::Event) -> gst::Event {
        match event.view() {
            gst::EventView::StreamStart(_) => *self = Self::default(),
            gst::EventView::Tag(tag) if tag.tag().scope() == TagScope::Stream => {
                self.upstream = Some(tag.tag_owned());
                return self.with_ours(event);
            }
            _ => {}
        }
        event
    }

    fn with_ours(&self, event: gst::Event) -> gst::Event {
        match self.merged() {
            Some(merged) => gst::event::Tag::builder(merged).seqnum(event.seqnum()).build(),
            None => event,
        }
    }

    /// Ours come first: where a muxer keeps one comment of several, it is the first.
    fn merged(&self) -> Option<gst::TagList> {
        let ours = self.ours.as_ref()?;
        let Some(upstream) = &self.upstream else { return Some(ours.clone()) };
        let mut merged = upstream.merge(ours, TagMergeMode::Prepend);
        merged.make_mut().set_scope(TagScope::Stream);
        Some(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titled(title: &str, comment: &str) -> gst::Event {
        let mut list = gst::TagList::new();
        let tags = list.make_mut();
        tags.add::<tags::Title>(&title, TagMergeMode::Append);
        tags.add::<tags::Comment>(&comment, TagMergeMode::Append);
        gst::event::Tag::new(list)
    }

    fn list(event: &gst::Event) -> gst::TagList {
        let gst::EventView::Tag(tag) = event.view() else { panic!("{event:?}") };
        tag.tag_owned()
    }

    fn comments(event: &gst::Event) -> Vec<String> {
        list(event).iter_tag::<tags::Comment>().map(|comment| comment.get().to_owned()).collect()
    }

    fn prompted(prompt: &str) -> gst::TagList {
        let mut settings = Settings::default();
        settings.parameters.prompt = prompt.into();
        of(&settings)
    }

    #[test]
    fn both_say_what_they_said_whoever_speaks_first() {
        gst::init().unwrap();
        for upstream_first in [true, false] {
            let mut passing = Tags::default();
            let event = if upstream_first {
                let theirs = passing.pass(titled("a title", "theirs"));
                assert_eq!(comments(&theirs), ["theirs"]);
                passing.announce(prompted("oil")).unwrap()
            } else {
                passing.announce(prompted("oil")).unwrap();
                passing.pass(titled("a title", "theirs"))
            };
            let comments = comments(&event);
            assert!(comments[0].contains("prompt: oil") && comments[1] == "theirs", "{comments:?}");
            assert_eq!(list(&event).get::<tags::Title>().unwrap().get(), "a title");
        }
    }

    #[test]
    fn the_same_is_not_said_twice() {
        gst::init().unwrap();
        let mut passing = Tags::default();
        assert!(passing.announce(prompted("oil")).is_some());
        assert!(passing.announce(prompted("oil")).is_none());
        assert!(passing.announce(prompted("pencil")).is_some());
    }

    #[test]
    fn a_new_title_of_upstream_s_replaces_its_old_one() {
        gst::init().unwrap();
        let mut passing = Tags::default();
        passing.pass(titled("old", "old"));
        passing.announce(prompted("oil"));
        let event = passing.pass(titled("new", "new"));
        assert_eq!(list(&event).get::<tags::Title>().unwrap().get(), "new");
        assert_eq!(comments(&event)[1..], ["new"]);
    }
}

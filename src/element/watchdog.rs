//! Finds out why no frame comes any more while a batch is incomplete.
//!
//! The element needs a batch before the first frame leaves. A branch beside it, behind the same `tee` or
//! demuxer, that cannot hold as much stops the thread that feeds both: nothing ever moves again. Such a branch
//! shows a full queue. Without a full queue it is the source that is slow, or a branch without any queue
//! stands still; these two look the same from here, so nothing is said.

use gst::{ClockTime, State, StateChangeSuccess, prelude::*};

/// Elements between a fork and the next queue; ends the search where pipelines have loops.
const FAR: usize = 32;

/// Whether frames could come: the pipeline plays, or is on its way to its first picture. A paused one has
/// all reason to stand still.
pub fn is_flowing(element: &gst::Element) -> bool {
    if element.current_state() == State::Playing {
        return true;
    }
    let mut top: gst::Object = element.clone().upcast();
    while let Some(parent) = top.parent() {
        top = parent;
    }
    let top = top.downcast::<gst::Element>().ok();
    top.is_some_and(|top| top.state(ClockTime::ZERO).0 == Ok(StateChangeSuccess::Async))
}

/// The names of the full queues in the branches beside the one that `sinkpad` ends.
pub fn full_siblings(sinkpad: &gst::Pad) -> Vec<String> {
    let mut full = Vec::new();
    upwards(sinkpad, FAR, &mut full);
    full.dedup();
    full
}

fn upwards(sinkpad: &gst::Pad, steps: usize, full: &mut Vec<String>) {
    let Some(source) = sinkpad.peer().filter(|_| steps > 0) else { return };
    for entry in linked_inside(&source) {
        let siblings = linked_inside(&entry).into_iter().filter(|sibling| *sibling != source);
        siblings.for_each(|sibling| downwards(&sibling, FAR, full));
        upwards(&entry, steps - 1, full);
    }
}

fn downwards(source: &gst::Pad, steps: usize, full: &mut Vec<String>) {
    let Some(sink) = source.peer().filter(|_| steps > 0) else { return };
    match sink.parent_element().filter(|element| element.has_property("max-size-buffers")) {
        Some(queue) if is_full(&queue) => full.push(queue.name().into()),
        Some(_) => {}
        None => linked_inside(&sink).iter().for_each(|next| downwards(next, steps - 1, full)),
    }
}

fn linked_inside(pad: &gst::Pad) -> Vec<gst::Pad> {
    pad.iterate_internal_links().into_iter().flatten().collect()
}

/// As `queue` and `queue2` count: a level that reaches a limit other than 0.
fn is_full(queue: &gst::Element) -> bool {
    ["buffers", "bytes", "time"].iter().any(|what| {
        let limit = number(queue, &format!("max-size-{what}"));
        let level = number(queue, &format!("current-level-{what}"));
        matches!((limit, level), (Some(limit), Some(level)) if limit > 0 && level >= limit)
    })
}

fn number(queue: &gst::Element, name: &str) -> Option<u64> {
    queue.find_property(name)?;
    let value = queue.property_value(name);
    value.get::<u64>().ok().or_else(|| value.get::<u32>().ok().map(u64::from))
}

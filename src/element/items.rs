//! What stands in the queues, and where a batch ends among it.

use std::sync::Arc;

use gst::ClockTime;

use super::{caps::Format, queue::Queued, settings::Settings};

/// One frame on its way in.
#[derive(Debug, Clone)]
pub struct InputFrame {
    /// Native planes and carrier, ours alone.
    pub buffer: gst::Buffer,
    /// What the planes mean.
    pub format: Arc<Format>,
    /// The settings at the moment when the frame arrived.
    pub settings: Arc<Settings>,
    /// For the engine, in nanoseconds.
    pub stream_time: u64,
    /// For events about the frame.
    pub running_time: Option<ClockTime>,
    /// Upstream says that a new shot begins here.
    pub starts_shot: bool,
    /// Upstream has asked for a key unit here itself.
    pub key_unit_asked: bool,
    /// The element's clock when it came; none before the element plays.
    pub arrived: Option<ClockTime>,
    /// It is not to be edited: the engine is too far behind, or the frame is interlaced.
    pub bypass: bool,
}

/// What an event between two frames means for the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Nothing: it may stand inside a batch.
    None,
    /// The batch ends before it.
    Close,
    /// The batch ends, and what follows is another stream to the engine.
    Reset,
}

/// An item of the input queue.
#[derive(Debug, Clone)]
pub enum Input {
    /// A frame.
    Frame(InputFrame),
    /// The following frames' format.
    Caps(Arc<Format>),
    /// Any other serialized event.
    Event(gst::Event, Boundary),
    /// Somebody waits until all before this has left.
    Drain(u64),
}

/// An item of the output queue.
#[derive(Debug)]
pub enum Output {
    /// A frame.
    Buffer(gst::Buffer),
    /// An event.
    Event(gst::Event),
    /// What the following frames were edited with, for downstream.
    Tags(gst::TagList),
    /// All before this has left.
    Drained(u64),
}

/// Sticky events must reach downstream; SEGMENT and EOS belong to the data that a flush drops.
fn outlives_flush(event: &gst::EventRef) -> bool {
    event.is_sticky() && !matches!(event.type_(), gst::EventType::Segment | gst::EventType::Eos)
}

impl Queued for Input {
    fn is_frame(&self) -> bool {
        matches!(self, Self::Frame(_))
    }
    fn survives_flush(&self) -> bool {
        match self {
            Self::Caps(_) => true,
            Self::Event(event, _) => outlives_flush(event),
            Self::Frame(_) | Self::Drain(_) => false,
        }
    }
}

impl Queued for Output {
    fn is_frame(&self) -> bool {
        matches!(self, Self::Buffer(_))
    }
    fn survives_flush(&self) -> bool {
        match self {
            Self::Event(event) => outlives_flush(event),
            Self::Tags(_) => true,
            Self::Buffer(_) | Self::Drained(_) => false,
        }
    }
}

/// The frames at the head that make one batch of at most `wanted`, and whether it is complete.
pub fn first_batch<'a>(items: impl Iterator<Item = &'a Input>, wanted: usize) -> (Vec<&'a InputFrame>, bool) {
    let mut frames: Vec<&InputFrame> = Vec::new();
    let mut closed = false;
    for item in items {
        closed = match item {
            _ if frames.len() >= wanted => true,
            Input::Frame(frame) if (frame.starts_shot || frame.bypass) && !frames.is_empty() => true,
            Input::Frame(frame) => {
                frames.push(frame);
                frames.len() >= wanted
            }
            Input::Event(_, boundary) => *boundary != Boundary::None,
            Input::Caps(_) | Input::Drain(_) => true,
        };
        if closed {
            break;
        }
    }
    (frames, closed)
}

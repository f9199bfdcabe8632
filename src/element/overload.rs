//! What becomes of a live stream's frames while the engine is behind.
//!
//! As long as the engine works, one batch may wait; a frame more and the oldest waiting frame goes, by the
//! policy. So no frame waits for longer than a batch lasts, and with the time that the engine takes
//! that is the very latency which the pipeline was told. Where downstream leaves edited frames waiting, it wants them
//! later than that, and frames go only when the queue is full. Frames that the engine has taken always stay, for all
//! frames leave in their order.

use super::{
    enums::OverloadPolicy,
    items::{Input, InputFrame},
    queue::Queue,
};

/// How far the engine is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// The source does not wait.
    pub live: bool,
    /// The engine computes (or loads).
    pub working: bool,
    /// Edited frames wait for downstream.
    pub ahead: bool,
    /// Edited frames find no room downstream.
    pub blocked: bool,
    /// Frames at the queue's head that the engine has taken.
    pub taken: usize,
    /// Frames in a full batch.
    pub batch_frames: usize,
}

/// What was done to make room for a frame.
#[derive(Debug, Default)]
pub struct Relief {
    /// Frames that are lost, oldest first.
    pub dropped: Vec<InputFrame>,
    /// The batch in work is not wanted any more: its frames pass unedited, too.
    pub call_off: bool,
}

/// How many batches the input queue takes: the one in work and the next. Frames that are to pass unedited
/// have to wait for those before them, so they get as much again.
pub fn batches_queued(live: bool, policy: OverloadPolicy) -> usize {
    if live && policy == OverloadPolicy::Bypass { 4 } else { 2 }
}

/// Makes room for one frame more.
pub fn relieve(input: &mut Queue<Input>, load: Load, policy: OverloadPolicy) -> Relief {
    let mut relief = Relief::default();
    if !load.live {
        return relief;
    }
    match policy {
        OverloadPolicy::Block => {}
        OverloadPolicy::Drop => {
            while is_behind(input, load) || is_stuck(input, load) {
                let Some(frame) = drop_oldest(input, load.taken) else { break };
                relief.dropped.push(frame);
            }
        }
        OverloadPolicy::Bypass => {
            while is_behind(input, load) {
                if let Some(oldest) = waiting_mut(input, load.taken).next() {
                    oldest.bypass = true;
                }
            }
            if load.working && is_stuck(input, load) {
                frames_mut(input).take(load.taken).for_each(|frame| frame.bypass = true);
                relief.call_off = load.taken > 0;
            }
        }
    }
    relief
}

/// Full, and the worker will make no room soon.
fn is_stuck(input: &Queue<Input>, load: Load) -> bool {
    (load.working || load.blocked) && input.frames() >= input.capacity()
}

fn is_behind(input: &mut Queue<Input>, load: Load) -> bool {
    load.working && !load.ahead && waiting_mut(input, load.taken).count() >= load.batch_frames
}

fn frames_mut(input: &mut Queue<Input>) -> impl Iterator<Item = &mut InputFrame> {
    input.iter_mut().filter_map(|item| match item {
        Input::Frame(frame) => Some(frame),
        _ => None,
    })
}

/// Those that the engine may still get.
fn waiting_mut(input: &mut Queue<Input>, taken: usize) -> impl Iterator<Item = &mut InputFrame> {
    frames_mut(input).skip(taken).filter(|frame| !frame.bypass)
}

/// The frame after it begins anew, as if upstream had lost the one before.
fn drop_oldest(input: &mut Queue<Input>, taken: usize) -> Option<InputFrame> {
    let place = input.iter().enumerate().filter(|(_, item)| matches!(item, Input::Frame(_))).nth(taken);
    let (index, _) = place?;
    let Some(Input::Frame(dropped)) = input.remove(index) else { return None };
    if let Some(next) = waiting_mut(input, taken).next() {
        next.buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        next.starts_shot = true;
        next.key_unit_asked |= dropped.key_unit_asked;
    }
    Some(dropped)
}

//! What the source pad's thread does with the stream.

use super::{Flow, Stream};
use crate::element::{items::Output, queue::Pop};

impl Stream {
    /// Waits for what goes out next; `None`: the thread is to pause.
    pub fn next_output(&self) -> Option<Output> {
        let mut state = self.state.lock();
        state.pushing = false;
        loop {
            if !state.open() {
                return None;
            }
            match state.output.pop() {
                Pop::Item(item) => {
                    state.pushing = true;
                    self.changed.notify_all();
                    return Some(item);
                }
                Pop::Closed => return None,
                Pop::Empty => self.changed.wait(&mut state),
            }
        }
    }

    /// All before the ticket has left.
    pub fn drained(&self, ticket: u64) {
        self.change(|state| state.drained = ticket);
    }

    /// Downstream wants no more frames.
    pub fn downstream_eos(&self) {
        self.change(|state| {
            if state.flow == Flow::Running {
                state.flow = Flow::Eos;
                state.input.discard_frames();
                state.output.discard_frames();
                state.cancel_work();
            }
        });
    }
}

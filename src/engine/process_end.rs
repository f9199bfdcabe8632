//! The end of the process. libtorch's destructors run inside `exit`, on the thread that called it, while other
//! threads go on: one that is inside libtorch then crashes. So before those destructors every thread is called
//! out of libtorch, and none gets in again.
//!
//! A process that ends while a model loads can still crash: libtorch registers further destructors while it is
//! used for the first time, and they run before anything that was registered earlier.

use std::{collections::HashMap, ffi::c_int, time::Duration};

use once_cell::sync::Lazy;
use parking_lot::{Condvar, Mutex};

use super::CancelToken;

/// How long the end of the process waits for what was cancelled. A network call is shorter by far.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct State {
    ending: bool,
    /// What calls each thread in libtorch out of it.
    inside: HashMap<u64, CancelToken>,
    next: u64,
}

/// The way into libtorch, which the end of the process shuts.
#[derive(Default)]
struct Door {
    state: Mutex<State>,
    left: Condvar,
}

static DOOR: Lazy<Door> = Lazy::new(Default::default);

unsafe extern "C" {
    fn atexit(handler: extern "C" fn()) -> c_int;
}

/// A thread's stay in libtorch.
pub struct Inside<'a> {
    door: &'a Door,
    id: u64,
}

impl Door {
    fn enter(&self, cancel: &CancelToken) -> Option<Inside<'_>> {
        let mut state = self.state.lock();
        if state.ending {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state.inside.insert(id, cancel.clone());
        Some(Inside { door: self, id })
    }

    /// Calls all out who are inside, and waits until they are.
    fn shut(&self) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.ending, true) {
            return; // an earlier handler has waited
        }
        state.inside.values().for_each(CancelToken::cancel);
        self.left.wait_while_for(&mut state, |state| !state.inside.is_empty(), PATIENCE);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.door.state.lock().inside.remove(&self.id);
        self.door.left.notify_all();
    }
}

/// The calling thread goes into libtorch; whoever raises `cancel` gets it out again. `None` once the process
/// ends.
pub fn enter(cancel: &CancelToken) -> Option<Inside<'static>> {
    DOOR.enter(cancel)
}

/// Whether the process is ending: threads that stay out of libtorch for good cannot be waited for.
pub fn has_begun() -> bool {
    DOOR.state.lock().ending
}

/// Has the end of the process wait for all who are inside. Handlers run in the reverse order of their
/// registration, and libtorch registers destructors when it is loaded and when a part of it is used for the
/// first time: so this is called after both.
pub fn wait_for_threads() {
    // SAFETY: the handler is a function of this library, which GStreamer never unloads and programs link.
    let registered = unsafe { atexit(call_out) };
    debug_assert_eq!(registered, 0, "glibc has room for any number of handlers");
}

extern "C" fn call_out() {
    DOOR.shut();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this one says of the thread inside, `tests/process_end.rs` shows of libtorch.
    #[test]
    fn the_end_calls_threads_out_and_waits_until_they_are() {
        let (door, cancel) = (Door::default(), CancelToken::new());
        let inside = door.enter(&cancel).expect("nothing ends yet");
        std::thread::scope(|scope| {
            let end = scope.spawn(|| door.shut());
            cancel.raised().recv().unwrap_err();
            for _ in 0..1_000 {
                std::thread::yield_now();
                assert!(!end.is_finished(), "the process would end with a thread in libtorch");
            }
            drop(inside);
        });
        assert!(door.enter(&cancel).is_none(), "nobody gets in again");
    }
}

//! The end of the process. libtorch's destructors run inside `exit`, on the thread that called it, while other
//! threads go on: one that is inside libtorch then crashes. So before those destructors every thread is called
//! out of libtorch, and none gets in again.
//!
//! A process that ends while a model loads can still crash: libtorch registers further destructors while it is
//! used for the first time, and they run before anything that was registered earlier.

use std::{collections::HashMap, ffi::c_int, time::Duration};

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

static STATE: once_cell::sync::Lazy<Mutex<State>> = once_cell::sync::Lazy::new(Default::default);
static LEFT: Condvar = Condvar::new();

unsafe extern "C" {
    fn atexit(handler: extern "C" fn()) -> c_int;
}

/// The calling thread's stay in libtorch.
#[derive(Debug)]
pub struct Inside(u64);

/// The calling thread goes into libtorch; whoever raises `cancel` gets it out again. `None` once the process
/// ends.
pub fn enter(cancel: &CancelToken) -> Option<Inside> {
    let mut state = STATE.lock();
    if state.ending {
        return None;
    }
    let id = state.next;
    state.next += 1;
    state.inside.insert(id, cancel.clone());
    Some(Inside(id))
}

impl Drop for Inside {
    fn drop(&mut self) {
        STATE.lock().inside.remove(&self.0);
        LEFT.notify_all();
    }
}

/// Whether the process is ending: threads that stay out of libtorch for good cannot be waited for.
pub fn has_begun() -> bool {
    STATE.lock().ending
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
    let mut state = STATE.lock();
    if std::mem::replace(&mut state.ending, true) {
        return; // an earlier handler has waited
    }
    state.inside.values().for_each(CancelToken::cancel);
    LEFT.wait_while_for(&mut state, |state| !state.inside.is_empty(), PATIENCE);
}

//! A flag that one thread raises and others look at or wait for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::EngineError;

/// Raised once, seen by all clones; can be waited for together with other channels.
#[derive(Debug, Clone)]
pub struct CancelToken(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    raised: AtomicBool,
    open: Mutex<Option<Sender<()>>>,
    closed: Receiver<()>,
}

impl CancelToken {
    /// A token that nobody has raised yet.
    pub fn new() -> Self {
        let (open, closed) = bounded(0);
        Self(Arc::new(Shared { raised: AtomicBool::new(false), open: Mutex::new(Some(open)), closed }))
    }

    /// Raises the flag and wakes all who wait for it.
    pub fn cancel(&self) {
        self.0.raised.store(true, Ordering::SeqCst);
        self.0.open.lock().take();
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// For `?` between two steps of the work that may be called off.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] once the token is raised.
    pub fn check(&self) -> Result<(), EngineError> {
        if self.is_cancelled() { Err(EngineError::Cancelled) } else { Ok(()) }
    }

    /// Disconnects when the token is raised: for `crossbeam_channel::select!`.
    pub fn raised(&self) -> &Receiver<()> {
        &self.0.closed
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_wakes_when_another_thread_cancels() {
        let token = CancelToken::new();
        let waiter = std::thread::spawn({
            let token = token.clone();
            move || token.raised().recv().is_err() && token.is_cancelled()
        });
        token.cancel();
        assert!(waiter.join().unwrap());
    }
}

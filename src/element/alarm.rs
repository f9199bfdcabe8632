//! A wake-up on the pipeline's clock.

use gst::{ClockTime, prelude::*};

/// Rings once, unless it is dropped before.
#[derive(Debug)]
pub struct Alarm(Option<gst::SingleShotClockId>);

impl Alarm {
    /// Calls `ring` when `clock` shows `time`: on the clock's thread, or here where that is past.
    pub fn set(clock: Option<gst::Clock>, time: ClockTime, ring: impl FnOnce() + Send + 'static) -> Self {
        let Some(clock) = clock else { return Self(None) };
        if time <= clock.time() {
            ring();
            return Self(None);
        }
        let id = clock.new_single_shot_id(time);
        // Fails only where the clock was unscheduled already.
        let _ = id.wait_async(move |_, _, _| ring());
        Self(Some(id))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(id) = &self.0 {
            id.unschedule();
        }
    }
}

//! The element's promises, one file each. The engine is `identity`, so no test needs weights or time.

mod frames_and_time;
mod rig;

//! The element's promises, one file each. The engine is `identity`, so no test needs weights or time.

mod allocation;
mod bytes;
mod caps_change;
mod compare;
mod docs;
mod edited;
mod errors;
mod events;
mod faults;
mod flush;
mod frames_and_time;
mod fuzz;
mod inspect;
mod latency;
mod launch;
mod metas;
mod negotiation;
mod overload;
mod properties;
mod queries;
mod rig;
mod seeks;
mod shots;
mod stall;
mod states;
mod tags;

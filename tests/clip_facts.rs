//! The example's unit tests: with `test = true` it would be built as a test alone, and the demo's tests run the program.

#[expect(dead_code, reason = "its `main`")]
#[path = "../examples/clip_facts.rs"]
mod program;

//! Panics on the engine's thread become errors, and "out of memory" is told from the rest.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::EngineError;
use crate::diffusion::CallSizes;

/// Runs `work`. tch's plain calls panic with libtorch's own words: they become [`EngineError::OutOfMemory`]
/// where they speak of memory, else [`EngineError::Internal`].
pub fn guarded<T>(device: &str, work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    // What `work` may leave half-done is thrown away by the caller when it gets an error.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(error_of(device, payload.as_ref())))
}

/// Runs `work` in calls of these sizes; where that takes too much memory, once more in half as large ones.
///
/// # Errors
/// What `work` said last.
pub fn halved_once<T>(
    device: &str,
    calls: CallSizes,
    mut work: impl FnMut(CallSizes) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    match (guarded(device, || work(calls)), calls.halved()) {
        (Err(EngineError::OutOfMemory { .. }), Some(halved)) => guarded(device, || work(halved)),
        (outcome, _) => outcome,
    }
}

fn error_of(device: &str, payload: &(dyn Any + Send)) -> EngineError {
    let said = payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()))
        .unwrap_or_else(|| "a panic without words".into());
    let first_line = said.lines().next().unwrap_or_default().to_string();
    if is_out_of_memory(&said) {
        EngineError::OutOfMemory { device: device.into(), detail: first_line }
    } else {
        EngineError::Internal(first_line)
    }
}

/// The words of torch's CUDA and CPU allocators.
fn is_out_of_memory(said: &str) -> bool {
    ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        let error = guarded::<()>("cpu", || panic!("shape [1, 2] is wrong")).unwrap_err();
        assert!(matches!(&error, EngineError::Internal(said) if said == "shape [1, 2] is wrong"), "{error}");
    }

    #[test]
    fn torchs_own_out_of_memory_is_recognised() {
        let huge = || {
            let tensor = tch::Tensor::zeros([1 << 50], (tch::Kind::Float, tch::Device::Cpu));
            Ok(tensor)
        };
        let error = guarded("cpu", huge).unwrap_err();
        assert!(matches!(error, EngineError::OutOfMemory { .. }), "{error}");
    }

    /// A device whose memory suffices for `room` keyframes; the sizes that were tried and what came of it.
    fn on_device(room: i64, most: i64) -> (Vec<i64>, Result<i64, EngineError>) {
        let mut tried = Vec::new();
        let outcome =
            halved_once("cuda:0", CallSizes::both(most), |CallSizes { keyframes: most, .. }| {
                tried.push(most);
                assert!(
                    most <= room,
                    "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 7.79 GiB total)"
                );
                Ok(most)
            });
        (tried, outcome)
    }

    #[test]
    fn too_little_memory_is_tried_once_more_with_half_and_then_told() {
        assert!(matches!(on_device(16, 16), (tried, Ok(16)) if tried == [16]));
        assert!(matches!(on_device(8, 15), (tried, Ok(8)) if tried == [15, 8]));
        let (tried, outcome) = on_device(3, 16);
        assert_eq!(tried, [16, 8], "once, not until it fits");
        let said = outcome.unwrap_err().to_string();
        assert!(said.contains("cuda:0") && said.contains("lower processing-size or batch-size"), "{said}");
        assert_eq!(on_device(0, 1).0, [1], "one keyframe has no half");
    }

    #[test]
    fn other_faults_are_not_tried_again() {
        let mut calls = 0;
        let outcome = halved_once::<()>("cpu", CallSizes::both(8), |_| {
            calls += 1;
            Err(EngineError::Cancelled)
        });
        assert!(matches!(outcome, Err(EngineError::Cancelled)) && calls == 1);
    }
}

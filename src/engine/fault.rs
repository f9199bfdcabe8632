//! Panics on the engine's thread become errors, and "out of memory" is told from the rest.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::EngineError;

/// Runs `work`. tch's plain calls panic with libtorch's own words: they become [`EngineError::OutOfMemory`]
/// where they speak of memory, else [`EngineError::Internal`].
pub fn guarded<T>(device: &str, work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    // What `work` may leave half-done is thrown away by the caller when it gets an error.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(error_of(device, payload.as_ref())))
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
}

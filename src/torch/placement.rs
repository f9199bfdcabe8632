//! Where tensors live and in which precision: decided once, when a model is loaded.

use tch::{Cuda, Device, Kind, Tensor};

use super::{limit_threads, load_cuda};

/// Device and dtype of a loaded model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Where.
    pub device: Device,
    /// In which precision the diffusion runs; flow and statistics are always `Float`.
    pub kind: Kind,
}

/// Why a device or dtype cannot be had; the text says what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlacementError {
    /// CUDA was asked for and is absent.
    #[error(
        "device={asked} was asked for, but CUDA cannot be used: {reason}. Set device=auto or device=cpu, or install the CUDA libtorch (make setup TORCH=cuda)"
    )]
    NoCuda {
        /// The property's value.
        asked: String,
        /// What the loader or torch said.
        reason: String,
    },
    /// There are fewer cards.
    #[error("device={asked} was asked for, but there are {found} CUDA devices: set device=cuda:0 to cuda:{}", .found - 1)]
    NoSuchCard {
        /// The property's value.
        asked: String,
        /// How many cards there are.
        found: i64,
    },
    /// Not a device.
    #[error("device={0} is not a device: set auto, cpu, cuda or cuda:N")]
    NotADevice(String),
    /// Not a dtype.
    #[error("dtype={0} is not a dtype: set auto, f32, f16 or bf16")]
    NotADtype(String),
    /// Half precision on a CPU is slower by orders of magnitude.
    #[error("dtype={0} needs a GPU: set dtype=f32 with device=cpu")]
    HalfOnCpu(String),
}

impl Placement {
    /// The CPU in full precision.
    pub fn cpu() -> Self {
        let _ = start_torch(); // absence of CUDA is fine here
        Self { device: Device::Cpu, kind: Kind::Float }
    }

    /// Resolves the properties `device` (`auto`, `cpu`, `cuda`, `cuda:N`) and `dtype` (`auto`, `f32`,
    /// `f16`, `bf16`). `auto` takes the first card where there is one; a device that was named is
    /// never replaced by another.
    ///
    /// # Errors
    /// See [`PlacementError`].
    pub fn resolve(device: &str, dtype: &str) -> Result<Self, PlacementError> {
        let device = resolve_device(device)?;
        let kind = match (dtype, device) {
            ("f32", _) | ("auto", Device::Cpu) => Kind::Float,
            ("f16" | "bf16", Device::Cpu) => return Err(PlacementError::HalfOnCpu(dtype.into())),
            ("f16" | "auto", _) => Kind::Half,
            ("bf16", _) => Kind::BFloat16,
            _ => return Err(PlacementError::NotADtype(dtype.into())),
        };
        Ok(Self { device, kind })
    }

    /// The device in the words of the property.
    pub fn device_name(&self) -> String {
        match self.device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        }
    }
}

/// What must come before torch's first work in this process; answers as [`load_cuda`].
fn start_torch() -> Result<(), &'static str> {
    let loaded = load_cuda();
    limit_threads();
    loaded
}

fn resolve_device(asked: &str) -> Result<Device, PlacementError> {
    let loaded = start_torch();
    let found = || if loaded.is_ok() && Cuda::is_available() { Cuda::device_count() } else { 0 };
    match asked {
        "cpu" => Ok(Device::Cpu),
        "auto" => Ok(if found() > 0 { card(0) } else { Device::Cpu }),
        _ => {
            let index = cuda_index(asked).ok_or_else(|| PlacementError::NotADevice(asked.into()))?;
            match found() {
                0 => Err(PlacementError::NoCuda {
                    asked: asked.into(),
                    reason: loaded.err().unwrap_or("torch finds no CUDA device or driver").into(),
                }),
                found if index as i64 >= found => {
                    Err(PlacementError::NoSuchCard { asked: asked.into(), found })
                }
                _ => Ok(card(index)),
            }
        }
    }
}

/// A card, where cuDNN tries which of its convolutions is the fastest: batches are of one size.
fn card(index: usize) -> Device {
    Cuda::cudnn_set_benchmark(true);
    Device::Cuda(index)
}

fn cuda_index(asked: &str) -> Option<usize> {
    match asked.strip_prefix("cuda")? {
        "" => Some(0),
        index => index.strip_prefix(':')?.parse().ok(),
    }
}

/// The same values with channels-last strides: 1.4-1.7 times faster in convolutions on a CPU.
///
/// - `images`: `[n, c, h, w]`
pub fn channels_last(images: &Tensor) -> Tensor {
    images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_refused_on_a_cpu() {
        for dtype in ["f16", "bf16"] {
            assert!(matches!(Placement::resolve("cpu", dtype), Err(PlacementError::HalfOnCpu(_))), "{dtype}");
        }
    }

    #[test]
    fn unknown_words_are_named() {
        assert!(Placement::resolve("gpu", "auto").unwrap_err().to_string().contains("device=gpu"));
        assert!(Placement::resolve("cpu", "int8").unwrap_err().to_string().contains("dtype=int8"));
    }

    #[test]
    fn a_missing_card_is_never_replaced() {
        if load_cuda().is_err() {
            let error = Placement::resolve("cuda", "auto").unwrap_err().to_string();
            assert!(error.contains("device=cuda ") && error.contains("device=cpu"), "{error}");
        }
    }
}

//! Loading libtorch's CUDA half at run time, and what torch does not tell of a card.

use std::ffi::c_int;

use libloading::Library;
use once_cell::sync::OnceCell;
use tch::Device;

/// Loads `libtorch_cuda.so` once per process. It must come before the process's first torch call:
/// if torch is asked anything earlier, it remembers for good that CUDA is absent. So every way into
/// torch ([`super::Placement::resolve`]) comes through here, whatever device was asked for.
///
/// # Errors
/// The dynamic loader's own words, which name the library that is missing.
pub fn load_cuda() -> Result<(), &'static str> {
    static LOADED: OnceCell<Result<(), String>> = OnceCell::new();
    LOADED.get_or_init(open_library).as_ref().copied().map_err(String::as_str)
}

fn open_library() -> Result<(), String> {
    // SAFETY: the library's constructors register torch's CUDA kernels and touch nothing of ours.
    let library = unsafe { Library::new("libtorch_cuda.so") };
    // Kept for the life of the process: its kernels stay registered with torch.
    library.map(std::mem::forget).map_err(|error| error.to_string())
}

/// All memory of the card that `device` is, in bytes; `None` on a CPU and where the driver does not answer.
pub fn card_memory(device: Device) -> Option<u64> {
    let Device::Cuda(index) = device else { return None };
    ask_driver(index as c_int).ok().flatten()
}

/// CUDA's driver API, whose functions answer 0 where all is well.
fn ask_driver(index: c_int) -> Result<Option<u64>, libloading::Error> {
    // SAFETY: the driver is loaded already where torch runs on a card. The signatures are those of cuda.h; none of these
    // needs a context.
    unsafe {
        let driver = Library::new("libcuda.so.1")?;
        let init = driver.get::<unsafe extern "C" fn(u32) -> c_int>(b"cuInit\0")?;
        let get = driver.get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet\0")?;
        let total =
            driver.get::<unsafe extern "C" fn(*mut usize, c_int) -> c_int>(b"cuDeviceTotalMem_v2\0")?;
        let (mut card, mut bytes) = (0, 0);
        let answered = init(0) == 0 && get(&mut card, index) == 0 && total(&mut bytes, card) == 0;
        Ok(answered.then_some(bytes as u64))
    }
}

//! Loading libtorch's CUDA half at run time.

use once_cell::sync::OnceCell;

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
    let library = unsafe { libloading::Library::new("libtorch_cuda.so") };
    // Kept for the life of the process: its kernels stay registered with torch.
    library.map(std::mem::forget).map_err(|error| error.to_string())
}

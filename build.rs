//! Bakes the plugin's version into it, tells the linker where libtorch lies, and the tests whether there is a card.

use std::{env, fs, path::Path};

/// The driver's control device.
const CARD: &str = "/dev/nvidiactl";

fn main() {
    gst_plugin_version_helper::info();
    // Cargo hands link arguments of a dependency to that dependency only, so ours are emitted here.
    // First where `make install` puts libtorch, then the libtorch that this build was linked with. Not inside
    // the plugin folder: GStreamer loads every library below it to see whether it is a plugin.
    if let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") {
        let lib = fs::canonicalize(&lib).unwrap_or_else(|_| lib.into());
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../flowvid/lib");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
    println!("cargo:rerun-if-changed=build.rs");
    // Tests that need a card are counted as ignored where there is none.
    println!("cargo:rustc-check-cfg=cfg(cuda_device)");
    if Path::new(CARD).exists() {
        println!("cargo:rustc-cfg=cuda_device");
        // Only here: for a file that is missing cargo would build everything anew each time.
        println!("cargo:rerun-if-changed={CARD}");
    }
}

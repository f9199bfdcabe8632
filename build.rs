//! Bakes the plugin's version into it and tells the linker where libtorch lies.

use std::{env, fs};

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
}

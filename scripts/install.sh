#!/usr/bin/env bash
# Copies the plugin to GStreamer's plugin folder (or PREFIX/lib/gstreamer-1.0), and what it needs to go with it:
#   gstreamer-1.0/libgstflowvid.so   gstreamer-1.0/flowvid/models/
#   flowvid/lib/                     libtorch, found by the plugin's relative run path
# DESTDIR is put before every path, for packagers.

. "$(dirname "$0")/lib.sh"

plugin_folder() {
    if [ -n "${PREFIX:-}" ]; then
        printf '%s/lib/gstreamer-1.0\n' "$(realpath -m "$PREFIX")"
    else
        pkg-config --variable=pluginsdir gstreamer-1.0
    fi
}

# What libtorch consists of here: its own libraries and those of NVIDIA's packages beside it, without Python's.
libtorch_libraries() {
    local lib packages
    lib=$(realpath "$deps/libtorch")/lib
    packages=$(dirname "$(dirname "$lib")")
    find "$lib" "$packages/nvidia" -name '*.so*' ! -name 'libtorch_python*' ! -name 'libshm*' 2>/dev/null |
        while read -r library; do is_wanted "$library" && printf '%s\n' "$library"; done
}

# Without CUDA's libraries libtorch_cuda cannot load: then only what libtorch_cpu is linked with is copied.
is_wanted() { $with_cuda || [[ $cpu_closure == *"$(basename "$1")"* ]]; }

closure_of() { ldd "$(realpath "$deps/libtorch")/lib/$1" 2>/dev/null; }

copy_libraries() {
    local library
    libtorch_libraries | while read -r library; do
        rm -f "$1/$(basename "$library")"
        cp -lL "$library" "$1" 2>/dev/null || cp -L "$library" "$1"
    done
}

target=${DESTDIR:-}$(plugin_folder)
with_cuda=false
closure_of libtorch_cuda.so | grep -v libcuda.so | grep -q 'not found' || with_cuda=true
cpu_closure=$(closure_of libtorch_cpu.so)$'\n'libtorch_cpu.so

libraries=$(dirname "$target")/flowvid/lib
mkdir -p "$libraries" "$target/flowvid/models" 2>/dev/null && [ -w "$target" ] && [ -w "$libraries" ] ||
    fail "$target cannot be written" "as root: make install; or somewhere of your own: make install PREFIX=\$HOME/.local"
install -m 755 "$plugin_dir/libgstflowvid.so" "$target"
strip --strip-debug "$target/libgstflowvid.so"
cp -rL "$root/models/." "$target/flowvid/models"
copy_libraries "$libraries"
say "plugin    $target/libgstflowvid.so"
say "models    $target/flowvid/models ($(du -shc "$target/flowvid/models" | sed -n '$s/\t.*//p'))"
say "libtorch  $libraries ($(du -shc "$libraries" | sed -n '$s/\t.*//p'))"
if [ -n "${PREFIX:-}" ]; then
    say "GStreamer looks there with GST_PLUGIN_PATH=$target"
fi

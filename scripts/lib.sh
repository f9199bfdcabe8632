# Sourced by the scripts beside it: paths, messages, steps that are done once.
# shellcheck shell=bash disable=SC2034

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps
stamps=$deps/stamps
logs=$deps/logs
clips=$deps/clips
venv=$deps/venv
plugin_dir=${FLOWVID_PLUGIN_DIR:-$root/target/release}

say() { printf '%s\n' "$*"; }

warn() { printf '%s\n' "$*" >&2; }

# An empty LIBTORCH means none, to these scripts and to cargo alike.
[ -n "${LIBTORCH:-}" ] || unset LIBTORCH

# fail SENTENCE [CURE]...: what is wrong, then a line for each thing to do about it.
fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    for cure in "$@"; do printf '       %s\n' "$cure" >&2; done
    exit 1
}

# A step is done when its stamp holds the key that it would be done with now.
is_done() { [ "$(cat "$stamps/$1" 2>/dev/null)" = "$2" ]; }

mark_done() {
    mkdir -p "$stamps"
    printf '%s\n' "$2" >"$stamps/$1"
}

# logged NAME SENTENCE COMMAND...: says what runs, keeps its output in a log, and shows the log's end if it fails.
logged() {
    local log=$logs/$1.log sentence=$2 start=$SECONDS
    shift 2
    mkdir -p "$logs"
    say "$sentence ..."
    if "$@" >"$log" 2>&1 </dev/null; then
        say "  done in $((SECONDS - start)) s"
    else
        tail -n 3 "$log" >&2
        warn "  the whole log: $log"
        return 1
    fi
}

# pinned_pip SUBCOMMAND REQUIREMENTS ARGUMENT...: pip on pinned, checksummed wheels and on nothing else.
pinned_pip() {
    local subcommand=$1 requirements=$root/scripts/requirements/$2
    shift 2
    "$venv/bin/python" -m pip --disable-pip-version-check "$subcommand" --no-deps --require-hashes \
        --only-binary :all: --progress-bar off --requirement "$requirements" "$@"
}

checksum() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

gpu_answers() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }

# The version of the libtorch in a folder, from its own headers; empty if there is none.
libtorch_version() {
    local header=$1/include/torch/headeronly/version.h
    [ -e "$1/lib/libtorch_cpu.so" ] && [ -e "$header" ] || return 0
    sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\|PATCH\) *\([0-9]*\)$/\2/p' "$header" | paste -sd .
}

# Our own registry file: a scan that once failed (no libtorch yet) must not hide the plugin for good.
use_plugin() {
    export GST_PLUGIN_PATH=$plugin_dir${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
    export GST_REGISTRY=${FLOWVID_REGISTRY:-$deps/registry.bin}
    # libtorch's threads sleep while they wait; spinning, they take the cores from decoder and encoder.
    export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
}

plugin_answers() { gst-inspect-1.0 flowvidfilter >/dev/null 2>&1; }

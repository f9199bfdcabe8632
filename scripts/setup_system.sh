# Sourced by setup.sh: what the system must bring, looked for by what it can do rather than by package names,
# so that any distribution will do; apt installs what is missing where there is apt.
# shellcheck shell=bash

network_cure="is the network there? Package registries are reached through apt, pip and cargo as they are configured here"

# One line each: Debian's package, then a command that succeeds when it is there.
system_needs() {
    cat <<'NEEDS'
build-essential                 c++ --version
pkg-config                      pkg-config --version
python3-venv                    python3 -c "import sys, venv, ensurepip; assert (3, 10) <= sys.version_info < (3, 15)"
libgstreamer1.0-dev             pkg-config --exists 'gstreamer-1.0 >= 1.22' gstreamer-check-1.0
libgstreamer-plugins-base1.0-dev pkg-config --exists 'gstreamer-video-1.0 >= 1.22' gstreamer-app-1.0
gstreamer1.0-tools              gst-launch-1.0 --version
gstreamer1.0-plugins-base       gst-inspect-1.0 --exists decodebin
gstreamer1.0-plugins-good       gst-inspect-1.0 --exists mp4mux
gstreamer1.0-plugins-bad        gst-inspect-1.0 --exists h264parse
gstreamer1.0-plugins-ugly       gst-inspect-1.0 --exists x264enc
gstreamer1.0-libav              gst-inspect-1.0 --exists avenc_aac
NEEDS
}

missing_packages() {
    local package probe
    system_needs | while read -r package probe; do
        bash -c "$probe" >/dev/null 2>&1 </dev/null || printf '%s ' "$package"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
    as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

can_apt() { command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }; }

install_system_packages() {
    local key missing
    key=$(checksum "$root/scripts/setup_system.sh")
    is_done system "$key" && return
    missing=$(missing_packages)
    if [ -n "$missing" ] && can_apt; then
        # shellcheck disable=SC2086 # package names have no spaces
        logged system "Installing system packages with apt, a minute or two: $missing" apt_install $missing || true
        missing=$(missing_packages)
    fi
    [ -z "$missing" ] || fail "the system lacks what these packages of Debian 12 bring: $missing" \
        "on Debian or Ubuntu, as root or through sudo: apt-get update && apt-get install $missing" \
        "elsewhere: a C++ compiler, pkg-config, Python 3.10 to 3.14 with venv, and GStreamer 1.22 or newer with its" \
        "development files, tools, base, good, bad and ugly plugins and gst-libav, from the system's own packages" \
        "$network_cure"
    mark_done system "$key"
}

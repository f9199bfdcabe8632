#!/usr/bin/env bash
# Runs the identity element under valgrind. Fails on any error or definite leak with the plugin's code in its stack;
# what GStreamer, GLib and other plugins do alone is counted, not judged.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/setup_system.sh"

work=$root/target/valgrind
suppressions=()
for file in /usr/share/glib-2.0/valgrind/glib.supp /usr/share/gstreamer-1.0/*.supp; do
    [ ! -e "$file" ] || suppressions+=("--suppressions=$file")
done

# One line each: what the element is put between, and its properties.
pipelines() {
    cat <<'PIPELINES'
videotestsrc num-buffers=14 ! video/x-raw,format=I420,width=33,height=17 ! flowvidfilter engine=identity batch-size=3 keyframe-interval=2 ! fakesink
videotestsrc num-buffers=7 ! video/x-raw,format=P010_10LE,width=32,height=16 ! flowvidfilter engine=identity batch-size=2 ! video/x-raw,format=I420_10LE ! fakesink
videotestsrc num-buffers=5 ! video/x-raw,format=YUY2,width=31,height=16 ! flowvidfilter enabled=false ! fakesink
videotestsrc num-buffers=40 ! video/x-raw,width=32,height=16 ! flowvidfilter engine=identity batch-size=2 keyframe-interval=1 ! identity error-after=9 ! fakesink
PIPELINES
}

# Fails unless the pipeline ends as it should: with an error where it asks for one, else without.
under_valgrind() { # REPORT PIPELINE
    local report=$1 status=0 expected=0
    shift
    [[ $1 != *error-after* ]] || expected=1
    # shellcheck disable=SC2086 # a pipeline's words are words
    GST_PLUGIN_PATH=$work/plugin GST_REGISTRY=$work/registry.bin GST_REGISTRY_FORK=no G_SLICE=always-malloc \
        timeout 300 valgrind --quiet --leak-check=full --show-leak-kinds=definite --num-callers=40 "${suppressions[@]}" \
        --xml=yes --xml-file="$report" gst-launch-1.0 -q $1 >"$report.log" 2>&1 </dev/null || status=$?
    [ "$status" = "$expected" ] || { warn "  ended with $status: $report.log" && return 1; }
}

# Prints how many errors there are, and each that has the plugin in its stack; fails if there is one.
judge() {
    python3 - "$1" <<'PYTHON'
import sys
import xml.etree.ElementTree as tree

try:
    errors = tree.parse(sys.argv[1]).getroot().findall("error")
except tree.ParseError as error:
    sys.exit(f"valgrind's report is broken off: {error}")
ours = [e for e in errors if any("libgstflowvid" in (f.findtext("obj") or "") for f in e.iter("frame"))]
for error in ours:
    print(error.findtext("kind"), error.findtext("what") or error.findtext("xwhat/text"))
    for frame in error.find("stack").findall("frame")[:12]:
        print("   ", frame.findtext("fn"), frame.findtext("file") or frame.findtext("obj"))
print(f"  {len(ours)} of the plugin, {len(errors) - len(ours)} of others")
sys.exit(bool(ours))
PYTHON
}

if ! command -v valgrind >/dev/null; then
    can_apt || fail "valgrind is not installed" "the system's packages bring it"
    logged valgrind "Installing valgrind with apt" apt_install valgrind || fail "valgrind could not be installed" "$network_cure"
fi
CARGO_TARGET_DIR=$root/target/no-torch cargo build --quiet --locked --lib --no-default-features --features element
mkdir -p "$work/plugin"
cp "$root/target/no-torch/debug/libgstflowvid.so" "$work/plugin"
# The registry is made outside of valgrind: scanning every plugin inside takes minutes.
GST_PLUGIN_PATH=$work/plugin GST_REGISTRY=$work/registry.bin gst-inspect-1.0 flowvidfilter >/dev/null ||
    fail "GStreamer does not load the plugin" "make doctor tells more"
number=0 failures=0
while read -r pipeline; do
    number=$((number + 1))
    say "$pipeline"
    if ! { under_valgrind "$work/$number.xml" "$pipeline" && judge "$work/$number.xml"; }; then
        failures=$((failures + 1))
    fi
done < <(pipelines)
[ "$failures" = 0 ] || fail "$failures of $number pipelines show faults of the plugin" "the reports: $work/*.xml"
say "valgrind: $number pipelines, no error and no definite leak of the plugin"

#!/usr/bin/env bash
# Edits a clip with a plain gst-launch line, puts a contact sheet beside the result and measures how it holds. From the
# environment:
#   PROMPT      what the clip shall look like
#   CLIP, OUT   the clip to edit and the mp4 to write
#   EDITED      a picture: the clip's first frame as edited by you
#   PROPERTIES  more properties of flowvidfilter, as name=value, separated by spaces

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/demo_progress.sh"

clip=${CLIP:-$(realpath -m --relative-to=. "$clips/bigbuckbunny.mp4")}
out=${OUT:-out/demo.mp4}
edited=${EDITED:-}
prompt=${PROMPT:-}
[ -n "$prompt$edited" ] || prompt="a pencil sketch"
sheet=${out%.*}.png
tools=${FLOWVID_TOOLS:-$root/target/release/examples}
mkdir -p "$logs"
log=$logs/demo-$$.log
export RUST_BACKTRACE=0

# tool NAME ARGUMENT...: one of our example programs; its last line says what went wrong.
tool() {
    local name=$1
    shift
    "$tools/$name" "$@" 2>"$log" || fail "$(sed -n 's/^Error: //p' "$log")"
}

check_input() {
    [ -f "$clip" ] || fail "there is no clip $clip" "CLIP=file names the clip to edit; without it a ready one is taken"
    [ -r "$clip" ] || fail "$clip cannot be read" "its permissions do not allow it"
    [ -z "$edited" ] || [ -f "$edited" ] || fail "there is no picture $edited" \
        "EDITED=file names a picture: the clip's first frame, edited"
}

# Never a device or a folder: a failed run removes what it left.
can_write() {
    if [ -e "$out" ]; then [ -f "$out" ] && [ -w "$out" ]; else mkdir -p "$(dirname "$out")" && [ -w "$(dirname "$out")" ]; fi
} 2>/dev/null

check_output() {
    [ "$(realpath -m "$out")" != "$(realpath -m "$clip")" ] || fail "OUT and CLIP are one file, $out"
    [ "$out" != "$sheet" ] || fail "OUT=$out is the name of the contact sheet" "OUT names a file that ends in .mp4"
    can_write || fail "$out cannot be written" "OUT=file names the mp4 to write, in a folder where you may write"
}

# A value as gst-launch reads it, whatever it holds.
quoted() {
    local value=${1//\\/\\\\}
    printf '"%s"' "${value//\"/\\\"}"
}

# Fills `launch` with the pipeline, one word an entry.
compose_pipeline() {
    local -a filter=(flowvidfilter) more=() sound=()
    [ -z "$prompt" ] || filter+=("prompt=$(quoted "$prompt")")
    [ -z "$edited" ] || filter+=("edited-frame=$(quoted "$edited")")
    read -r -a more <<<"${PROPERTIES:-}"
    local from=(decodebin) to=(mp4mux) crop=()
    # H.264 in 4:2:0 has no odd sizes.
    local right=$((source[width] % 2)) bottom=$((source[height] % 2))
    [ "$right$bottom" = 00 ] || crop=(! videocrop "right=$right" "bottom=$bottom")
    if [ "${source[audio_seconds]}" != none ]; then
        from+=(name=clip)
        to+=(name=file)
        # As long as a batch is being edited, its sound waits.
        sound=(clip. ! audio/x-raw ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0
            ! audioconvert ! audioresample ! avenc_aac ! file.)
    fi
    launch=(gst-launch-1.0 filesrc "location=$(quoted "$clip")" ! "${from[@]}" ! "${filter[@]}" "${more[@]}" "${crop[@]}"
        ! x264enc ! "${to[@]}" ! filesink "location=$(quoted "$out")" "${sound[@]}")
}

# The words of a command as a shell would take them again.
as_typed() {
    local word plain='^[][A-Za-z0-9_./:,=%+-]*$' string='^[a-z-]+="[A-Za-z0-9 _./:,=%+-]*"$'
    for word in "$@"; do
        if [[ $word == ! || $word =~ $plain || $word =~ $string ]]; then
            printf '%s ' "$word"
        else
            printf '%q ' "$word"
        fi
    done
}

run_pipeline() {
    # Apart: errors are not buffered and would come out in the middle of a line of the messages.
    local errors=$log.errors reason
    : >"$errors"
    # shellcheck disable=SC2094 # one writes the file, the other follows it
    "${launch[@]:0:1}" -m "${launch[@]:1}" </dev/null 2>"$errors" | tee "$log" |
        show_progress "${source[frames]}" "$errors" && rm "$errors" && return
    rm -f "$out"
    reason=$(sed -n 's/^ERROR: from element [^ ]*: //p; s/^WARNING: erroneous pipeline: //p' "$errors" | head -n 1)
    cat "$errors" >>"$log"
    rm "$errors"
    fail "${reason:-the pipeline failed}" "everything it said: $log"
}

# read_facts CLIP ARRAY: what clip_facts tells of a clip, into an associative array.
read_facts() {
    local -n facts=$2
    local lines name value
    lines=$(tool clip_facts "$1")
    # shellcheck disable=SC2004,SC2034 # facts is another name of the array that the caller named
    while IFS='=' read -r name value; do facts[$name]=$value; done <<<"$lines"
}

check_result() {
    local -A result=()
    read_facts "$out" result
    [ "${result[frames]}" = "${source[frames]}" ] ||
        fail "$out has ${result[frames]} frames, the clip has ${source[frames]}" "the pipeline's log: $log"
}

check_input
declare -A source=()
read_facts "$clip" source
check_output
use_plugin
compose_pipeline
say "$clip: ${source[frames]} frames of ${source[width]}x${source[height]}, ${source[video_seconds]} s"
say "$(as_typed "${launch[@]}")"
start=${EPOCHREALTIME/./}
run_pipeline
microseconds=$((${EPOCHREALTIME/./} - start))
shares=$(stage_shares "$log")
check_result
tool contact_sheet "$clip" "$out" "$sheet"
say
say "video          $out"
say "contact sheet  $sheet (the clip above, the result below)"
awk -v frames="${source[frames]}" -v time="$microseconds" \
    'BEGIN { printf "%d frames in %.1f s: %.2f frames per second\n", frames, time / 1e6, frames * 1e6 / time }'
[ -z "$shares" ] || say "the engine's time: $shares"
# A build without torch has no such program.
[ ! -x "$tools/evaluate" ] || tool evaluate "$clip" "$out" --brief --size 224 --frames 25
say "another look:  make demo PROMPT=\"an ink drawing at night\""
rm -f "$log"

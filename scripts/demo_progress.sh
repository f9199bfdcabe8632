# Sourced by demo.sh: progress and time left, from the message that flowvidfilter posts for each batch.
# shellcheck shell=bash

# progress_line DONE FRAMES STARTED
progress_line() {
    local elapsed=$((SECONDS - $3))
    if [ "$1" = 0 ]; then
        printf '  first batch of %d frames, %d s so far' "$2" "$elapsed"
    elif [ "$1" -ge "$2" ]; then
        printf '  all %d frames edited in %d s, writing the video' "$2" "$elapsed"
    else
        printf '  %d of %d frames (%d %%), %d s, about %d s left' \
            "$1" "$2" "$((100 * $1 / $2))" "$elapsed" "$((elapsed * ($2 - $1) / $1))"
    fi
}

# On a terminal one line that is drawn anew, elsewhere a new one.
draw() {
    if [ -t 1 ]; then
        printf '\r\033[K%s' "$1"
    else
        printf '%s\n' "$1"
    fi
}

# A line that stays.
note() {
    [ ! -t 1 ] || printf '\r\033[K'
    printf '%s\n' "$1"
}

# Prints the warnings that gst-launch wrote since `told` of them were told.
tell_warnings() {
    local warnings line
    mapfile -t warnings < <(sed -n 's/^WARNING: from element [^ ]*: //p' "$1")
    for line in "${warnings[@]:told}"; do note "  warning: $line"; done
    told=${#warnings[@]}
}

# Between batches: each second on a terminal, every ten elsewhere.
is_due() { [ -t 1 ] || [ $(($1 % 10)) = 9 ]; }

# show_progress FRAMES ERRORS: reads the output of gst-launch -m, whose errors go to a file.
show_progress() {
    local frames=$1 errors=$2 done=0 told=0 started=$SECONDS line state=0
    while [ "$state" = 0 ] || [ "$state" -gt 128 ]; do
        state=0
        IFS= read -r -t 1 line || state=$?
        if [ "$state" = 0 ] && [[ $line =~ \(element\):\ flowvid-batch.*\ frames=\(uint\)([0-9]+) ]]; then
            done=$((done + BASH_REMATCH[1]))
            draw "$(progress_line "$done" "$frames" "$started")"
        elif [ "$state" = 0 ] && [[ $line == "Progress: "* ]]; then
            note "  ${line#*: }"
        elif [ "$state" -gt 128 ]; then
            tell_warnings "$errors"
            ! is_due "$((SECONDS - started))" || draw "$(progress_line "$done" "$frames" "$started")"
        fi
    done
    [ ! -t 1 ] || printf '\n'
    tell_warnings "$errors"
}

# stage_shares LOG: what the engine's time went into, the largest share first.
stage_shares() {
    sed 's/\\//g' "$1" | sed -n 's/.*flowvid-batch.* wall=(double)\([^,]*\), timings=(structure)"timings, \([^;]*\);.*/wall=(double)\1, \2/p' |
        tr ',' '\n' | awk -F '=\\(double\\)' '
            { sub(/^ */, "", $1); if ($1 == "wall") whole += $2; else { took[$1] += $2; known += $2 } }
            END {
                if (whole == 0) exit
                took["all else"] = whole - known
                for (stage in took) printf "%.0f %s\n", 100 * took[stage] / whole, stage
            }' | sort -k 1,1nr -k 2 | awk '$1 > 0 { share = $1; sub(/^[0-9]+ /, ""); printf "%s%s %d %%", separator, $0, share; separator = ", " }'
}

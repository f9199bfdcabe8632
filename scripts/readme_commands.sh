#!/usr/bin/env bash
# Runs README.md's own command lines: every block fenced as ```sh run, each in a shell of its own at the project's root.
# With --list it only prints them.

. "$(dirname "$0")/lib.sh"

# The blocks, each closed by a NUL.
blocks() {
    awk '/^```sh run *$/ { inside = 1; next } /^```/ && inside { inside = 0; printf "%c", 0 } inside' "$root/README.md"
}

run_block() {
    local start=$SECONDS
    say "README: $1"
    (cd "$root" && bash -euo pipefail -c "$1" </dev/null) || fail "README.md's command failed: $1"
    say "  passed in $((SECONDS - start)) s"
}

[ -e "$root/README.md" ] || fail "README.md is missing"
mapfile -d '' -t commands < <(blocks)
[ "${#commands[@]}" -gt 0 ] || fail "README.md holds no block fenced as \`\`\`sh run"
if [ "${1:-}" = --list ]; then
    printf '%s\n' "${commands[@]}"
    exit
fi
use_plugin
for command in "${commands[@]}"; do
    case $command in *"make test"*) fail "README.md: a block that runs make test would never end" ;; esac
    run_block "${command%$'\n'}"
done
say "README: ${#commands[@]} passed, 0 failed"

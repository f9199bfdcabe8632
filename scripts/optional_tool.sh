#!/usr/bin/env bash
# optional_tool.sh TOOL [ARGUMENT]...: runs a checker that is welcome but not required, or says that it was skipped.

. "$(dirname "$0")/lib.sh"

declare -A package=([typos]=typos-cli [cargo-deny]=cargo-deny)
PATH=$venv/bin:$PATH
tool=$1
if command -v "$tool" >/dev/null; then
    say "$*"
    "$@"
else
    say "skipped: $tool is not installed; ${package[$tool]:+cargo install --locked ${package[$tool]} or }the system's packages bring it"
fi

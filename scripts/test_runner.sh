#!/usr/bin/env bash
# test_runner.sh PROFILE: prints the command that runs tests: cargo-nextest where it is installed, cargo's own elsewhere.

set -euo pipefail

if command -v cargo-nextest >/dev/null; then
    echo cargo nextest run --no-fail-fast --cargo-profile "$1"
else
    echo cargo test --no-fail-fast --profile "$1"
fi

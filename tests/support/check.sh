#!/usr/bin/env bash
# `make test`: sets up what the tests need, then runs all of them.
#
# The genuine clients and PostgreSQL are set up in the background while cargo
# compiles. Under CI=true whatever cannot be set up fails the run; elsewhere it is
# named, and the tests that need it say that they were left out.
set -uo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
logs=$target/check
mkdir -p "$logs"
rm -f "$logs"/*
failures=0
failed_steps=()
missing=()

step() {
    local name=$1 started=$SECONDS
    shift
    echo "== $name"
    if "$@"; then
        echo "== $name: done in $((SECONDS - started)) s"
    else
        echo "== $name: FAILED after $((SECONDS - started)) s"
        failures=$((failures + 1))
        failed_steps+=("$name")
    fi
}

# Through a file, since the guard of an agent that a test has killed may outlive the tests, and
# would keep a pipe open.
logged() {
    local log=$1 code=0
    shift
    "$@" >"$log" 2>&1 || code=$?
    cat "$log"
    return $code
}

unavailable() {
    missing+=("$1")
    echo "== $1 could not be set up: $(tail -3 "$2" | tr '\n' ' ')"
}

environments() {
    local generation
    for generation in 2.0b3 2.20 3.8; do
        tests/support/venv.sh "$generation" >"$logs/venv-$generation" 2>"$logs/venv-$generation.err" || touch "$logs/venv-$generation.failed"
    done
}

database() {
    tests/support/postgres.sh start "$logs/postgres.state" >"$logs/postgres" 2>"$logs/postgres.err" || touch "$logs/postgres.failed"
}

dashboard() {
    [ -f ui-static/package.json ] || return 0
    # A folder of its own, since the rest of this script stays where it is.
    (tests/support/node.sh && cd ui-static && npm ci --silent --no-audit --no-fund && npm run --silent build) >"$logs/ui.log" 2>&1 || touch "$logs/ui.failed"
}

end() {
    tests/support/postgres.sh stop "$logs/postgres.state"
}
trap end EXIT
trap 'exit 130' INT TERM

environments &
environments_pid=$!
database &
database_pid=$!
# The binary embeds the dashboard at compile time, so this one comes first.
dashboard

step "format" cargo fmt --check
step "lints" cargo clippy --locked --all-targets -- -D warnings
step "flows without the server" cargo check --locked --no-default-features --features sdk
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
step "compile" cargo test --locked --no-run

step "dependencies" tests/support/deny.sh

wait $database_pid $environments_pid
export PREFECT_RS_TEST_VENVS=${PREFECT_RS_TEST_VENVS:-$root/.venvs}
if [ -e "$logs/postgres.failed" ]; then
    unavailable "PostgreSQL" "$logs/postgres.err"
else
    PREFECT_RS_TEST_POSTGRES_URL=$(cat "$logs/postgres")
    export PREFECT_RS_TEST_POSTGRES_URL
fi
for generation in 2.0b3 2.20 3.8; do
    [ ! -e "$logs/venv-$generation.failed" ] || unavailable "genuine Prefect $generation" "$logs/venv-$generation.err"
done
[ ! -e "$logs/ui.failed" ] || unavailable "the dashboard" "$logs/ui.log"

# The genuine packages and their servers would otherwise report home.
export DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false
step "tests" logged "$logs/tests.log" cargo test --locked --no-fail-fast
# Once more through the shell, as a reader of the README would.
[ ! -x tests/e2e/run.sh ] || step "make run" tests/e2e/run.sh
if [ -f ui-static/package.json ] && [ ! -e "$logs/ui.failed" ]; then
    step "dashboard tests" logged "$logs/ui-tests.log" tests/support/ui.sh
fi

if [ ${#missing[@]} -gt 0 ]; then
    echo "not set up: ${missing[*]}"
    [ "${CI:-}" != true ] || failures=$((failures + 1))
fi

counted() { sed -nE "s/^test result: .* ([0-9]+) $1;.*/\1/p" "$logs/tests.log" | awk '{ n += $1 } END { print n + 0 }'; }
passed=$(counted passed)
failed=$(counted failed)
# A failed step without a failed test (a lint, say) must not read as a success.
[ "$failures" -eq 0 ] || [ "$failed" -gt 0 ] || failed=$failures
# Last, so that they are read even where only the end of the output is kept.
# What the failed tests printed comes under a heading of each, up to the list of their names.
told() { awk '/^failures:$/ { heads++ } /^---- .* stdout ----$/ { telling = 1 } /^failures:$/ && telling { telling = 0 } telling' "$logs/tests.log" | cut -c 1-1000 | tail -n 100; }
[ "$failed" -eq 0 ] || [ ! -e "$logs/tests.log" ] || told
[ ${#failed_steps[@]} -eq 0 ] || printf 'failed: %s\n' "${failed_steps[@]}"
sed -nE 's/^test (.*) \.\.\. FAILED$/failed test: \1/p' "$logs/tests.log" 2>/dev/null || true
echo "$passed passed, $failed failed"
[ "$failures" -eq 0 ] && [ "$passed" -gt 0 ]

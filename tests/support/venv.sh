#!/usr/bin/env bash
# Makes the virtual environment of one genuine Prefect generation and prints its folder.
#
#   tests/support/venv.sh 2.0b3|2.20|3.8
#
# Every package is pinned by tests/support/requirements/<generation>.txt, so a new
# release somewhere cannot change what "genuine" means. A finished environment
# costs one comparison; several callers at once wait for the first.
set -euo pipefail

generation=${1:?usage: venv.sh 2.0b3|2.20|3.8}
root=$(cd "$(dirname "$0")/../.." && pwd)
pins=$root/tests/support/requirements/$generation.txt
[ -f "$pins" ] || { echo "venv.sh: no pins for '$generation' in tests/support/requirements" >&2; exit 2; }

home=${PREFECT_RS_TEST_VENVS:-$root/.venvs}
venv=$home/$generation
mkdir -p "$home"
exec 9>"$home/.$generation.lock"
flock 9

if cmp -s "$pins" "$venv/.pins"; then
    echo "$venv"
    exit 0
fi

python=${PREFECT_RS_PYTHON:-}
if [ -z "$python" ]; then
    python=$(command -v python3.11 || command -v python3) || {
        echo "venv.sh: Python 3.11 is needed; set PREFECT_RS_PYTHON to its path" >&2
        exit 1
    }
fi

echo "venv.sh: installing genuine Prefect $generation" >&2
log=$home/$generation.log
rm -rf "$venv"
# The log stays in a file, since pip names the hosts it talks to.
if ! { "$python" -m venv "$venv" &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$pins" &&
    "$venv/bin/python" -c 'import prefect'; } >"$log" 2>&1; then
    echo "venv.sh: installing Prefect $generation failed; the reason is at the end of $log" >&2
    tail -5 "$log" | sed -E 's#https?://[^ ]+#<url>#g' >&2
    exit 1
fi
cp "$pins" "$venv/.pins"
echo "$venv"

#!/usr/bin/env bash
# Says what is missing when the dashboard cannot be built here.
set -euo pipefail
command -v npm >/dev/null || { echo "the dashboard needs Node 20 and npm" >&2; exit 1; }

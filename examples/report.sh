#!/bin/sh
# A script that reports: its steps are task runs of the flow run that it is part of, and it leaves an artifact.
# prefect-rs run -- examples/report.sh
set -eu
command=${PREFECT_RS_BIN:-prefect-rs}

count=$("$command" task-run start "count files")
files=$(find "${1:-.}" -maxdepth 1 -type f | wc -l)
"$command" task-run complete "$count" --message "$files files"

check=$("$command" task-run start "check the number")
if [ "$files" -gt 0 ]; then
    "$command" task-run complete "$check"
else
    "$command" task-run fail "$check" --message "there are no files"
    exit 1
fi
"$command" artifact create file-count --markdown "There are **$files** files." >/dev/null
echo "$files files"

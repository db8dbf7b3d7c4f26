#!/bin/sh
# Fails, with a reason in the logs, when the disk is fuller than the parameter allows.
set -eu
limit=${PREFECT__PARAMETER_LIMIT_PERCENT:-95}
used=$(df -P . | awk 'NR == 2 { sub("%", "", $5); print $5 }')
echo "the disk is $used % full, the limit is $limit %"
if [ "$used" -gt "$limit" ]; then
    echo "more than the limit" >&2
    exit 1
fi

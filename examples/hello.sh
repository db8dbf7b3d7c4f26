#!/bin/sh
# A flow is any executable: its output lines are the logs, its exit code the outcome.
echo "Hello, ${PREFECT__PARAMETER_NAME:-world}, from run ${PREFECT__FLOW_RUN_ID:-(by hand)}"
echo "All parameters: ${PREFECT__PARAMETERS:-{\}}"

"""A flow of 2.20, which asks the server before each of its task runs."""

import sys
import time
from pathlib import Path

from prefect import flow, task


@task
def first(gate: str):
    while not Path(gate).exists():
        time.sleep(0.2)


@task
def second():
    return "late"


@flow(flow_run_name="two-steps")
def two_steps(gate: str):
    first(gate)
    second()


if __name__ == "__main__":
    two_steps(sys.argv[1])

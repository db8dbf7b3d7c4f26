"""Flows of the newest client for the stories of the dashboard: one asks a person and leaves what it made, one takes slots."""

import sys
import time
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.concurrency.sync import concurrency
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput


class Approval(RunInput):
    approved: bool
    reason: str = ""


@task(persist_result=True)
def total(orders: list[int]) -> int:
    return sum(orders)


@flow(flow_run_name="asks-a-person", persist_result=True)
def asks() -> str:
    sum_ = total([40, 2])
    create_markdown_artifact("# Totals\n\n**42** orders, <b>no element</b>", key="totals", description="What is to be approved")
    create_table_artifact([{"order": 1, "total": 40}, {"order": 2, "total": 2}], key="orders")
    progress = create_progress_artifact(10.0, key="rows", description="Rows written")
    answer = pause_flow_run(wait_for_input=Approval.with_initial_data(description="Is the **total** right?", reason="none yet"), timeout=120, poll_interval=1)
    update_progress_artifact(progress, 100.0)
    get_run_logger().info("approved: %s, because %s", answer.approved, answer.reason)
    return f"{sum_} {answer.reason}"


@task(tags=["warehouse"], task_run_name="{name}")
def waits_for(name: str, gate: str):
    with concurrency("mail"):
        while not Path(gate).exists():
            time.sleep(0.2)


@flow(flow_run_name="flow-that-{name}")
def takes_a_slot(name: str, gate: str):
    waits_for(name, gate)


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    {"asks": asks, "slot": takes_a_slot}[what](*arguments)

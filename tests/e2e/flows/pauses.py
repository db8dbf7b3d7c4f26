"""A flow that pauses until somebody tells it a number."""

import sys

from prefect import flow, get_run_logger

try:
    from prefect.flow_runs import pause_flow_run  # 3.x
except ImportError:
    from prefect import pause_flow_run


@flow(flow_run_name="{name}")
def asks(name: str):
    number = pause_flow_run(wait_for_input=int, timeout=200, poll_interval=1)
    get_run_logger().info("twice is %s", number * 2)


if __name__ == "__main__":
    asks(sys.argv[1])

"""What genuine 2.20 and 3.x clients do, in words that both of them know.

    python newer.py adhoc            runs a flow of tasks
    python newer.py serve NAME       serves it as a deployment
    python newer.py deploy NAME POOL deploys it to a work pool
"""

import sys
from pathlib import Path

from prefect import flow, task

tries = []


@task
def square(x):
    return x * x


@task(retries=2, retry_delay_seconds=0)
def flaky():
    """Succeeds at the third try."""
    tries.append(1)
    if len(tries) < 3:
        raise ValueError("no luck")
    return len(tries)


@flow
def child(x):
    return square(x)


@flow(log_prints=True, flow_run_name="squares-to-{n}")
def adhoc(n: int = 3):
    print("squaring up to", n)
    squares = [square.submit(x) for x in range(n)]
    flaky()
    child(4)
    return sum(future.result() for future in squares)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "adhoc":
        print("result", adhoc(3))
    elif command == "serve":
        adhoc.serve(name=arguments[0], parameters={"n": 2}, interval=3600)
    elif command == "deploy":
        adhoc.from_source(
            str(Path(__file__).parent), "newer.py:adhoc"
        ).deploy(name=arguments[0], work_pool_name=arguments[1], parameters={"n": 2})

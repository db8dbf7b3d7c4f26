"""What genuine 2.20 and 3.x clients do, in words that both of them know.

    python newer.py adhoc            runs a flow of tasks
    python newer.py kept WORD        takes slots, and leaves a variable and an artifact
    python newer.py serve NAME       serves it as a deployment
    python newer.py deploy NAME POOL deploys it to a work pool
    python newer.py deploy-seen NAME POOL    deploys a flow that tells what its process was given
    python newer.py deploy-asleep NAME POOL  deploys a flow that sleeps, as does a process that it starts
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.concurrency.sync import concurrency, rate_limit
from prefect.variables import Variable

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


@task(tags=["scarce"])
def alone():
    """Says from when to when it ran."""
    started = time.monotonic()
    time.sleep(0.5)
    return started, time.monotonic()


@flow
def kept(word: str):
    first, second = sorted(future.result() for future in [alone.submit(), alone.submit()])
    with concurrency(f"desk-{word}", occupy=1):
        rate_limit(f"calls-{word}")
    Variable.set(f"region_{word}", "north", overwrite=True)
    create_markdown_artifact(key=f"report-{word}", markdown="# Done")
    return second[0] >= first[1], Variable.get(f"region_{word}")


@flow(log_prints=True)
def seen():
    print("greeting is", os.environ.get("GREETING"))


@flow
def asleep(note: str):
    """Notes its process and that which it starts."""
    child = subprocess.Popen(["sleep", "300"])
    unfinished = Path(note + ".part")
    unfinished.write_text(f"{os.getpid()} {child.pid}\n")
    unfinished.rename(note)
    child.wait()


def deploy(function, name, pool, **settings):
    source = str(Path(__file__).parent)
    loaded = function.from_source(source, f"newer.py:{function.fn.__name__}")
    loaded.deploy(name=name, work_pool_name=pool, **settings)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "adhoc":
        print("result", adhoc(3))
    elif command == "kept":
        print("result", kept(arguments[0]))
    elif command == "serve":
        adhoc.serve(name=arguments[0], parameters={"n": 2}, interval=3600)
    elif command == "deploy":
        deploy(adhoc, *arguments, parameters={"n": 2})
    elif command == "deploy-seen":
        variables = {"env": {"GREETING": "hello {{ prefect.variables.whom }}"}, "stream_output": False}
        deploy(seen, *arguments, job_variables=variables)
    elif command == "deploy-asleep":
        deploy(asleep, *arguments)

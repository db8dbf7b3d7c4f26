"""What the genuine 2.0b3 client can do beyond the tutorial, one flow a feature.

    python features.py FLOW [ARGUMENT]

Prints the outcome as one line of JSON, since the process's exit code is the flow's.
"""

import asyncio
import inspect
import json
import os
import sys
import time

from prefect import flow, task
from prefect.task_runners import ConcurrentTaskRunner, SequentialTaskRunner


@task(cache_key_fn=lambda context, parameters: f"square-{parameters['x']}")
def square(x):
    print("computed", x, flush=True)
    return x * x


@flow(name="caching", task_runner=SequentialTaskRunner())
def caching():
    """The second call of equal key computes nothing."""
    return [square(7).result(), square(7).result()]


@flow(name="child")
def child(x):
    return square(x)


@flow(name="subflows")
def subflows():
    """A flow in a flow, and a task that waits for it."""
    result = child(3)
    return square(4, wait_for=[result])


@task(tags=["scarce"])
def scarce(path, number):
    """Notes when it began and ended, so that an overlap can be seen."""
    with open(path, "a") as notes:
        notes.write(f"begin {number}\n")
        notes.flush()
        time.sleep(0.5)
        notes.write(f"end {number}\n")


@flow(name="limits", task_runner=ConcurrentTaskRunner())
def limits(path):
    for number in range(2):
        scarce(path, number)


@task
def together(directory, number, count):
    """Succeeds only when all of them run at once."""
    open(os.path.join(directory, str(number)), "w").close()
    deadline = time.monotonic() + 60
    while len(os.listdir(directory)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError("the others never came")
        time.sleep(0.05)
    return number


@flow(name="concurrent", task_runner=ConcurrentTaskRunner())
def concurrent(directory):
    for number in range(3):
        together(directory, number, 3)


@task(retries=2)
def fails():
    raise ValueError("no luck")


@flow(name="failing")
def failing():
    fails()


@flow(name="timing out", timeout_seconds=1)
def timing_out():
    for _ in range(100):
        time.sleep(0.1)


@flow(name="interrupted")
async def interrupted():
    """Waits in the main thread, where a signal reaches the flow itself."""
    print("waiting", flush=True)
    await asyncio.sleep(600)


FLOWS = {
    "caching": caching,
    "subflows": subflows,
    "limits": limits,
    "concurrent": concurrent,
    "failing": failing,
    "timing_out": timing_out,
    "interrupted": interrupted,
}

if __name__ == "__main__":
    state = FLOWS[sys.argv[1]](*sys.argv[2:])
    if inspect.isawaitable(state):
        state = asyncio.run(state)
    print(json.dumps({"type": state.type.value, "name": state.name}), flush=True)

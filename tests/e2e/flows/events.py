"""Flows and tasks of a 3.x client, which tells of its task runs by events."""

import sys

from prefect import flow, task
from prefect.cache_policies import INPUTS

calls = 0


@task(retries=2, retry_delay_seconds=0.1)
def flaky():
    global calls
    calls += 1
    if calls < 3:
        raise ValueError("not yet")


@task
def add(x):
    return x + 1


@task(cache_policy=INPUTS, persist_result=True)
def double(x):
    return x * 2


@task
def broken():
    raise RuntimeError("broken")


@flow
def inner(x):
    return add(x)


@flow
def outer():
    flaky()
    add.submit(1).result()
    add.map([1, 2]).result()
    double(4)
    double(4)
    inner(3)
    broken(return_state=True)
    return 5


@task
def greet(name):
    return f"hello {name}"


if __name__ == "__main__":
    if sys.argv[1] == "flow":
        outer()
    elif sys.argv[1] == "serve":
        greet.serve()
    else:
        futures = [greet.delay(str(n)) for n in range(3)]
        for future in futures:
            future.wait(timeout=120)
        print(sorted(future.state.name for future in futures))

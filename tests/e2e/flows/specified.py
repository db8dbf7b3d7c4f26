"""A flow and its specification in one file, as the first generation has it."""

import os

from prefect import flow
from prefect.deployments import DeploymentSpec
from prefect.flow_runners import SubprocessFlowRunner


@flow(name="specified")
def specified(n: int = 1):
    """Doubles a number."""
    print(f"doubled: {n * 2} with {os.environ['SUFFIX']}")
    return n * 2


DeploymentSpec(
    name="specified",
    flow=specified,
    parameters={"n": 3},
    tags=["spec"],
    flow_runner=SubprocessFlowRunner(env={"SUFFIX": "b"}),
)

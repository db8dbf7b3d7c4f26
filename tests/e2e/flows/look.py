"""Reads all that a server has with the client of any generation, and prints what it was as JSON."""

import asyncio
import json

try:
    from prefect.client.orchestration import get_client
except ImportError:
    from prefect.client import get_client


async def pages(read):
    """Returns all that a client can list, page by page."""
    found = []
    while page := await read(limit=50, offset=len(found)):
        found.extend(page)
    return found


async def look():
    async with get_client() as client:
        flows = {flow.id: flow.name for flow in await pages(client.read_flows)}
        runs = await pages(client.read_flow_runs)
        tasks = await pages(client.read_task_runs)
        deployments = await pages(client.read_deployments)
        logs = await pages(client.read_logs)
        queues = await client.read_work_queues()
        states = {}
        for run in runs:
            history = await client.read_flow_run_states(run.id)
            states[str(run.id)] = [flows[run.flow_id], run.name] + [state.name for state in history]
        for task in tasks:
            history = await client.read_task_run_states(task.id)
            states[str(task.id)] = [task.name] + [state.name for state in history]
        one = [await client.read_deployment(deployment.id) for deployment in deployments]
        return {
            "states": states,
            "deployments": sorted([d.name, flows[d.flow_id], d.tags, d.parameters] for d in one),
            "logs": len(logs),
            "queues": sorted(queue.name for queue in queues if queue.name != "default"),
        }


print(json.dumps(asyncio.run(look()), sort_keys=True))

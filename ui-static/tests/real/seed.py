#!/usr/bin/env python3
"""Fills a stopped server's SQLite file for the dashboard's tests: `seed.py DATABASE SPEC`.

SPEC is JSON: {"runs": n, "days": d, "tasks": n, "logs": n}. Through the API this would take many
minutes; the store takes it in seconds. Prints the ids that a test wants to open as JSON.
"""

import json
import random
import sqlite3
import sys
import uuid
from datetime import datetime, timedelta, timezone

# The same database each time, so that a failure can be looked at again.
DICE = random.Random(4200)
NOW = datetime.now(timezone.utc)
WORDS = "amber brisk calm dusty eager faint grand happy ivory jolly keen lucid misty noble olive proud quiet rapid".split()
BEASTS = "lynx heron otter raven bison crane dingo egret finch gecko hyena ibis koala lemur moose newt".split()
STATES = [("COMPLETED", "Completed", 86), ("FAILED", "Failed", 8), ("CRASHED", "Crashed", 2), ("CANCELLED", "Cancelled", 2), ("SCHEDULED", "Late", 2)]


def new_id():
    return str(uuid.UUID(int=DICE.getrandbits(128), version=4))


def text(at):
    return at.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")


def insert(db, table, rows):
    rows = list(rows)
    if not rows:
        return
    columns = list(rows[0])
    marks = ", ".join("?" * len(columns))
    db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", [tuple(r.values()) for r in rows])


def stamped(row):
    return {"id": new_id(), "created": text(NOW), "updated": text(NOW)} | row


def main():
    path, spec = sys.argv[1], json.loads(sys.argv[2])
    db = sqlite3.connect(path, timeout=60)
    db.execute("PRAGMA synchronous = OFF")
    with db:
        ids = fill(db, spec)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    print(json.dumps(ids))


def fill(db, spec):
    flows = [stamped({"name": f"{a.title()} {b} pipeline", "tags": json.dumps([a])}) for a, b in zip(WORDS, BEASTS)]
    insert(db, "flow", flows)
    deployments = [stamped({"name": "prod", "flow_id": f["id"], "is_schedule_active": 1, "tags": json.dumps(["ETL"]), "parameters": '{"days": 3}'}) for f in flows]
    insert(db, "deployment", deployments)
    # As the server has it, the only schedule of a deployment has the deployment's id.
    insert(db, "deployment_schedule", [stamped({"deployment_id": d["id"], "schedule": '{"interval": 3600.0}'}) | {"id": d["id"]} for d in deployments])
    queue = stamped({"name": "etl-queue", "filter": json.dumps({"tags": ["ETL"], "deployment_ids": None, "flow_runner_types": None})})
    insert(db, "work_queue", [queue])
    runs, states = [], []
    for number in range(spec.get("runs", 0)):
        at = NOW - timedelta(seconds=60 + number * spec.get("days", 1) * 86400 / max(1, spec["runs"]))
        kind, name, _ = DICE.choices(STATES, [weight for *_, weight in STATES])[0]
        run, state = flow_run(DICE.choice(deployments), at, kind, name, DICE.expovariate(1 / 90))
        runs.append(run)
        states.append(state)
    ids = {"queue": queue["id"], "flow": flows[0]["id"], "deployment": deployments[0]["id"]}
    wide, state = flow_run(deployments[0], NOW - timedelta(minutes=30), "FAILED", "Failed", 1200)
    ids["wide"] = wide["id"]
    insert(db, "flow_run", runs + [wide])
    insert(db, "flow_run_state", states + [state])
    tasks(db, wide, spec.get("tasks", 0))
    logs(db, wide, spec.get("logs", 0))
    return ids


def flow_run(deployment, at, kind, name, seconds):
    is_waiting = kind == "SCHEDULED"
    end = None if is_waiting else at + timedelta(seconds=seconds)
    state_id = new_id()
    run = stamped({"name": f"{DICE.choice(WORDS)}-{DICE.choice(BEASTS)}", "flow_id": deployment["flow_id"], "deployment_id": deployment["id"], "state_id": state_id, "state_type": kind, "state_name": name})
    run |= {"state_timestamp": text(end or at), "run_count": 0 if is_waiting else 1, "expected_start_time": text(at), "next_scheduled_start_time": text(at) if is_waiting else None}
    run |= {"start_time": None if is_waiting else text(at), "end_time": end and text(end), "total_run_time": 0.0 if is_waiting else seconds, "tags": '["ETL"]', "parameters": '{"days": 3}'}
    message = {"COMPLETED": "All states completed.", "FAILED": "1 task run failed."}.get(kind)
    state = {"id": state_id, "created": text(NOW), "updated": text(NOW), "flow_run_id": run["id"], "type": kind, "name": name, "timestamp": text(end or at), "message": message, "state_details": "{}"}
    return run, state


def tasks(db, run, count):
    """A fan: extract, many that wait for it, and one that waits for all; every 997th fails."""
    if not count:
        return
    begin = NOW - timedelta(minutes=29)
    rows, first = [], new_id()
    for i in range(count):
        key, name = ("Extract", "Extract-0") if i == 0 else ("Process chunk", f"Process chunk-{i}")
        bad = i and i % 997 == 0
        at = begin if i == 0 else begin + timedelta(seconds=5 + i * 0.1)
        end = at + timedelta(seconds=5 if i == 0 else DICE.uniform(2, 60))
        inputs = "{}" if i == 0 else json.dumps({"chunk": [{"input_type": "task_run", "id": first}]})
        row = stamped({"name": name, "flow_run_id": run["id"], "task_key": key, "dynamic_key": str(i), "state_type": "FAILED" if bad else "COMPLETED", "state_name": "Failed" if bad else "Completed"})
        row |= {"state_timestamp": text(end), "run_count": 1, "expected_start_time": text(at), "start_time": text(at), "end_time": text(end), "total_run_time": (end - at).total_seconds(), "task_inputs": inputs}
        if i == 0:
            row["id"] = first
        rows.append(row)
    insert(db, "task_run", rows)


def logs(db, run, count):
    begin = NOW - timedelta(minutes=29)
    rows = (
        stamped({"name": "prefect.flow_runs", "level": 40 if i % 5000 == 4999 else 20, "flow_run_id": run["id"], "message": f"Processed row {i} of {count}" + ("\nTraceback (most recent call last):\n  ValueError: no customer" if i % 5000 == 4999 else ""), "timestamp": text(begin + timedelta(milliseconds=i))})
        for i in range(count)
    )
    insert(db, "log", rows)


if __name__ == "__main__":
    main()

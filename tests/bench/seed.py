"""Fills a stopped server's SQLite file with flow runs.

Twenty thousand runs through the API of a genuine server would take an hour, so both sides get
their rows the same way: copies of one real run and its state that the server itself had stored,
with ids and times of their own, twenty thousand to a day, every tenth of them failed. Copying
keeps this free of any knowledge of a schema.
"""

import sqlite3
import uuid
from datetime import datetime, timedelta

RUNS_PER_DAY = 20_000
DAY_SECONDS = 86_400
INSTANTS = (
    "created",
    "updated",
    "timestamp",
    "state_timestamp",
    "expected_start_time",
    "start_time",
    "end_time",
)


def seed(database, runs):
    """Adds `runs` flow runs, the newest a minute old."""
    connection = sqlite3.connect(database, timeout=60)
    connection.row_factory = sqlite3.Row
    query = "SELECT * FROM flow_run WHERE state_type = 'COMPLETED' LIMIT 1"
    run = dict(connection.execute(query).fetchone())
    query = "SELECT * FROM flow_run_state WHERE id = ?"
    state = dict(connection.execute(query, (run["state_id"],)).fetchone())
    copies = [copied(run, state, number) for number in range(runs)]
    with connection:
        insert(connection, "flow_run", run, [run_copy for run_copy, _ in copies])
        insert(connection, "flow_run_state", state, [state_copy for _, state_copy in copies])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def copied(run, state, number):
    """The run and its state, as values in the order of their columns."""
    back = 60 + number * DAY_SECONDS / RUNS_PER_DAY
    run_copy, state_copy = shifted(run, back), shifted(state, back)
    run_copy["id"] = state_copy["flow_run_id"] = new_id(run["id"], back)
    state_copy["id"] = run_copy["state_id"] = new_id(state["id"], back)
    if number % 10 == 0:
        fail(run_copy, "state_type", "state_name")
        fail(state_copy, "type", "name")
    return tuple(run_copy.values()), tuple(state_copy.values())


def insert(connection, table, like, rows):
    columns = ", ".join(f'"{name}"' for name in like)
    marks = ", ".join("?" * len(like))
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def fail(row, kind, name):
    for column, value in ((kind, "FAILED"), (name, "Failed")):
        if column in row:
            row[column] = value


def new_id(like, back):
    """An id as the server would have made it then, in the form that it stores: text with or without hyphens, or bytes."""
    known = uuid.UUID(bytes=like) if isinstance(like, bytes) else uuid.UUID(like)
    fresh = uuid.uuid4()
    if known.version == 7:
        # Ids of version 7 begin with their time, 48 bits of milliseconds; what reads by id reads by time.
        milliseconds = (known.int >> 80) - int(back * 1000)
        fresh = uuid.UUID(int=milliseconds << 80 | 7 << 76 | fresh.int & ((1 << 76) - 1))
    if isinstance(like, bytes):
        return fresh.bytes
    return str(fresh) if "-" in like else fresh.hex


def shifted(row, seconds):
    return {name: earlier(value, seconds) if name in INSTANTS else value for name, value in row.items()}


def earlier(value, seconds):
    """The instant so many seconds earlier, in the form it had: microseconds or text."""
    if isinstance(value, int):
        return value - int(seconds * 1_000_000)
    if isinstance(value, str):
        moved = datetime.fromisoformat(value) - timedelta(seconds=seconds)
        return moved.isoformat(sep=value[10], timespec="microseconds")
    return value

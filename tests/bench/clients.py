#!/usr/bin/env python3
"""Lets the genuine 3.8 client work against our server and its own, in turns: part of `make bench`.

The same flows run with the same client process against either server; then events are sent over
the client's socket, and 200 idle workers ask as often as genuine ones do while somebody reads what
a dashboard reads. Prints the tables, and writes them between their marks in BENCHMARKS.md with
`--write`. CPU is the server's whole process tree; wall times include the client, which runs on the
same cores.
"""

import argparse
import contextlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import seed
import server
from compare import drive, install
from machine import describe
from table import write_part

WORK = server.ROOT / "target" / "bench-clients"
GENUINE = "3.8"

# Told on standard input what to do next, so that the import and the first connection cost nothing here.
CLIENT = """
import asyncio, sys, time
from prefect import flow, task
from prefect.futures import wait

@task
def noop(n): return n

@task
async def anoop(n): return n

@flow
def sequential(tasks):
    for n in range(tasks): noop(n)

@flow
def submitted(tasks):
    wait(noop.map(range(tasks)))

@flow
async def small(n):
    for step in range(5): await anoop(step)

async def crowd(flows):
    await asyncio.gather(*(small(n) for n in range(flows)))

steps = {
    "sequential": sequential,
    "submitted": submitted,
    "crowd": lambda flows: asyncio.run(crowd(flows)),
}
for step in steps.values(): step(2)
print("ready", flush=True)
for line in sys.stdin:
    name, number = line.split()
    begun = time.perf_counter()
    steps[name](int(number))
    print(time.perf_counter() - begun, flush=True)
"""

# Sends events as the client's own emitter does: one a frame, a ping now and again, and its pong is the receipt.
EVENTS = """
import json, sys, time, uuid
from datetime import datetime, timezone
from websockets.sync.client import connect

url, number = sys.argv[1], int(sys.argv[2])
run = f"prefect.flow-run.{uuid.uuid4()}"
def event(n):
    return json.dumps({
        "id": str(uuid.uuid4()), "occurred": datetime.now(timezone.utc).isoformat(), "event": "bench.measured",
        "resource": {"prefect.resource.id": f"bench.thing.{n % 100}", "prefect.resource.name": f"thing {n % 100}"},
        "related": [{"prefect.resource.id": run, "prefect.resource.role": "flow-run"}],
        "payload": {"number": n, "text": "as long as usual" * 4},
    })
frames = [event(n) for n in range(number)]
with connect(url, subprotocols=["prefect"]) as socket:
    socket.send(json.dumps({"type": "auth", "token": None}))
    assert json.loads(socket.recv())["type"] == "auth_success"
    begun = time.perf_counter()
    for n, frame in enumerate(frames):
        socket.send(frame)
        if n % 700 == 699: socket.ping().wait()
    socket.ping().wait()
    print(time.perf_counter() - begun, flush=True)
"""

# What a dashboard's first page asks for.
READS = (
    ("POST", "/flow_runs/filter", {"limit": 50, "sort": "EXPECTED_START_TIME_DESC"}),
    ("POST", "/flow_runs/count", {"flow_runs": {"state": {"type": {"any_": ["FAILED", "CRASHED"]}}}}),
    ("POST", "/flow_runs/count", {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}),
    ("POST", "/flow_runs/filter", {"limit": 200, "sort": "START_TIME_DESC"}),
    ("POST", "/task_runs/count", {}),
    ("POST", "/deployments/filter", {"limit": 50}),
    ("POST", "/work_pools/filter", {"limit": 50}),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", help=f"the environment of {GENUINE}")
    parser.add_argument("--rounds", type=int, default=2, help="the median counts")
    parser.add_argument("--tasks", type=int, default=250)
    parser.add_argument("--flows", type=int, default=20)
    parser.add_argument("--events", type=int, default=20_000, help="sent to our server")
    parser.add_argument("--genuine-events", type=int, default=2_000, help="sent to the genuine one")
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30, help="of watching the workers")
    parser.add_argument("--runs", type=int, default=20_000, help="in the database that is read beside them")
    parser.add_argument("--write", action="store_true", help="write the tables into BENCHMARKS.md")
    args = parser.parse_args()
    venv = Path(args.venv or install(GENUINE))
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    makers = {
        "ours": server.ours,
        GENUINE: lambda home: server.genuine(GENUINE, str(venv), home),
    }
    about = describe(makers)
    measured = {name: {} for name in makers}
    for number in range(args.rounds):
        for name, make in makers.items():
            say(f"round {number + 1} of {args.rounds}: {name}")
            one_round(measured[name], make(WORK / f"{name}-{number}"), venv, name, args)
    workers = watch_workers(makers["ours"](WORK / "workers"), args)
    (WORK / "results.json").write_text(json.dumps({"machine": about, "measured": measured, "workers": workers}, indent=1))
    text = page(measured, workers, about, args)
    print(text)
    if args.write:
        write_part(server.ROOT / "BENCHMARKS.md", "clients", text)


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def started(target):
    target.start()
    try:
        yield target
    finally:
        target.stop()
        shutil.rmtree(target.home, ignore_errors=True)


def one_round(measured, target, venv, name, args):
    with started(target):
        home = WORK / "client"
        home.mkdir(exist_ok=True)
        env = {
            **os.environ,
            "PREFECT_API_URL": target.url + "/api",
            "PREFECT_HOME": str(home),
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
        }
        script = home / "client.py"
        script.write_text(CLIENT)
        client = subprocess.Popen(
            [f"{venv}/bin/python", script], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert client.stdout.readline().strip() == "ready", "the client did not start"
            steps = (("sequential", args.tasks), ("submitted", args.tasks), ("crowd", args.flows))
            for step, size in steps:
                before = rested(target)
                print(step, size, file=client.stdin, flush=True)
                seconds = float(client.stdout.readline())
                keep(measured, step, seconds, rested(target) - before)
        finally:
            client.stdin.close()
            client.wait(60)
        number = args.events if name == "ours" else args.genuine_events
        before = rested(target)
        url = target.url.replace("http", "ws") + "/api/events/in"
        output = subprocess.run(
            [f"{venv}/bin/python", "-c", EVENTS, url, str(number)], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        begun = time.monotonic()
        # The genuine server answers before it has stored anything.
        while (stored := count_events(target)) < number and time.monotonic() - begun < 120:
            time.sleep(0.05)
        seconds = float(output) + time.monotonic() - begun
        keep(measured, "events", seconds, rested(target) - before, stored)


def keep(measured, step, seconds, cpu_ms, units=1):
    measured.setdefault(step, []).append({"seconds": seconds, "cpu_ms": cpu_ms, "units": units})


def rested(target):
    """CPU milliseconds once the server has done what it puts off; what it does at idle stays small beside that."""
    last = target.usage()["cpu_ms"]
    for _ in range(40):
        time.sleep(0.25)
        now = target.usage()["cpu_ms"]
        if now - last <= 10:
            return now
        last = now
    return last


def ask(connection, method, path, body=None):
    """Asks over a kept connection; returns the answer and how many milliseconds it took."""
    begun = time.perf_counter()
    connection.request(
        method,
        "/api" + path,
        None if body is None else json.dumps(body),
        {"Content-Type": "application/json", "X-PREFECT-API-VERSION": "0.8.4"},
    )
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 400:
        raise server.Failed(f"{method} {path}: {answer.status} {text[:200]!r}")
    return json.loads(text) if text else None, (time.perf_counter() - begun) * 1000


def connect(target):
    return http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)


def count_events(target):
    # By default the last half year, up to now; a longer span would be refused.
    day = {"event": {"name": ["bench.measured"]}}
    connection = connect(target)
    answer, _ = ask(connection, "POST", "/events/count-by/event", {"filter": day})
    connection.close()
    return sum(row["count"] for row in answer)


def watch_workers(target, args):
    """Two hundred workers that have nothing to do, and somebody who looks at a dashboard."""
    say(f"{args.workers} workers that wait, beside a reader: ours")
    target.start()
    try:
        args_of_drive = argparse.Namespace(seconds=0.01)
        drive(target, args_of_drive, "lifecycle", "1", seconds=0.01, generation="2.20")
    finally:
        target.stop()
    seed.seed(target.database, args.runs)
    with started(target):
        connection = connect(target)
        ask(connection, "POST", "/work_pools/", {"name": "waiting", "type": "process"})
        rested(target)
        stop, failures = threading.Event(), []
        threads = [threading.Thread(target=workers, args=(target, args, part, 4, stop, failures)) for part in range(4)]
        before, begun = target.usage()["cpu_ms"], time.monotonic()
        for thread in threads:
            thread.start()
        time.sleep(args.seconds)
        alone = (target.usage()["cpu_ms"] - before) / (time.monotonic() - begun) / 10
        latencies = []
        until = time.monotonic() + args.seconds
        while time.monotonic() < until:
            latencies += [ask(connection, *read)[1] for read in READS]
            time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join()
        if failures:
            raise server.Failed(f"a worker was refused: {failures[0]}")
        return {
            "percent": alone,
            "median_ms": statistics.median(latencies),
            "p99_ms": statistics.quantiles(latencies, n=100)[98],
            "reads": len(latencies),
        }


def workers(target, args, part, parts, stop, failures):
    """Asks for its share of the workers: due runs every 10 seconds, the pool and a heartbeat every 30, as genuine ones do."""
    numbers = range(part, args.workers, parts)
    due = [(time.monotonic() + 10 * n / args.workers, n, 0) for n in numbers]
    connection = connect(target)
    try:
        while not stop.is_set():
            at, n, turn = min(due)
            due.remove((at, n, turn))
            if stop.wait(max(0.0, at - time.monotonic())):
                break
            if turn % 3 == 0:
                ask(connection, "GET", "/work_pools/waiting")
                beat = {"name": f"worker {n}", "heartbeat_interval_seconds": 30}
                ask(connection, "POST", "/work_pools/waiting/workers/heartbeat", beat)
            ask(connection, "POST", "/work_pools/waiting/get_scheduled_flow_runs", {"work_queue_names": [], "limit": 10})
            due.append((at + 10, n, turn + 1))
    except (server.Failed, OSError) as failure:
        failures.append(failure)
    finally:
        connection.close()


def median(rows, figure):
    return statistics.median(row[figure] / row["units"] for row in rows)


def page(measured, workers, about, args):
    ours, theirs = measured["ours"], measured[GENUINE]
    titles = {
        "sequential": f"a flow of {args.tasks} tasks, one after the other",
        "submitted": f"a flow of {args.tasks} tasks, submitted",
        "crowd": f"{args.flows} flows at once, 5 tasks each",
    }
    lines = [
        f"Measured with the genuine {about['versions'][GENUINE]} client; median of {args.rounds} rounds; ours at "
        f"`{about['commit']}`; load average before the run {about['load_before']}.",
        "",
        f"| | ours, s | {GENUINE}, s | ours, server CPU ms | {GENUINE}, server CPU ms | CPU ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    kept = []
    for step, title in titles.items():
        seconds = [median(of[step], "seconds") for of in (ours, theirs)]
        cpu = [max(median(of[step], "cpu_ms"), 1) for of in (ours, theirs)]
        ratio = cpu[1] / cpu[0]
        lines.append(f"| {title} | {seconds[0]:.2f} | {seconds[1]:.2f} | {cpu[0]:,.0f} | {cpu[1]:,.0f} | {ratio:.0f}x |")
        kept.append((f"{title}: no slower end to end", f"{seconds[0] / seconds[1]:.2f} of the time", seconds[0] <= seconds[1]))
        kept.append((f"{title}: server CPU at least 20x less", f"{ratio:.0f}x", ratio >= 20))
    rate = [1 / median(of["events"], "seconds") for of in (ours, theirs)]
    each = [median(of["events"], "cpu_ms") for of in (ours, theirs)]
    lines += [
        "",
        f"| events over one socket | ours | {GENUINE} | ratio |",
        "| --- | ---: | ---: | ---: |",
        f"| stored per second | {rate[0]:,.0f} | {rate[1]:,.0f} | {rate[0] / rate[1]:.0f}x |",
        f"| server CPU ms each | {each[0]:.4f} | {each[1]:.3f} | {each[1] / each[0]:.0f}x |",
    ]
    kept.append(("events stored per second, at least 30x", f"{rate[0] / rate[1]:.0f}x", rate[0] >= 30 * rate[1]))
    kept.append((f"{args.workers} waiting workers: under 5 % of a core", f"{workers['percent']:.1f} %", workers["percent"] < 5))
    reads = f"{workers['median_ms']:.1f} ms (p99 {workers['p99_ms']:.0f} ms of {workers['reads']:,})"
    kept.append((f"what a dashboard reads beside them, {args.runs:,} runs: under 10 ms", reads, workers["median_ms"] < 10))
    lines += ["", "| target | measured | kept |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {value} | {'yes' if good else '**no**'} |" for name, value, good in kept]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

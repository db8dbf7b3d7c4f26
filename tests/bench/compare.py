#!/usr/bin/env python3
"""Compares prefect-rs with the genuine servers, alternating in one run: `make bench`.

Each server is driven by `prefect-rs bench` with the same load; the servers take turns within a
round, so that whatever else the machine does falls on all of them, and a figure is the median of
the rounds. CPU per unit is the figure to trust where cores are shared. Writes the figures into
BENCHMARKS.md between its two marks, and all that was measured to target/bench/results.json.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import machine
import seed
import server
import table

WORK = server.ROOT / "target" / "bench"
PAGE = server.ROOT / "BENCHMARKS.md"
GENUINE = ("2.0b3", "2.20", "3.8")
WRITES = "create,lifecycle,task-run,log,poll"
LISTS = "filter,history"


def main():
    args = arguments()
    begun = time.monotonic()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    makers = {"ours": server.ours}
    for version in args.genuine:
        venv = Path(args.venvs) / version if args.venvs else install(version)
        makers[version] = lambda home, version=version, venv=venv: server.genuine(version, venv, home)
    servers = {
        name: {"start": [], "idle": None, "load": [], "crowd": None, "sized": {}, "sustained": None, "errors": []}
        for name in makers
    }
    results = {
        "args": vars(args),
        "machine": machine.describe(makers),
        "binary_bytes": server.BINARY.stat().st_size,
        "servers": servers,
        "ceiling": [],
    }
    try:
        measure(makers, results, args)
    finally:
        results["seconds"] = time.monotonic() - begun
        (WORK / "results.json").write_text(json.dumps(results, indent=1))
    text = table.markdown(results)
    print(text)
    table.write_part(PAGE, "figures", text)
    say(f"done in {results['seconds'] / 60:.0f} minutes; the figures are in {PAGE.name}")


def measure(makers, results, args):
    servers = results["servers"]
    if args.idle:
        say(f"standing still for {args.idle:.0f} seconds, all at once")
        idle(makers, servers, args)
    program = built_ceiling()
    for number in range(args.rounds):
        for name, make in makers.items():
            say(f"round {number + 1} of {args.rounds}: {name}")
            attempt(servers[name], fresh, make, name, number, servers[name], args)
        say(f"round {number + 1} of {args.rounds}: the ceiling")
        results["ceiling"].append(ceiling(program, number, args))
    for rows in args.rows:
        for name, make in makers.items():
            # How a larger database changes our own answers is the question; theirs take long.
            if name == "ours" or rows == args.rows[0]:
                say(f"{rows} runs: {name}")
                attempt(servers[name], sized, make, name, rows, servers[name], args)
    if args.sustained:
        say(f"64 clients for {args.sustained:.0f} seconds, beside readers and another writer: ours")
        attempt(servers["ours"], sustained, makers["ours"], servers["ours"], args)


def attempt(result, step, *rest):
    """Goes on without a server that fails a step; the table says so."""
    try:
        step(*rest)
    except (server.Failed, OSError, sqlite3.Error, TypeError) as error:
        say(f"failed: {error}")
        result["errors"].append(f"{step.__name__}: {error}")


def arguments():
    quick = os.environ.get("QUICK", "") not in ("", "0")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genuine", type=words, default=list(GENUINE), help="versions beside ours")
    parser.add_argument("--venvs", default=os.environ.get("PREFECT_RS_TEST_VENVS"), help="folder of their environments")
    parser.add_argument("--rounds", type=int, default=1 if quick else 2)
    parser.add_argument("--seconds", type=float, default=1 if quick else 1.5, help="of each measurement")
    parser.add_argument("--clients", default="1,8,32,64", help="of our server")
    parser.add_argument("--genuine-clients", default="1,8", help="of the genuine servers")
    parser.add_argument("--rows", type=numbers, default=[20_000, 200_000], help="sizes of the seeded databases")
    parser.add_argument("--idle", type=float, default=20 if quick else 60, help="seconds of watching idle servers")
    parser.add_argument("--sustained", type=float, default=15 if quick else 60, help="seconds of the long load")
    # Every server here knows its requests in some form, and its answers are no smaller than those to older clients.
    parser.add_argument("--generation", default="2.20", help="clients that ours is driven as")
    args = parser.parse_args()
    args.quick = quick
    return args


def words(text):
    return [word for word in text.split(",") if word]


def numbers(text):
    return [int(word) for word in words(text)]


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def install(version):
    script = server.ROOT / "tests" / "support" / "venv.sh"
    done = subprocess.run([script, version], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def drive(target, args, units, clients, seconds=None, readers=0, generation="", warm_up=0.4):
    """Runs the load generator; refusals are part of its report, not a failure of ours."""
    command = [server.BINARY, "bench", target.url, "--pid", str(target.process.pid), "-o", "json"]
    command += ["--unit", units, "--clients", clients, "--readers", str(readers)]
    command += ["--seconds", str(args.seconds if seconds is None else seconds)]
    command += ["--warm-up", str(warm_up)]
    if generation:
        command += ["--generation", generation]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if not done.stdout:
        raise server.Failed(f"the load generator failed: {done.stderr.strip()}")
    return json.loads(done.stdout)["measurements"]


def generation(name, args):
    return args.generation if name == "ours" else name


def idle(makers, servers, args):
    """All servers at once, with empty homes and nothing to do."""
    started = {}
    for name, make in makers.items():
        target = make(WORK / f"{name}-idle")
        try:
            target.start()
            started[name] = target
        except server.Failed as error:
            servers[name]["errors"].append(f"idle: {error}")
    try:
        # What follows a start (migrations, first service loops) is over after a few seconds.
        time.sleep(10)
        before = {name: (target.usage(), target.database_writes()) for name, target in started.items()}
        time.sleep(args.idle)
        for name, target in started.items():
            (was, files), now = before[name], target.usage()
            servers[name]["idle"] = {
                "rss_mib": now["rss_mib"],
                "cpu_percent": (now["cpu_ms"] - was["cpu_ms"]) / args.idle / 10,
                "bytes_per_minute": (now["written_bytes"] - was["written_bytes"]) * 60 / args.idle,
                "files_written": files != target.database_writes(),
            }
    finally:
        for target in started.values():
            target.stop()


def fresh(make, name, number, result, args):
    """An empty home: the cold start, and every unit that writes."""
    target = make(WORK / f"{name}-{number}")
    seconds, cpu = target.start()
    try:
        result["start"].append({"seconds": seconds, "cpu_ms": cpu})
        clients = args.clients if name == "ours" else args.genuine_clients
        result["load"].append(drive(target, args, WRITES, clients, generation=generation(name, args)))
        # Where theirs starve connections; once, since it takes long.
        if name != "ours" and result["crowd"] is None:
            result["crowd"] = drive(target, args, "create", "64", generation=generation(name, args), warm_up=0)
    finally:
        target.stop()
        shutil.rmtree(target.home, ignore_errors=True)


def sized(make, name, rows, result, args):
    """Lists and histories of a database with so many runs."""
    target = make(WORK / f"{name}-{rows}")
    target.start()
    try:
        # One run of the server's own making, to be copied.
        drive(target, args, "lifecycle", "1", seconds=0.01, generation=generation(name, args), warm_up=0)
    finally:
        target.stop()
    seed.seed(target.database, rows)
    target.start()
    try:
        result["sized"][rows] = drive(target, args, LISTS, "1,8", generation=generation(name, args))
    finally:
        target.stop()
        shutil.rmtree(target.home, ignore_errors=True)


def sustained(make, result, args):
    """64 clients and 4 readers, with a second process writing into the same file."""
    target = make(WORK / "ours-sustained")
    target.start()
    over = threading.Event()
    beside = {"writes": 0, "locked": 0}
    writer = threading.Thread(target=write_beside, args=(target.database, over, beside))
    writer.start()
    try:
        measured = drive(target, args, "lifecycle", "64", args.sustained, 4, args.generation)
    finally:
        over.set()
        writer.join()
        target.stop()
    result["sustained"] = {"measured": measured, "beside": beside}


def write_beside(database, over, beside):
    """Takes the file's write lock twenty times a second, for some milliseconds each time."""
    connection = sqlite3.connect(database, timeout=30, isolation_level=None)
    while not over.wait(0.05):
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE flow SET updated = updated")
            time.sleep(0.003)
            connection.execute("COMMIT")
            beside["writes"] += 1
        except sqlite3.OperationalError:
            beside["locked"] += 1
    connection.close()


def ceiling(program, number, args):
    """The least server one could write, under the load of a run's life."""
    figures = {}
    for mode in ("echo", "group", "single"):
        home = WORK / f"ceiling-{mode}-{number}"
        target = server.Server([program, mode, "{port}", str(home / "ceiling.db")], home)
        target.start()
        try:
            figures[mode] = drive(target, args, "lifecycle,task-run", "1,8,64")
        finally:
            target.stop()
    writer = subprocess.run([program, "writer", str(WORK / f"writer-{number}.db")], check=True, stdout=subprocess.PIPE)
    return figures | {"writer": json.loads(writer.stdout)}


def built_ceiling():
    say("building the ceiling")
    command = ["cargo", "bench", "--locked", "--bench", "ceiling", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, cwd=server.ROOT, check=True, stdout=subprocess.PIPE)
    programs = [json.loads(line).get("executable") for line in built.stdout.splitlines()]
    return next(program for program in programs if program and "ceiling" in Path(program).name)


if __name__ == "__main__":
    main()

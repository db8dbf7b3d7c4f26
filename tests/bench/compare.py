#!/usr/bin/env python3
"""Compares prefect-rs with the genuine servers, alternating in one run: `make bench`.

Each server is driven by `prefect-rs bench` with the same load; the servers take turns within a
round, so that whatever else the machine does falls on all of them, and a figure is the median of
the rounds. CPU per unit is the figure to trust where cores are shared. Prints Markdown; the raw
figures go to target/bench/results.json.
"""

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import seed
import server
import table

WORK = server.ROOT / "target" / "bench"
GENUINE = ("2.0b3", "2.20", "3.8")
WRITES = "create,lifecycle,task-run,log,poll"


def main():
    args = arguments()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    venvs = dict(pair.split("=", 1) for pair in args.venv)
    makers = {"ours": server.ours}
    for version in args.genuine:
        venv = venvs.get(version) or install(version)
        makers[version] = lambda home, version=version, venv=venv: server.genuine(version, venv, home)
    results = {"args": vars(args), "binary_bytes": server.BINARY.stat().st_size, "servers": {}}
    for name in makers:
        results["servers"][name] = {"start": [], "idle": None, "load": [], "sized": {}, "sustained": None}
    try:
        for number in range(args.rounds):
            for name, make in makers.items():
                say(f"round {number + 1}: {name}")
                fresh(make, name, number, results["servers"][name], args)
            results.setdefault("ceiling", []).append(ceiling(number, args))
        for rows in args.rows:
            for name, make in makers.items():
                # How a larger database changes our own answers is the question; theirs take long.
                if name != "ours" and rows != args.rows[0] and not args.sized_genuine:
                    continue
                say(f"{rows} runs: {name}")
                results["servers"][name]["sized"][rows] = sized(make, name, rows, args)
        for name, make in makers.items():
            if args.sustained and (name == "ours" or args.sustained_genuine):
                say(f"sustained: {name}")
                results["servers"][name]["sustained"] = sustained(make, name, args)
    finally:
        (WORK / "results.json").write_text(json.dumps(results, indent=1))
    print(table.markdown(results))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genuine", type=words, default=list(GENUINE), help="versions beside ours")
    parser.add_argument("--venv", action="append", default=[], help="VERSION=DIR, instead of .venvs/VERSION")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--clients", default="1,8,32,64")
    parser.add_argument("--rows", type=numbers, default=[20_000, 200_000], help="sizes of the seeded databases")
    parser.add_argument("--idle", type=float, default=60, help="seconds of watching an idle server")
    parser.add_argument("--sustained", type=float, default=60, help="seconds of lifecycles by 64 clients")
    parser.add_argument("--sustained-genuine", action="store_true", help="the same for the genuine servers")
    parser.add_argument("--sized-genuine", action="store_true", help="all sizes for the genuine servers too")
    # The generation that our server accepts every request of.
    parser.add_argument("--generation", default="2.0b3", help="clients that ours is driven as")
    return parser.parse_args()


def words(text):
    return [word for word in text.split(",") if word]


def numbers(text):
    return [int(word) for word in words(text)]


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def install(version):
    script = server.ROOT / "tests" / "support" / "venv.sh"
    return subprocess.run([script, version], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def drive(target, args, units, clients, seconds=None, readers=0, generation=""):
    """Runs the load generator; refusals are part of its report, not a failure of ours."""
    command = [server.BINARY, "bench", target.url, "--pid", str(target.process.pid), "-o", "json"]
    command += ["--unit", units, "--clients", clients, "--readers", str(readers)]
    command += ["--seconds", str(args.seconds if seconds is None else seconds)]
    command += ["--warm-up", "0" if seconds == 0 else "0.5"]
    if generation:
        command += ["--generation", generation]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if not done.stdout:
        raise SystemExit(f"the load generator failed: {done.stderr}")
    return json.loads(done.stdout)["measurements"]


def generation(name, args):
    return args.generation if name == "ours" else name


def fresh(make, name, number, result, args):
    """An empty home: the cold start, idleness (first round), and every unit that writes."""
    target = make(WORK / f"{name}-{number}")
    seconds, cpu = target.start()
    try:
        if result["idle"] is None and args.idle:
            result["idle"] = idle(target, args.idle)
        result["start"].append({"seconds": seconds, "cpu_ms": cpu})
        result["load"].append(drive(target, args, WRITES, args.clients, generation=generation(name, args)))
    finally:
        target.stop()


def idle(target, seconds):
    # What follows a start (migrations, first service loops) is over after a few seconds.
    time.sleep(5)
    before = target.usage()
    time.sleep(seconds)
    after = target.usage()
    return {
        "rss_mib": after["rss_mib"],
        "cpu_percent": (after["cpu_ms"] - before["cpu_ms"]) / seconds / 10,
        "bytes_per_minute": (after["written_bytes"] - before["written_bytes"]) * 60 / seconds,
        "writes_per_minute": (after["write_calls"] - before["write_calls"]) * 60 / seconds,
    }


def sized(make, name, rows, args):
    """Lists and histories of a database with so many runs."""
    target = make(WORK / f"{name}-{rows}")
    target.start()
    try:
        # One run of the server's own making, to be copied.
        drive(target, args, "lifecycle", "1", seconds=0.01, generation=generation(name, args))
    finally:
        target.stop()
    seed.seed(target.database, rows)
    target.start()
    try:
        return drive(target, args, "filter,history", "1,8", generation=generation(name, args))
    finally:
        target.stop()
        shutil.rmtree(target.home, ignore_errors=True)


def sustained(make, name, args):
    """A minute of 64 clients and 4 readers, with a second process writing into the same file."""
    target = make(WORK / f"{name}-sustained")
    target.start()
    over = threading.Event()
    beside = {"writes": 0, "locked": 0}
    writer = threading.Thread(target=write_beside, args=(target.database, over, beside))
    writer.start()
    try:
        measured = drive(target, args, "lifecycle", "64", args.sustained, 4, generation(name, args))
    finally:
        over.set()
        writer.join()
        target.stop()
    return {"measured": measured, "beside": beside}


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


def ceiling(number, args):
    """The least server one could write, under the load of a run's life."""
    figures = {}
    program = built_ceiling()
    for mode in ("echo", "group", "single"):
        home = WORK / f"ceiling-{mode}-{number}"
        target = server.Server([program, mode, "{port}", str(home / "ceiling.db")], home)
        target.start()
        try:
            figures[mode] = drive(target, args, "create,lifecycle", "1,64")
        finally:
            target.stop()
    writer = subprocess.run([program, "writer", str(WORK / f"writer-{number}.db")], check=True, stdout=subprocess.PIPE)
    return figures | {"writer": json.loads(writer.stdout)}


def built_ceiling():
    command = ["cargo", "bench", "--bench", "ceiling", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, cwd=server.ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    programs = [json.loads(line).get("executable") for line in built.stdout.splitlines()]
    return next(program for program in programs if program and "ceiling" in Path(program).name)


if __name__ == "__main__":
    main()

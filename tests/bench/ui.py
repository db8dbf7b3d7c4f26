#!/usr/bin/env python3
"""Compares the dashboards' first pages in one run: `make bench-ui`.

Ours and each genuine server whose package carries its dashboard get a database of the same number
of copied runs; Debian's Chromium loads the first page with an empty cache, one server at a time.
Prints a table, and writes it between its marks in BENCHMARKS.md with `--write`. Bytes and requests
are exact; times and CPU share the machine with others.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import seed
import server
from compare import drive, install
from machine import describe
from table import write_part

WORK = server.ROOT / "target" / "bench-ui"
GENUINE = ("2.0b3", "2.20", "3.8")
UI = server.ROOT / "ui-static"
COLUMNS = (
    ("script, kB", lambda m: f"{m['script_bytes'] / 1000:.0f}"),
    ("script and styles, kB", lambda m: f"{(m['script_bytes'] + m['style_bytes']) / 1000:.0f}"),
    ("requests", lambda m: str(m["requests"])),
    ("of the API", lambda m: str(m["api_requests"])),
    ("other hosts asked", lambda m: ", ".join(m["foreign"]) or "none"),
    ("first paint, ms", lambda m: f"{m['fcp_ms'] or 0:.0f}"),
    ("last answer, ms", lambda m: f"{m['settled_ms']:.0f}"),
    ("main thread, ms CPU", lambda m: f"{m['cpu_ms']:.0f}"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genuine", default=",".join(GENUINE), help="versions beside ours")
    parser.add_argument("--venv", action="append", default=[], help="VERSION=DIR, instead of .venvs/VERSION")
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--loads", type=int, default=3, help="of each page; the median counts")
    parser.add_argument("--write", action="store_true", help="write the table into BENCHMARKS.md")
    parser.add_argument("--binary", help="of ours, instead of the release build")
    parser.add_argument("--build", help="what was built, if not the commit that is checked out")
    args = parser.parse_args()
    args.seconds = 1
    if args.binary:
        server.BINARY = Path(args.binary)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    venvs = dict(pair.split("=", 1) for pair in args.venv)
    makers = {"prefect-rs": server.ours}
    for version in filter(None, args.genuine.split(",")):
        venv = Path(venvs.get(version) or install(version))
        if any(venv.glob("lib/python*/site-packages/prefect/*/ui/index.html")):
            makers[version] = lambda home, version=version, venv=venv: server.genuine(version, str(venv), home)
        else:
            print(f"bench: the package of {version} has no dashboard inside", file=sys.stderr)
    about = describe(makers)
    rows = {name: measured(name, make(WORK / name), args) for name, make in makers.items()}
    (WORK / "results.json").write_text(json.dumps({"machine": about, "pages": rows}, indent=1))
    text = table(rows, about, args)
    print(text)
    if args.write:
        write_part(server.ROOT / "BENCHMARKS.md", "dashboards", text)


def table(rows, about, args):
    titles = [title for title, _ in COLUMNS]
    lines = [f"| | {' | '.join(titles)} |", "|---|" + "---:|" * len(titles)]
    for name, row in rows.items():
        label = name if name == "prefect-rs" else f"Prefect {name}"
        lines.append(f"| {label} | {' | '.join(show(row) for _, show in COLUMNS)} |")
    built = args.build or about["commit"]
    said = (
        f"First page on {args.runs:,} runs, cold, median of {args.loads} loads; {about['cores']} cores of "
        f"{about['processor']}, load {about['load_before']} before it began; prefect-rs as of {built}."
    )
    return said + "\n\n" + "\n".join(lines)


def measured(name, target, args):
    print(f"bench: {name}", file=sys.stderr, flush=True)
    # Each generation's page has to be told where its API is, each by another name; the port is
    # another one at each start.
    for setting in ("PREFECT_ORION_UI_API_URL", "PREFECT_UI_API_URL", "PREFECT_SERVER_UI_API_URL"):
        target.env[setting] = "http://127.0.0.1:{port}/api"
    # The page of 2.0b3 knows no setting: it always asks this port.
    if name == "2.0b3":
        target.fixed_port = 4200
    generation = "2.0b3" if name == "prefect-rs" else name
    target.start()
    try:
        # One run of the server's own making, to be copied.
        drive(target, args, "lifecycle", "1", seconds=0.01, generation=generation)
    finally:
        target.stop()
    seed.seed(target.database, args.runs)
    target.start()
    try:
        page = subprocess.run(["node", "tests/measure.mjs", target.url, str(args.loads)], cwd=UI, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(page.stdout)
    finally:
        target.stop()
        shutil.rmtree(target.home, ignore_errors=True)


if __name__ == "__main__":
    main()

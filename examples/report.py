#!/usr/bin/env python3
"""A script in Python that needs no package: its parameters are JSON, its steps are task runs.

prefect-rs run --param directory=. -- examples/report.py
"""

import json
import os
import pathlib
import subprocess

COMMAND = os.environ.get("PREFECT_RS_BIN", "prefect-rs")


def report(*words):
    return subprocess.run([COMMAND, "task-run", *words], check=True, capture_output=True, text=True).stdout.strip()


parameters = json.loads(os.environ.get("PREFECT__PARAMETERS", "{}"))
step = report("start", "measure")
size = sum(path.stat().st_size for path in pathlib.Path(parameters.get("directory", ".")).iterdir() if path.is_file())
report("complete", step, "--message", f"{size} bytes")
print(f"{size} bytes")

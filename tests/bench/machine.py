"""Says on what, and with which versions, the figures were measured."""

import os
import platform
import subprocess
import tempfile
from pathlib import Path

import server


def describe(makers):
    versions = {name: version(make) for name, make in makers.items()}
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "commit": said(["git", "-C", str(server.ROOT), "describe", "--always", "--dirty"]),
        "rustc": said(["rustc", "--version"]),
        "versions": versions,
        "load_before": round(os.getloadavg()[0], 1),
    }


def version(make):
    command = make("/nonexistent").command
    text = said([command[0], "--version"]) if "prefect-rs" not in command[0] else said([command[0], "version"])
    return text.splitlines()[0].strip() if text else "unknown"


def said(command):
    # Even asked for its version, a genuine command makes itself at home.
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {"PREFECT_HOME": home}
        try:
            done = subprocess.run(
                command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
    return done.stdout.strip()


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()

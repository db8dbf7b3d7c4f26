"""Starts and stops the servers that are compared, and reads what their processes use.

A server is a root process and its children (genuine ones run uvicorn below a supervisor), so
every figure is a sum over the tree, and stopping means the whole tree, by process id.
"""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "target" / "release" / "prefect-rs"
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A server, or the load generator, did not do its part."""


class Server:
    """One running server with a home of its own."""

    def __init__(self, command, home, env=None):
        self.command = command
        self.home = Path(home)
        self.env = env or {}
        self.port = None
        self.fixed_port = None
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self):
        """The SQLite file; each generation has a name of its own for it."""
        return max(self.home.glob("*.db"), key=lambda file: file.stat().st_size)

    def start(self, path="/api/admin/version", wait=180):
        """Starts the server; returns seconds and CPU milliseconds to the first answer."""
        # A new one each time: some servers do not take a port that was in use a moment ago.
        self.port = self.fixed_port or free_port()
        self.home.mkdir(parents=True, exist_ok=True)
        kept = ("PATH", "HOME", "LANG", "TMPDIR")
        env = {name: os.environ[name] for name in kept if name in os.environ}
        env |= {
            "PREFECT_HOME": str(self.home),
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        } | self.env
        log = open(self.home / "server.log", "ab")
        begun = time.monotonic()
        command = [part.replace("{port}", str(self.port)) for part in self.command]
        env = {name: value.replace("{port}", str(self.port)) for name, value in env.items()}
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        while True:
            # A fast server must not be charged for a slow clock of ours, nor a slow one for our asking.
            elapsed = time.monotonic() - begun
            try:
                urllib.request.urlopen(self.url + path, timeout=10).read()
                return time.monotonic() - begun, self.usage()["cpu_ms"]
            except OSError:
                time.sleep(0.001 if elapsed < 1 else 0.05)
            if self.process.poll() is not None or elapsed > wait:
                self.stop()
                raise Failed(f"{Path(command[0]).name} did not start; see target/bench/{self.home.name}/server.log")

    def stop(self):
        pids = tree(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def database_writes(self):
        """When each file of the database was last written."""
        return {file.name: file.stat().st_mtime_ns for file in self.home.glob("*.db*")}

    def usage(self):
        """CPU milliseconds, resident MiB, bytes and calls written, since the start."""
        total = {"cpu_ms": 0.0, "rss_mib": 0.0, "written_bytes": 0, "write_calls": 0}
        for pid in tree(self.process.pid):
            try:
                fields = stat(pid)
                total["cpu_ms"] += sum(map(int, fields[11:15])) * 1000 / TICKS
                status = Path(f"/proc/{pid}/status").read_text()
                resident = [line for line in status.splitlines() if line.startswith("VmRSS:")]
                total["rss_mib"] += int(resident[0].split()[1]) / 1024 if resident else 0
                io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
                total["written_bytes"] += int(io["write_bytes"])
                total["write_calls"] += int(io["syscw"])
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total


def ours(home):
    command = [str(BINARY), "orion", "start", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "WARNING"]
    return Server(command, home)


def genuine(version, venv, home):
    noun = "orion" if version == "2.0b3" else "server"
    command = [f"{venv}/bin/prefect", noun, "start", "--host", "127.0.0.1", "--port", "{port}"]
    # 2.0b3 starts `uvicorn` by name.
    return Server(command, home, {"PATH": f"{venv}/bin:{os.environ['PATH']}"})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stat(pid):
    """The fields of proc(5) `stat` from the state on, since the name may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root):
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(stat(entry.name)[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found

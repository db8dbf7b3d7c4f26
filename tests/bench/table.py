"""Turns the figures of a comparison into Markdown: medians, and ratios of medians."""

import re
from statistics import median


def write_part(page, name, text):
    """Puts a part's figures between its marks of the page, `<!-- name: … -->` and `<!-- end of name -->`."""
    marks = rf"(<!-- {name}: [^>]*-->).*?(<!-- end of {name} -->)"
    new, count = re.subn(marks, lambda found: f"{found[1]}\n\n{text}\n\n{found[2]}", page.read_text(), flags=re.DOTALL)
    if not count:
        raise SystemExit(f"{page} lacks the marks of the {name}; the figures are printed above")
    page.write_text(new)


def markdown(results):
    parts = [
        conditions(results),
        targets(results),
        standing(results),
        load(results),
        crowd(results),
        ceiling(results),
        sizes(results),
        sustained(results),
        errors(results),
    ]
    return "\n\n".join(part for part in parts if part)


def rows(head, body):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in body])


def number(value):
    """Three digits that matter, never scientific."""
    if value is None:
        return "-"
    for digits, bound in ((0, 100), (1, 10), (2, 1), (3, 0.1)):
        if abs(value) >= bound:
            return f"{value:,.{digits}f}"
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"


def middle(values):
    values = [value for value in values if value is not None]
    return median(values) if values else None


def divided(one, other):
    return one / other if one is not None and other else None


def ratio(one, other):
    value = divided(one, other)
    return "-" if value is None else f"{number(value)}x"


def conditions(results):
    machine, args = results["machine"], results["args"]
    versions = machine["versions"]
    genuine = ", ".join(versions[name] or name for name in versions if name != "ours")
    mode = "QUICK=1 make bench" if args["quick"] else "make bench"
    return (
        f"Measured by `{mode}` in {results['seconds'] / 60:.0f} minutes, building aside: {args['rounds']} rounds of "
        f"{number(args['seconds'])} s a figure, ours driven as a {args['generation']} client at `{machine['commit']}`, genuine servers {genuine}.\n"
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}; {machine['rustc']}; load average before the run {machine['load_before']}."
    )


class Figures:
    """Looks figures up: medians over rounds."""

    def __init__(self, results):
        self.servers = results["servers"]
        self.ceiling = results["ceiling"]

    def load(self, name, unit, clients, key="server_cpu_ms"):
        server = self.servers.get(name)
        return figure(server["load"], unit, clients, key) if server else None

    def sized(self, name, rows, unit, clients, key="server_cpu_ms"):
        sized = self.servers[name]["sized"] if name in self.servers else {}
        return figure([sized[rows]], unit, clients, key) if rows in sized else None

    def highest(self, mode, unit, clients):
        return figure([r[mode] for r in self.ceiling], unit, clients, "server_cpu_ms")


def targets(results):
    """Each promise with what was measured, so that none is forgotten when it is missed."""
    f, found = Figures(results), []
    ours = results["servers"]["ours"]

    def promise(text, value, bound, unit="x", least=True):
        if value is None:
            found.append([text, "not measured", ""])
            return
        kept = value >= bound if least else value <= bound
        found.append([text, f"{number(value)} {unit}".replace(" x", "x"), "yes" if kept else "**no**"])

    for unit, title in (("lifecycle", "flow run's life"), ("task-run", "task run's life")):
        for name, least in (("2.20", 150), ("2.0b3", 100)):
            for clients in (1, 8):
                times = divided(f.load(name, unit, clients), f.load("ours", unit, clients))
                promise(f"{title}: CPU at least {least}x less than {name}, {clients} client(s)", times, least)
        for clients in (1, 8, 64):
            times = divided(f.load("ours", unit, clients), f.highest("group", unit, clients))
            promise(f"{title}: within 2x of the ceiling, {clients} client(s)", times, 2, least=False)
    for unit, title in (("log", "log line"), ("poll", "agent's poll")):
        for name in ("2.20", "2.0b3"):
            times = divided(f.load(name, unit, 8), f.load("ours", unit, 8))
            promise(f"{title}: CPU at least 100x less than {name}, 8 clients", times, 100)
    sizes = list(ours["sized"])
    for unit, title in (("filter", "list of 200 runs"), ("history", "history of 20,000 runs")):
        for name in ("2.20", "2.0b3"):
            times = divided(f.sized(name, sizes[0], unit, 8), f.sized("ours", sizes[0], unit, 8)) if sizes else None
            promise(f"{title}: CPU at least 50x less than {name}", times, 50)
        grown = divided(f.sized("ours", sizes[-1], unit, 8), f.sized("ours", sizes[0], unit, 8)) if sizes else None
        promise(f"{title}: a tenfold larger database costs less than 1.3x", grown, 1.3, least=False)
    slow = divided(f.load("ours", "lifecycle", 64, "p99_ms"), f.load("ours", "lifecycle", 64, "p50_ms"))
    promise("p99 under 10x p50 at 64 clients", slow, 10, least=False)
    stays = divided(f.load("ours", "lifecycle", 64, "per_second"), f.load("ours", "lifecycle", 8, "per_second"))
    promise("throughput at 64 clients is no less than at 8", stays, 0.95)
    grows = divided(f.load("ours", "lifecycle", 8, "per_second"), f.load("ours", "lifecycle", 1, "per_second"))
    promise("throughput at 8 clients is more than with one", grows, 1)
    promise("cold start to the first answer, empty home", middle(s["seconds"] * 1000 for s in ours["start"]), 100, "ms", False)
    idle = ours["idle"] or {}
    promise("idle memory", idle.get("rss_mib"), 30, "MiB", False)
    promise("idle CPU", idle.get("cpu_percent"), 0.1, "%", False)
    promise("written to disk per idle minute", idle.get("bytes_per_minute"), 0, "bytes", False)
    promise("database files written while idle", idle.get("files_written"), 0, "times", False)
    promise("release binary", results["binary_bytes"] / 1e6, 30, "MB", False)
    if ours["sustained"]:
        m, beside = ours["sustained"]["measured"][0], ours["sustained"]["beside"]
        bad = sum(m["failures"].values()) + m["wrong"]
        promise(f"refused or lost in {number(m['seconds'])} s of 64 clients, readers and another writer", bad, 0, "answers", False)
        promise("`database is locked`, theirs and ours", m["database_is_locked"] + beside["locked"], 0, "times", False)
    return "## Targets\n\n" + rows(["target", "measured", "kept"], found)


def standing(results):
    names = list(results["servers"])
    servers = results["servers"].values()
    body = [
        ["cold start to the first answer, ms"]
        + [number(middle(start["seconds"] * 1000 for start in s["start"])) for s in servers],
        ["CPU to start, ms"] + [number(middle(start["cpu_ms"] for start in s["start"])) for s in servers],
    ]
    for title, key, scale in (
        ("idle memory, MiB", "rss_mib", 1),
        ("idle CPU, %", "cpu_percent", 1),
        ("KiB to disk per idle minute", "bytes_per_minute", 1024),
    ):
        body.append([title] + [number(s["idle"][key] / scale) if s["idle"] else "-" for s in servers])
    touched = ["-" if not s["idle"] else "yes" if s["idle"]["files_written"] else "no" for s in servers]
    body.append(["database files written while idle", *touched])
    return "## Standing still\n\n" + rows(["", *names], body)


def figure(rounds, unit, clients, key):
    """The median over rounds of one figure of one unit."""
    return middle(m[key] for measured in rounds for m in measured if (m["unit"], m["clients"]) == (unit, clients))


def kinds(measurements):
    return [(m["unit"], m["clients"]) for m in measurements[0]] if measurements else []


FIGURES = (
    ("Server CPU, ms per unit", "server_cpu_ms", True),
    ("Units per second", "per_second", False),
    ("Latency p50, ms", "p50_ms", True),
    ("Latency p99, ms", "p99_ms", True),
)


def load(results):
    return "## Under load\n\n" + figures({n: s["load"] for n, s in results["servers"].items()})


def crowd(results):
    body = []
    ours = figure(results["servers"]["ours"]["load"], "create", 64, "p99_ms")
    for name, s in results["servers"].items():
        measured = s["load"] if name == "ours" else [s["crowd"]] if s["crowd"] else []
        if measured:
            values = [figure(measured, "create", 64, key) for key in ("p50_ms", "p99_ms", "max_ms", "per_second")]
            refused = failures([m for r in measured for m in r if (m["unit"], m["clients"]) == ("create", 64)])
            body.append([name, *map(number, values), refused, ratio(values[1], ours)])
    head = ["", "p50 ms", "p99 ms", "longest ms", "per second", "refused or failed", "p99 / ours"]
    return "## 64 clients that create flow runs at once\n\n" + rows(head, body)


def sizes(results):
    parts = []
    for runs in results["servers"]["ours"]["sized"]:
        measured = {n: [s["sized"][runs]] for n, s in results["servers"].items() if runs in s["sized"]}
        parts.append(f"## {int(runs):,} flow runs\n\n" + figures(measured))
    return "\n\n".join(parts)


def figures(measured):
    names = list(measured)
    parts = []
    for title, key, less_is_better in FIGURES:
        head = ["unit, clients", *names, *(f"{name} / ours" if less_is_better else f"ours / {name}" for name in names[1:])]
        body = []
        for unit, clients in kinds(measured["ours"]):
            values = [figure(measured[name], unit, clients, key) for name in names]
            mine = values[0]
            ratios = [ratio(v, mine) if less_is_better else ratio(mine, v) for v in values[1:]]
            body.append([f"{unit}, {clients}", *map(number, values), *ratios])
        parts.append(f"### {title}\n\n" + rows(head, body))
    parts.append("### Answers\n\n" + rows(["", *names], answers(measured)))
    return "\n\n".join(parts)


def answers(measured):
    totals = {name: [m for round_ in rounds for m in round_] for name, rounds in measured.items()}
    return [
        ["writes read back as answered"] + [f"{sum(m['verified'] for m in t):,}" for t in totals.values()],
        ["writes not found as answered"] + [f"{sum(m['wrong'] for m in t):,}" for t in totals.values()],
        ["refused or failed"] + [failures(t) for t in totals.values()],
        ["`database is locked`"] + [f"{sum(m['database_is_locked'] for m in t):,}" for t in totals.values()],
    ]


def failures(measurements):
    total = {}
    for m in measurements:
        for name, count in m["failures"].items():
            total[name] = total.get(name, 0) + count
    return ", ".join(f"{count:,} x {name}" for name, count in total.items()) or "0"


def sustained(results):
    found = results["servers"]["ours"]["sustained"]
    if not found:
        return ""
    m, beside = found["measured"][0], found["beside"]
    body = [
        [number(m["seconds"]), f"{m['units']:,}", number(m["per_second"]), number(m["p50_ms"]), number(m["p99_ms"])]
        + [number(m["server_cpu_ms"]), f"{m['reads']:,}", f"{beside['writes']:,}", failures([m])]
        + [f"{m['database_is_locked'] + beside['locked']:,}", f"{m['verified']:,}", f"{m['wrong']:,}"]
    ]
    head = ["seconds", "lifecycles", "per second", "p50 ms", "p99 ms", "CPU ms each", "reads", "writes beside"]
    head += ["failed", "locked", "read back", "not found"]
    return "## Ours: 64 clients, 4 readers, and another process writing to the file\n\n" + rows(head, body)


def ceiling(results):
    rounds = results["ceiling"]
    if not rounds:
        return ""
    modes = {
        "echo": "JSON in, JSON out, nothing stored",
        "group": "and stored, group commit",
        "single": "and stored, a commit each",
    }
    body = []
    for mode, title in modes.items():
        for unit, clients in kinds([rounds[0][mode]]):
            measured = [r[mode] for r in rounds]
            keys = ("server_cpu_ms", "per_second", "p50_ms", "p99_ms")
            values = [figure(measured, unit, clients, key) for key in keys]
            mine = figure(results["servers"]["ours"]["load"], unit, clients, "server_cpu_ms")
            body.append([f"{title}: {unit}, {clients}", *map(number, values), ratio(mine, values[0])])
    head = ["", "CPU ms per unit", "units per second", "p50 ms", "p99 ms", "ours / this, CPU"]
    writer = {key: middle(r["writer"][f"{key}_us_per_transition"] for r in rounds) for key in ("group", "single")}
    bare = (
        f"The writer alone, without HTTP: {number(writer['group'])} us a transition with 64 to a commit, "
        f"{number(writer['single'])} us with one."
    )
    return "## The ceiling\n\n" + rows(head, body) + "\n\n" + bare


def errors(results):
    lines = [f"- {name}: {error}" for name, s in results["servers"].items() for error in s["errors"]]
    return "## What could not be measured\n\n" + "\n".join(lines) if lines else ""

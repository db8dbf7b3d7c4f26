"""Turns the figures of a comparison into Markdown: medians, and ratios of medians."""

from statistics import median


def markdown(results):
    parts = [
        standing(results),
        load(results),
        sizes(results),
        sustained(results),
        ceiling(results),
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


def ratio(theirs, mine):
    return f"{number(theirs / mine)}x" if theirs and mine else "-"


def standing(results):
    names = list(results["servers"])
    servers = results["servers"].values()
    body = [
        ["cold start to the first answer, ms"]
        + [number(middle(start["seconds"] * 1000 for start in s["start"])) for s in servers],
        ["CPU to start, ms"] + [number(middle(start["cpu_ms"] for start in s["start"])) for s in servers],
    ]
    for title, key in (
        ("idle memory, MiB", "rss_mib"),
        ("idle CPU, %", "cpu_percent"),
        ("write calls per idle minute", "writes_per_minute"),
        ("KiB to disk per idle minute", "bytes_per_minute"),
    ):
        scale = 1024 if key.startswith("bytes") else 1
        body.append([title] + [number(s["idle"][key] / scale) if s["idle"] else "-" for s in servers])
    size = f"Release binary: {results['binary_bytes'] / 1e6:.1f} MB."
    return "## Standing still\n\n" + rows(["", *names], body) + "\n\n" + size


def figure(measurements, unit, clients, key):
    """The median over rounds of one figure of one unit."""
    found = [
        m[key] for round_ in measurements for m in round_ if (m["unit"], m["clients"]) == (unit, clients)
    ]
    return middle(found)


def kinds(measurements):
    return [(m["unit"], m["clients"]) for m in measurements[0]]


FIGURES = (
    ("Server CPU, ms per unit", "server_cpu_ms", True),
    ("Units per second", "per_second", False),
    ("Latency p50, ms", "p50_ms", True),
    ("Latency p99, ms", "p99_ms", True),
)


def load(results):
    return "## Under load\n\n" + figures({n: s["load"] for n, s in results["servers"].items()})


def sizes(results):
    parts = []
    first = next(iter(results["servers"].values()))
    for runs in first["sized"]:
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
    body = []
    for name, s in results["servers"].items():
        if s["sustained"]:
            m = s["sustained"]["measured"][0]
            beside = s["sustained"]["beside"]
            body.append(
                [name, number(m["seconds"]), f"{m['units']:,}", number(m["per_second"]), number(m["p50_ms"])]
                + [number(m["p99_ms"]), number(m["server_cpu_ms"]), f"{m['reads']:,}", failures([m])]
                + [f"{m['database_is_locked'] + beside['locked']:,}", f"{m['verified']:,}", f"{m['wrong']:,}"]
            )
    if not body:
        return ""
    head = ["", "seconds", "lifecycles", "per second", "p50 ms", "p99 ms", "CPU ms each", "reads", "failed"]
    head += ["locked", "read back", "not found"]
    return "## 64 clients, 4 readers, and another process writing to the file\n\n" + rows(head, body)


def ceiling(results):
    rounds = results.get("ceiling")
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

"""Asks genuine Prefect for the dates of random schedules.

Run it with a Python that has prefect 2.0b3 or prefect 3 installed:

    python schedules.py SEED COUNT > cases.jsonl

Each line is one case: the schedule's document, the instant asked about, how many dates were
wanted, and genuine Prefect's answer: the first date in milliseconds since 1970, then the
distances between dates. `"invalid": true` stands where it refuses the document.

Where a question has no stable answer in genuine Prefect, the question is put in a form that has:

* A long interval leaps from its anchor in elapsed seconds, so that its wall-clock time depends
  on when one asks. If a clock change lies between anchor and leap, the anchor is moved near the
  dates, the same wall-clock time and a whole number of intervals away (`"moved": true`).
* A long interval that lands in a gap of the clock keeps the displaced time from then on, for
  this one answer. The answer is cut after the first displaced date.
* In a repeated hour, cron names dates before the instant asked about. They are dropped.
* 2.0b3 leaves cron to whichever croniter is installed; a current one differs from that within
  Prefect 3 around clock changes, in `59/15`, and in Sunday as 7 among six fields. Its pendulum
  miscounts minutes in Dublin's repeated hour, its zone database ends in 2020, it cannot read
  rule sets, and it starts rules without DTSTART now. Such cases are not asked of it.
* dateutil fails with an IndexError on some counted weekdays of years. Around clock changes it
  is an hour off in zones whose winter time is the "daylight saving" one (Dublin, Casablanca).
"""

import asyncio
import datetime as dt
import json
import os
import random
import re
import signal
import sys

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

import pendulum
from dateutil import tz as dateutil_tz

try:
    from prefect.server.schemas import schedules

    NEW = True
except ImportError:
    from prefect.orion.schemas import schedules

    NEW = False

ZONES = [
    "UTC", "America/New_York", "Europe/Berlin", "Europe/Dublin", "Australia/Lord_Howe",
    "Pacific/Apia", "Africa/Casablanca", "America/Sao_Paulo", "Asia/Kathmandu",
    "America/St_Johns", "Pacific/Chatham", "Asia/Tehran", "America/Santiago", "Europe/London",
    "Pacific/Kiritimati", "Antarctica/Troll", "Africa/Cairo", "Asia/Gaza",
]
FIRST, LAST = (2011, 2035) if NEW else (2012, 2018)
UTC = dt.timezone.utc
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
# Every change of every zone, so that many questions fall close to one.
CHANGES = {}


def changes(zone):
    if zone not in CHANGES:
        info, found = dateutil_tz.gettz(zone), []
        at = dt.datetime(FIRST, 1, 1, tzinfo=UTC)
        while at.year <= LAST:
            later = at + dt.timedelta(hours=6)
            if at.astimezone(info).utcoffset() != later.astimezone(info).utcoffset():
                found.append(later)
            at = later
        CHANGES[zone] = found
    return CHANGES[zone]


def instant(rng, zone):
    near = changes(zone)
    if near and rng.random() < 0.6:
        base = rng.choice(near) + dt.timedelta(minutes=rng.randint(-3 * 1440, 1440))
    else:
        start = dt.datetime(FIRST, 1, 1, tzinfo=UTC)
        base = start + dt.timedelta(minutes=rng.randrange((LAST - FIRST) * 525600))
    base = base.replace(second=0, microsecond=0)
    if rng.random() < 0.3:
        base += dt.timedelta(seconds=rng.randint(0, 59), milliseconds=rng.choice([0, 0, 1, 500]))
    return base


# Cron.

MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()


def number(rng, low, high, names=None):
    value = rng.randint(low, high)
    if names and rng.random() < 0.3:
        name = names[value - low] if value - low < len(names) else names[0]
        return name.upper() if rng.random() < 0.5 else name
    return str(value)


def entry(rng, low, high, names=None):
    kind = rng.random()
    if kind < 0.45:
        return number(rng, low, high, names)
    if kind < 0.65:
        return "%s-%s" % (number(rng, low, high, names), number(rng, low, high, names))
    if kind < 0.8:
        return "*/%d" % rng.randint(1, max(2, (high - low)))
    if kind < 0.9:
        return "%s-%s/%d" % (number(rng, low, high), number(rng, low, high), rng.randint(1, 7))
    if kind < 0.98:
        return "%s/%d" % (number(rng, low, high, names), rng.randint(1, 9))
    return rng.choice(["*", "", "99", "x", "1-", "-1", "5/0", "L", "?", "1#2", "*/x", "0", "7"])


def field(rng, star, low, high, names=None):
    if rng.random() < star:
        return "*"
    return ",".join(entry(rng, low, high, names) for _ in range(rng.choice([1, 1, 1, 2, 3])))


def weekday_field(rng, star):
    kind = rng.random()
    if kind < 0.08:
        return "%s#%d" % (number(rng, 0, 6, DAYS), rng.randint(1, 5))
    if kind < 0.12:
        return "L%d" % rng.randint(0, 6)
    if kind < 0.14:
        return "%s-%s#%d" % (rng.choice(DAYS), rng.choice(DAYS), rng.randint(1, 5))
    if kind < 0.16:
        return "?"
    return field(rng, star, 0, 7, DAYS)


def day_field(rng, star):
    kind = rng.random()
    if kind < 0.08:
        return "L"
    if kind < 0.10:
        return "%d,l" % rng.randint(1, 31)
    if kind < 0.12:
        return "%d-L" % rng.randint(1, 31)
    if kind < 0.14:
        return "?"
    return field(rng, star, 1, 31)


def cron_text(rng):
    kind = rng.random()
    if kind < 0.04:
        return rng.choice(["@daily", "@hourly", "@weekly", "@monthly", "@yearly", "@annually",
                           "@midnight", "@DAILY", "@never", "* * *", "", "* * * * * * * *"])
    if kind < 0.3:  # the hours in which clocks change
        return "%s %s * * *" % (rng.choice(["0", "30", "*/15", "15,45", "*", "*/20"]),
                                rng.choice(["*", "1", "2", "3", "0", "*/2", "1-3", "23,0"]))
    parts = [field(rng, 0.3, 0, 59), field(rng, 0.3, 0, 23), day_field(rng, 0.55),
             field(rng, 0.7, 1, 12, MONTHS), weekday_field(rng, 0.55)]
    if rng.random() < 0.15:
        parts.append(field(rng, 0.3, 0, 59))
        if rng.random() < 0.3:
            parts.append(rng.choice(["*", "2012-2030", "*/2", "2015,2024", "2013/3"]))
    return rng.choice([" ", " ", "  "]).join(parts)


def cron_case(rng):
    zone = rng.choice(ZONES)
    document = {"cron": cron_text(rng)}
    if zone != "UTC" or rng.random() < 0.5:
        document["timezone"] = zone
    if rng.random() < 0.25:
        document["day_or"] = False
    return document, instant(rng, zone), zone


# Intervals.


def interval_case(rng):
    zone = rng.choice(ZONES)
    day = 86400
    interval = rng.choice([
        60, 300, 900, 3600, 7200, 43200, rng.randint(1, 90000), rng.randint(1, 9999) / 8,
        day, day, day, day, 2 * day, 7 * day, 14 * day, 30 * day, day * rng.randint(1, 400),
        day + 3600, day + 1800, 90000, 2 * day + rng.randint(1, day),
    ])
    document = {"interval": interval}
    if rng.random() < 0.8:
        document["anchor_date"] = instant(rng, zone).isoformat()
    if rng.random() < 0.8:
        document["timezone"] = zone
    else:
        zone = "UTC"
    return document, instant(rng, zone), zone


def wall(zone, at):
    return at.astimezone(pendulum.timezone(zone)).replace(tzinfo=None)


def resolve(zone, naive):
    return pendulum.datetime(naive.year, naive.month, naive.day, naive.hour, naive.minute,
                             naive.second, naive.microsecond, tz=zone)


def interval_dates(document, after, zone, n):
    interval = dt.timedelta(seconds=document["interval"])
    anchor = pendulum.parse(document.get("anchor_date", "2020-01-01T00:00:00"), tz=zone)
    anchor = anchor.in_timezone(zone)
    moved = False
    if interval >= dt.timedelta(days=1):
        leap = after_of(anchor) + interval * int((after - after_of(anchor)) / interval)
        info = dateutil_tz.gettz(zone)
        if {at.astimezone(info).utcoffset() for at in (leap, after)} != {anchor.utcoffset()}:
            moved, anchor = True, near(anchor, interval, after, zone)
    if NEW:
        schedule = schedules.IntervalSchedule(interval=interval, anchor_date=anchor, timezone=zone)
    else:
        schedule = schedules.IntervalSchedule(interval=interval, anchor_date=anchor)
    if interval < dt.timedelta(days=1) and not NEW and zone == "Europe/Dublin" and changes_between(
            zone, after - dt.timedelta(days=1), after + interval * n + dt.timedelta(days=1)):
        raise Skip("pendulum 2 in Dublin")
    dates = ask(schedule, n, after)
    if interval >= dt.timedelta(days=1):
        dates = before_displaced(dates, wall(zone, after_of(anchor)), interval, zone)
    return dates, moved


def after_of(at):
    return dt.datetime.fromtimestamp(0, UTC) + (at - EPOCH)


def near(anchor, interval, after, zone):
    base, here = wall(zone, after_of(anchor)), wall(zone, after)
    steps = (here - base) // interval
    for step in (steps, steps + 1, steps - 1, steps - 2):
        naive = base + interval * step
        moved = resolve(zone, naive)
        if moved.replace(tzinfo=None) == naive and abs(after - after_of(moved)) < interval:
            if step <= steps or after_of(resolve(zone, base + interval * steps)) < after:
                return moved
    raise Skip("no anchor near")


def before_displaced(dates, base, interval, zone):
    kept = []
    for date in dates:
        kept.append(date)
        if (wall(zone, after_of(date)) - base) % interval:
            break
    return kept


# Recurrence rules.


def some(rng, values, most=3):
    return ",".join(str(v) for v in rng.sample(values, rng.randint(1, min(most, len(values)))))


def rule_text(rng, until):
    freq = rng.choice(["YEARLY", "MONTHLY", "WEEKLY", "WEEKLY", "DAILY", "DAILY", "DAILY",
                       "HOURLY", "HOURLY", "MINUTELY", "SECONDLY"])
    parts = ["FREQ=" + freq]
    if rng.random() < 0.4:
        parts.append("INTERVAL=%d" % rng.choice([1, 2, 3, 5, 7, 12, 15, 30]))
    weekdays = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
    signed = lambda most: [v for v in range(-most, most + 1) if v]
    if rng.random() < 0.2:
        parts.append("BYMONTH=" + some(rng, list(range(1, 13)), 6))
    if rng.random() < 0.2:
        parts.append("BYMONTHDAY=" + some(rng, signed(31), 6))
    if rng.random() < 0.3:
        if freq in ("YEARLY", "MONTHLY") and rng.random() < 0.7:
            most = 5 if freq == "MONTHLY" else 10
            days = [rng.choice(["+", "", "-"]) + str(rng.randint(1, most)) + d for d in weekdays]
            parts.append("BYDAY=" + some(rng, days))
        else:
            parts.append("BYDAY=" + some(rng, weekdays, 5))
    if freq == "YEARLY" and rng.random() < 0.2:
        parts.append("BYWEEKNO=" + some(rng, signed(53), 5))
    if freq in ("YEARLY", "DAILY", "WEEKLY") and rng.random() < 0.1:
        parts.append("BYYEARDAY=" + some(rng, signed(366), 30))
    if freq == "YEARLY" and rng.random() < 0.1:
        parts.append("BYEASTER=" + some(rng, list(range(-50, 60))))
    if rng.random() < (0.5 if freq in ("DAILY", "WEEKLY", "MONTHLY") else 0.2):
        parts.append("BYHOUR=" + some(rng, [0, 1, 2, 3, 4, 9, 12, 23]))
    if rng.random() < 0.25:
        parts.append("BYMINUTE=" + some(rng, [0, 15, 30, 45, 59]))
    if rng.random() < 0.1:
        parts.append("BYSECOND=" + some(rng, [0, 15, 30, 59]))
    if rng.random() < 0.15 and len(parts) > 2:
        parts.append("BYSETPOS=" + some(rng, [1, 2, 3, -1, -2, 5]))
    if rng.random() < 0.2:
        parts.append("WKST=" + rng.choice(weekdays))
    if rng.random() < 0.15:
        parts.append("COUNT=%d" % rng.randint(1, 300))
    elif rng.random() < 0.2:
        parts.append("UNTIL=" + until.strftime(rng.choice(["%Y%m%dT%H%M%S", "%Y%m%d"])))
    if rng.random() < 0.03:
        parts.append(rng.choice(["BYFOO=1", "COUNT=x", "BYDAY=XX", "BYMONTH", "UNTIL=never"]))
    rng.shuffle(parts)
    return ";".join(parts)


def rrule_case(rng):
    zone = rng.choice(ZONES)
    after = instant(rng, zone)
    here = after.astimezone(dateutil_tz.gettz(zone)).replace(tzinfo=None, microsecond=0)
    start = here - dt.timedelta(minutes=rng.randint(0, 60 * 24 * 40))
    text = rule_text(rng, here + dt.timedelta(days=rng.randint(-10, 100)))
    fast = any(f in text for f in ("MINUTELY", "SECONDLY"))
    if fast:
        start = here - dt.timedelta(minutes=rng.randint(0, 600))
    elif rng.random() < 0.3:
        start -= dt.timedelta(days=rng.randint(0, 3000) if "HOURLY" not in text else 200)
    if rng.random() < 0.5:
        start = start.replace(second=0)
    stamp = "%Y%m%dT%H%M%S"
    lines = ["RRULE:" + text]
    if not NEW or fast or rng.random() < 0.8:
        lines.insert(0, "DTSTART:" + start.strftime(stamp))
    elif rng.random() < 0.5:
        lines = [text]
    if NEW and rng.random() < 0.25:
        days = [here.replace(hour=rng.choice([2, 9]), minute=0, second=0)
                + dt.timedelta(days=d) for d in range(4)]
        if rng.random() < 0.5:
            lines.append("EXDATE:" + ",".join(d.strftime(stamp) for d in days))
        if rng.random() < 0.4:
            lines.append("RDATE:" + ",".join(d.strftime(stamp) for d in days))
        if rng.random() < 0.3:
            lines.append("EXRULE:FREQ=DAILY;INTERVAL=%d" % rng.randint(2, 3))
        if rng.random() < 0.3:
            lines.append("RRULE:FREQ=DAILY;BYHOUR=%d;INTERVAL=2" % rng.randint(0, 6))
    document = {"rrule": "\n".join(lines)}
    if zone != "UTC":
        document["timezone"] = zone
    return document, after, zone


# Asking.


class Skip(Exception):
    pass


def ask(schedule, n, after):
    def stop(*_):
        raise Skip("too slow")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 3)
    try:
        return asyncio.run(schedule.get_dates(n, pendulum.instance(after).in_timezone("UTC")))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def changes_between(zone, first, last):
    info = dateutil_tz.gettz(zone)
    at, offset = first, first.astimezone(info).utcoffset()
    while at < last:
        at += dt.timedelta(hours=6)
        if at.astimezone(info).utcoffset() != offset:
            return True
    return False


def answer(kind, document, after, zone, n):
    """Returns genuine Prefect's dates, none if it refuses the document, and if it was moved."""
    if kind == "interval":
        return interval_dates(document, after, zone, n)
    if kind == "cron" and not NEW and differs_by_library(document["cron"].lower()):
        raise Skip("another croniter")
    try:
        schedule = (schedules.CronSchedule if kind == "cron" else schedules.RRuleSchedule)(
            **document)
    except ValueError:
        return None, False
    if kind == "rrule":
        try:
            dates = ask(schedule, n, after)
            if zone in ("Europe/Dublin", "Africa/Casablanca") and dates and changes_between(
                    zone, after - dt.timedelta(days=2), after_of(dates[-1]) + dt.timedelta(days=2)):
                raise Skip("dateutil in Dublin")
            return dates, False
        except IndexError:
            raise Skip("dateutil fails")
        except (ValueError, TypeError) as error:
            # 2.0b3 looks at the rule only now, and both find some contradictions only now.
            if not NEW or "UNTIL values" in str(error) or "empty" in str(error):
                raise Skip("refused late")
            raise
    try:
        dates = ask(schedule, n, after)
    except ValueError as error:  # croniter found no date within 50 years
        raise Skip(str(error))
    if not NEW and dates:
        margin = dt.timedelta(days=2)
        if (after_of(dates[-1]) - after).days > 400:
            raise Skip("far away")
        if changes_between(zone, after - margin, after_of(dates[-1]) + margin):
            raise Skip("2.0b3 and a clock change")
    kept = [date for date in dates if after_of(date) >= after]
    if dates and not kept:
        raise Skip("all in the first pass of a repeated hour")
    return kept, False


def differs_by_library(text):
    fields = text.split()
    return re.search(r"(59|23|31|12|dec|6|7|sat|2099)/", text) or (
        len(fields) > 5 and "7" in fields[4])


def milliseconds(date):
    return (after_of(date) - EPOCH) // dt.timedelta(milliseconds=1)


def one(rng):
    kind = rng.choices(["interval", "cron", "rrule"], [3, 5, 5])[0]
    make = {"interval": interval_case, "cron": cron_case, "rrule": rrule_case}[kind]
    document, after, zone = make(rng)
    n = rng.choice([1, 3, 5, 10])
    dates, moved = answer(kind, document, after, zone, n)
    case = {"schedule": document}
    if dates is None:
        return dict(case, invalid=True)
    if not NEW and dates and dates[-1].year > 2019:
        raise Skip("beyond the zones of 2.0b3")
    if (not NEW and kind == "interval" and zone and document["interval"] < 86400 and dates
            and changes_between(zone, after, after_of(dates[-1]) + dt.timedelta(hours=3))):
        # 2.0b3 leaves out an occurrence in a repeated hour; 3 does not, and neither do we.
        raise Skip("2.0b3 and a repeated hour")
    if dates and dates[-1].year > 2036:
        raise Skip("beyond the zones of dateutil")
    # In a repeated hour genuine Prefect sorts by the wall clock.
    stamps = sorted(milliseconds(date) for date in dates)
    steps = [b - a for a, b in zip([0] + stamps, stamps)]
    case.update(after=milliseconds_text(after), n=n, dates=steps)
    if moved:
        case["moved"] = True
    return case


def milliseconds_text(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (at.microsecond // 1000)


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    done, number, skipped = 0, 0, 0
    while done < count:
        rng = random.Random("%d %d" % (seed, number))
        number += 1
        try:
            case = one(rng)
        except Skip:
            skipped += 1
            continue
        print(json.dumps(case, separators=(",", ":")))
        done += 1
    print("%d asked, %d skipped" % (done, skipped), file=sys.stderr)


main()

"""Reads deployment specifications or one flow out of a Python file and prints JSON.

Run by prefect-rs in the interpreter of the user's choice: `python -c <this> specs FILE` or
`python -c <this> flow FILE [NAME]`. Whatever the user's file prints goes to stderr, so that
stdout holds the answer alone. Works with any generation of `prefect`, or with none. Its stdin is
a pipe that ends with whoever asked, and the reader ends with it.

`python -c <this> engine RUN` carries out a run of a flow whose file needs names that are supplied
here, such as one with a specification in it.
"""

import datetime
import decimal
import enum
import json
import math
import os
import pathlib
import runpy
import signal
import sys
import threading
import traceback
import types
import uuid

INTERRUPTED = 130
IS_ENGINE = sys.argv[1] == "engine"
if not IS_ENGINE:
    # The answer's own channel; everything else that writes to stdout lands on stderr.
    ANSWER = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Who asked holds the other end for as long as it lives; the file itself has nothing to read.
    ASKED = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)


def end_with_who_asked():
    """Ends a file that runs on, which nobody waits for any more."""
    while os.read(ASKED, 1):
        pass
    os._exit(1)


def end_when_interrupted():
    """Ends without a word, since whoever pressed Ctrl-C knows why."""
    # Where interrupts are ignored, as behind `nohup`, they still are.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


class Problem(Exception):
    """What the user has to put right."""

    def __init__(self, message, hint=None, line=None):
        super().__init__(message)
        self.answer = {"message": message, "hint": hint, "line": line}


class Record:
    """Keeps the keyword arguments that it was made with."""

    typename = None

    def __init__(self, *args, **kwargs):
        if args:
            raise TypeError(f"{type(self).__name__} takes keyword arguments only")
        self.__dict__.update(kwargs)


SPECS = []
SPEC_FIELDS = {
    "name", "flow", "flow_name", "flow_location", "flow_storage",
    "parameters", "schedule", "tags", "flow_runner", "push_to_server",
}


def remember(spec, frame):
    location = getattr(spec, "flow_location", None)
    if location:
        spec_location = os.path.abspath(str(location))
    else:
        spec_location = None
    SPECS.append((spec, spec_location, frame.f_globals.get("__file__"), frame.f_lineno))


class DeploymentSpec(Record):
    """Stands in where `prefect` has no such class."""

    def __init__(self, *args, **kwargs):
        unknown = sorted(set(kwargs) - SPEC_FIELDS)
        if unknown:
            raise TypeError(
                f"DeploymentSpec has no field {', '.join(unknown)}; "
                f"it has {', '.join(sorted(SPEC_FIELDS))}"
            )
        super().__init__(*args, **kwargs)
        remember(self, sys._getframe(1))


def watch(genuine):
    """Makes a genuine DeploymentSpec report each instance and where it was written."""
    make = genuine.__init__

    def init(self, *args, **kwargs):
        make(self, *args, **kwargs)
        remember(self, sys._getframe(1))

    genuine.__init__ = init


def runner(typename):
    return type(f"{typename.capitalize()}FlowRunner", (Record,), {"typename": typename})


# What the installed `prefect` did not have.
SUPPLIED = set()


def supply(name, **members):
    """Adds members to a module, making the module and its parents where they are absent."""
    module = sys.modules.get(name)
    if module is None:
        try:
            module = __import__(name, fromlist=["*"])
        except ImportError:
            module = types.ModuleType(name)
            module.__path__ = []
            sys.modules[name] = module
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(supply(parent), child, module)
    for key, value in members.items():
        if not hasattr(module, key):
            setattr(module, key, value)
            SUPPLIED.add(key)
    return module


def prepare():
    """Sees to it that specifications can be imported; returns the version of `prefect`."""
    try:
        import prefect

        version = str(prefect.__version__)
    except ModuleNotFoundError as error:
        if error.name != "prefect":
            raise
        version = None
        prefect = types.ModuleType("prefect")
        prefect.__path__ = []

        def absent(name):
            if name.startswith("__"):
                raise AttributeError(name)
            raise Problem(
                f"the interpreter {sys.executable} has no package `prefect`, "
                "which the flow imports",
                "activate the flow's virtual environment, or name its interpreter with --python",
            )

        prefect.__getattr__ = absent
        sys.modules["prefect"] = prefect
    try:
        from prefect.deployments import DeploymentSpec as genuine

        watch(genuine)
    except (ImportError, AttributeError):
        supply("prefect.deployments", DeploymentSpec=DeploymentSpec)
    supply(
        "prefect.flow_runners",
        UniversalFlowRunner=runner("universal"),
        SubprocessFlowRunner=runner("subprocess"),
        DockerFlowRunner=runner("docker"),
        KubernetesFlowRunner=runner("kubernetes"),
        FlowRunnerSettings=type("FlowRunnerSettings", (Record,), {}),
    )
    schedules = {name: type(name, (Record,), {}) for name in ("IntervalSchedule", "CronSchedule", "RRuleSchedule")}
    supply("prefect.orion.schemas.schedules", **schedules)
    return version


class Unfit(Exception):
    """What no deployment can hold, and where in a field it is."""

    def __init__(self, at, message):
        super().__init__(message)
        self.field = ".".join(at)


def plain(value, *at):
    """Turns parameters and configuration into what JSON can say."""
    if isinstance(value, enum.Enum):
        return plain(value.value, *at)
    if isinstance(value, float) and not math.isfinite(value):
        raise Unfit(at, f"`{value}` is no number in JSON")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(plain(key, *at)): plain(item, *at, str(plain(key, *at))) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, *at, str(index)) for index, item in enumerate(value)]
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (pathlib.PurePath, uuid.UUID)):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return plain(float(value), *at)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Unfit(at, "has bytes that are no text in UTF-8") from None
    if not isinstance(value, type):
        for method in ("model_dump", "dict"):
            if callable(getattr(value, method, None)):
                return plain(getattr(value, method)(), *at)
    if isinstance(value, Record):
        return plain(vars(value), *at)
    # Not the value itself, whose words are often no more than where it is in memory.
    raise Unfit(at, f"a value of type {type(value).__name__} cannot be stored with a deployment")


def flow_runner(value, at):
    if value is None:
        return None
    if isinstance(value, dict):
        typename, config = value.get("type"), value.get("config")
    elif getattr(value, "typename", None) is not None:
        typename, config = value.typename, plain(value, at)
        config.pop("typename", None)
    elif hasattr(value, "type"):
        typename, config = value.type, getattr(value, "config", None)
    else:
        raise Unfit((at,), f"is of type {type(value).__name__}, which is no flow runner")
    config = plain(config, at, "config")
    if not isinstance(typename, str):
        raise Unfit((at, "type"), "is not text")
    if not isinstance(config, (dict, type(None))):
        raise Unfit((at, "config"), "is not a mapping")
    return {"type": typename, "config": config}


def describe(flow, version, path):
    function = getattr(flow, "fn", None)
    return {
        "name": flow.name,
        "function": getattr(function, "__qualname__", None),
        "prefect_version": version,
        "description": getattr(flow, "description", None),
        "parameter_openapi_schema": schema(flow),
        "needs_supplied": needs_supplied(path),
    }


def needs_supplied(path):
    """Whether a file speaks of names that the installed `prefect` does not have."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    return any(name in text for name in SUPPLIED)


def schema(flow):
    """The schema of its parameters; none where a default of them has no form on the wire."""
    try:
        return plain(getattr(flow, "parameters", None))
    except Unfit:
        return None


def run(path):
    """Runs the file in its own folder, as 2.0b3 does."""
    folder = os.path.dirname(path)
    back = os.getcwd()
    os.chdir(folder)
    sys.path.insert(0, folder)
    try:
        return runpy.run_path(path)
    finally:
        os.chdir(back)


def flows_in(members):
    flow_type = getattr(sys.modules.get("prefect.flows"), "Flow", ())
    found = {}
    for value in members.values():
        if flow_type and isinstance(value, flow_type):
            found[id(value)] = value
    return list(found.values())


def select(flows, name, path):
    if not flows:
        raise Problem(f"{path} has no flow", "decorate the flow's function with @flow")
    names = sorted(flow.name for flow in flows)
    if name is not None:
        matching = [flow for flow in flows if flow.name == name]
        if not matching:
            raise Problem(
                f"{path} has no flow named `{name}`; it has {', '.join(f'`{n}`' for n in names)}",
                "correct `flow_name`",
            )
        return matching[0]
    if len(flows) > 1:
        raise Problem(
            f"{path} has several flows: {', '.join(f'`{n}`' for n in names)}",
            "say which one with `flow_name`",
        )
    return flows[0]


def read_spec(spec, location, file, line, version):
    flow = getattr(spec, "flow", None)
    name = getattr(spec, "flow_name", None)

    own_name = getattr(spec, "name", None)
    whose = f" of `{own_name}`" if isinstance(own_name, str) else ""

    def problem(field, message, hint):
        raise Problem(f"field `{field}`{whose}: {message}", hint, line)

    def stored(field, form, words, turn=plain):
        """Returns a field as the answer has it."""
        hint = "use numbers, text, lists, mappings, dates, or pydantic objects"
        try:
            value = turn(getattr(spec, field, None), field)
        except Unfit as unfit:
            problem(unfit.field, str(unfit), hint)
        except RecursionError:
            problem(field, "holds itself, or is nested too deeply", hint)
        except Exception as error:
            problem(field, f"cannot be stored: {type(error).__name__}: {error}", hint)
        if value is not None and not isinstance(value, form):
            problem(field, f"is not {words}", f"give {words}")
        return value

    if getattr(spec, "flow_storage", None) is not None:
        kind = type(spec.flow_storage).__name__
        if kind not in ("LocalStorageBlock", "TempStorageBlock"):
            problem(
                "flow_storage",
                f"{kind} is not supported here",
                "leave it out: code goes to $PREFECT_HOME/storage",
            )
    if flow is not None:
        own = getattr(getattr(flow, "fn", None), "__globals__", {}).get("__file__")
        if location is None:
            location = own
        elif own and os.path.realpath(own) != os.path.realpath(location):
            problem(
                "flow_location",
                f"{location!r} is not where the given flow is: {own!r}",
                "give only one of `flow` and `flow_location`",
            )
        if name is not None and name != flow.name:
            problem(
                "flow_name",
                f"{name!r} is not the name of the given flow: {flow.name!r}",
                "leave `flow_name` out",
            )
    if location is None:
        problem("flow_location", "is missing", "give `flow` or `flow_location`")
    tags = stored("tags", list, "a list of text")
    if not all(isinstance(tag, str) for tag in tags or []):
        problem("tags", "is not a list of text", "give a list of text")
    return {
        "file": file,
        "line": line,
        "name": stored("name", str, "text"),
        "flow_name": stored("flow_name", str, "text"),
        "flow_location": os.path.abspath(location),
        "flow": describe(flow, version, location) if flow is not None else None,
        "parameters": stored("parameters", dict, "a mapping of names to values"),
        "tags": tags,
        "schedule": stored("schedule", object, "a schedule"),
        "flow_runner": stored("flow_runner", dict, "a flow runner", flow_runner),
    }


def read_specs(path, version):
    run(path)
    latest = {}
    for spec, location, file, line in SPECS:
        read = read_spec(spec, location, file, line, version)
        key = (read["name"], read["flow_name"] or (read["flow"] or {}).get("name"), read["flow_location"])
        latest[key] = read
    return list(latest.values())


def told(error, path):
    """Says what the user's own file did wrong, by its last line there."""
    if isinstance(error, Problem):
        return error.answer
    if isinstance(error, SyntaxError) and error.filename == path:
        return {"message": f"SyntaxError: {error.msg}", "line": error.lineno, "hint": None}
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    message = "".join(traceback.format_exception_only(type(error), error)).strip()
    return {"message": message, "line": lines[-1] if lines else None, "hint": None}


def main():
    end_when_interrupted()
    threading.Thread(target=end_with_who_asked, daemon=True).start()
    # With `-c`, arguments begin at 1 and the script's folder is not on the path.
    what, path = sys.argv[1], os.path.realpath(sys.argv[2])
    sys.argv = [path]
    answer = {}
    try:
        version = prepare()
        if what == "specs":
            answer["specs"] = read_specs(path, version)
        else:
            name = NAME[0] if NAME else None
            answer["flow"] = describe(select(flows_in(run(path)), name, path), version, path)
    except KeyboardInterrupt:
        # The file has put back how Python takes interrupts.
        os._exit(INTERRUPTED)
    except BaseException as error:
        answer["error"] = told(error, path)
    try:
        json.dump(answer, ANSWER)
        ANSWER.flush()
    except BrokenPipeError:
        # Who asked has ended.
        os._exit(1)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            # The file has closed it, or put something else in its place.
            pass
    # A thread that the user's file left running must not keep the reader waiting.
    os._exit(0)


def engine(run):
    """Does what `python -m prefect.engine RUN` does."""
    prepare()
    sys.argv = ["prefect.engine", run]
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if IS_ENGINE:
    engine(sys.argv[2])
else:
    NAME = sys.argv[3:]
    main()

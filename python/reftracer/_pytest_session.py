"""One pytest session with --reftracer: runs tests again, judges, and tells."""

from __future__ import annotations

import copy
import fnmatch
import os
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
from _pytest.runner import CallInfo, call_and_report

from reftracer import _leak_text
from reftracer._command import ReftracerError
from reftracer._leaks import Agent, Leak, Unrepeatable, Verdict, measure, supported

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_TOOLS = ("_pytest", "pytest", "pluggy", "xdist", "execnet", "pytest_asyncio", "anyio")


@dataclass(frozen=True)
class Settings:
    """What is asked of one test."""

    allowed: int
    types: tuple[str, ...]
    ignore: tuple[str, ...]
    warmup: int
    repeat: int


def _patterns(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    several = [given] if isinstance(given, (str, type)) else list(given)
    return tuple(
        f"{one.__module__}.{one.__qualname__}".removeprefix("builtins.")
        if isinstance(one, type)
        else str(one)
        for one in several
    )


def type_matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a type's full name, or its last part, is one of the patterns."""
    last = name.rpartition(".")[2]
    return any(fnmatch.fnmatchcase(name, p) or fnmatch.fnmatchcase(last, p) for p in patterns)


def place_matches(file: str, function: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern means this place: "cache.py", "app/cache.py" or "cache.py:fill"."""
    for pattern in patterns:
        path, _, name = pattern.partition(":")
        if not path.endswith(".py"):
            continue
        if fnmatch.fnmatchcase(file, path) or fnmatch.fnmatchcase(file, "*/" + path):
            if not name or fnmatch.fnmatchcase(function.rpartition(".")[2], name):
                return True
            if fnmatch.fnmatchcase(function, name):
                return True
    return False


@cache
def _tool_folders() -> tuple[str, ...]:
    folders = []
    for name in _TOOLS:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and os.path.basename(file) == "__init__.py":
            folders.append(os.path.dirname(os.path.abspath(file)) + os.sep)
        elif file:
            folders.append(os.path.abspath(file))
    return tuple(folders)


#: Files of plugins that are installed, whose hooks are around each test. Those of conftest.py are
#: the program's.
_plugin_files: set[str] = set()


def _find_plugins(config: pytest.Config) -> None:
    for plugin, _ in config.pluginmanager.list_plugin_distinfo():
        file = getattr(plugin, "__file__", None)
        if isinstance(file, str) and "-packages" + os.sep in file:
            _plugin_files.add(os.path.abspath(file))


def _is_tool(file: str) -> bool:
    return file.startswith(_tool_folders()) or file in _plugin_files


@cache
def _is_program(file: str) -> bool:
    """Whether a file is neither Python's own nor pytest's."""
    if file.startswith("<"):
        return file.startswith("<doctest ")
    if _is_tool(file):
        return False
    if os.path.basename(os.path.dirname(file)).startswith("pytest_") and "-packages" in file:
        return False
    for name in ("stdlib", "platstdlib"):
        folder = sysconfig.get_paths().get(name, "")
        if folder and file.startswith(folder + os.sep):
            return "-packages" + os.sep in file[len(folder) :]
    return True


def own_stack(leak: Leak) -> None:
    """Cuts the stack off where pytest comes in."""
    inner = []
    for place in leak.stack:
        if place.file.startswith(_PACKAGE):
            break
        inner.append(place)
    while inner and _is_tool(inner[-1].file):
        inner.pop()
    leak.stack = tuple(inner)


def _unrepeatable(report: pytest.TestReport) -> Unrepeatable:
    """The outcome of a run that was not that of the first, in one line."""
    told: Any = report.longrepr
    if isinstance(told, tuple):  # (path, line, reason) of a skip
        text = str(told[2]).removeprefix("Skipped: ")
    else:
        crash = getattr(told, "reprcrash", None)
        text = crash.message if crash is not None else report.longreprtext.strip()
    first = text.splitlines()[0] if text else ""
    return Unrepeatable(f"{report.outcome} in its {report.when}: {first}")


def _renew_instance(item: pytest.Item) -> None:
    """Each run has an instance of its class of its own, as each test has."""
    function: Any = item
    instance, method = getattr(item, "_instance", None), getattr(item, "_obj", None)
    # A plugin may have put a function of its own there.
    if (
        instance is not None
        and isinstance(method, MethodType)
        and method.__self__ is instance
        and method == getattr(instance, getattr(item, "originalname", ""), None)
    ):
        del function._instance
        function._obj = None


def _begin_request(item: pytest.Item) -> None:
    """As _pytest.runner.runtestprotocol does before a test is set up."""
    function: Any = item  # or a doctest, or what a plugin collects
    if hasattr(function, "_request") and not function._request:
        function._initrequest()


def _end_request(item: pytest.Item) -> None:
    function: Any = item
    if hasattr(function, "_request"):
        function._request = False
        function.funcargs = None


def _run(item: pytest.Item, nextitem: pytest.Item) -> list[pytest.TestReport]:
    """Sets up, calls and tears down once, as _pytest.runner.runtestprotocol does, but for what
    nextitem needs too. The reports are not logged."""
    _renew_instance(item)
    _begin_request(item)
    reports = [call_and_report(item, "setup", log=False)]
    if reports[0].passed:
        reports.append(call_and_report(item, "call", log=False))
    reports.append(call_and_report(item, "teardown", log=False, nextitem=nextitem))
    _end_request(item)
    return reports


class _Untold:
    """Takes the place of a hook that is not to be called. Plugins may come and go meanwhile."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def __call__(self, **arguments: Any) -> list[Any]:
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hook, name)


@contextmanager
def _untold(item: pytest.Item) -> Iterator[None]:
    """Subtests are told in the midst of a call; those of a run that is repeated are not."""
    name = "pytest_runtest_logreport"
    relays = {id(relay): relay for relay in (item.config.hook, item.ihook)}.values()
    before = [getattr(relay, name) for relay in relays]
    for relay, hook in zip(relays, before):
        setattr(relay, name, _Untold(hook))
    try:
        yield
    finally:
        for relay, hook in zip(relays, before):
            setattr(relay, name, hook)


def _restart_timer(item: pytest.Item) -> None:
    """pytest-timeout's limit is one of each run."""
    module: Any = sys.modules.get("pytest_timeout")
    if module is None or not item.config.pluginmanager.hasplugin("timeout"):
        return
    try:
        settings = module._get_item_settings(item)
        if settings.timeout and not settings.func_only:
            item.ihook.pytest_timeout_cancel_timer(item=item)
            item.ihook.pytest_timeout_set_timer(item=item, settings=settings)
    except AttributeError:  # another release of it: the limit is one of all runs together
        return


def _attach(report: pytest.TestReport, told: dict[str, Any]) -> None:
    """To the report, with which it goes from worker to controller."""
    report.__dict__["reftracer"] = told


class Session:
    """The plugin of one process: the only one, a worker of pytest-xdist, or its controller."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._root = str(config.rootpath)
        self._worker = getattr(config, "workerinput", {}).get("workerid", "")
        self._agent: Agent | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._refused = supported()
        self._report: str | None = config.getoption("--reftracer-report")
        self._leaking: list[dict[str, Any]] = []
        self._notes: list[dict[str, Any]] = []
        self._measured = 0
        self._seen: set[str] = set()
        self._asked: tuple[pytest.Item, Settings] | None = None  # the test that is to be measured
        self._known: dict[str, Any] | None = None  # what is known of it, if it leaks
        self._names: dict[str, Any] = {}  # of a doctest: its run clears them
        self._calling = False
        self._failed_teardown: BaseException | None = None  # of the first run: not told yet
        self._staying: list[str] = []
        self.trace_path = ""

    # --- tracing

    def _begin(self) -> Agent | None:
        """The agent, with a trace running; None where there can be none."""
        if self._agent is not None or self._refused:
            return self._agent
        try:
            name = f"pytest-{self._worker}.rft" if self._worker else "pytest.rft"
            if self._report:
                folder = Path(self._report).absolute()
                folder.mkdir(parents=True, exist_ok=True)
                self.trace_path = str(folder / name)
                Path(self.trace_path).unlink(missing_ok=True)
            else:
                self._folder = tempfile.TemporaryDirectory(prefix="reftracer-pytest-")
                self.trace_path = os.path.join(self._folder.name, name)
            _find_plugins(self._config)
            tracer = Agent()
            tracer.start(self.trace_path)
            self._agent = tracer
        except (ReftracerError, OSError) as error:
            self._refused = str(error)
        return self._agent

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._agent is not None:
            self._agent.stop()
        if self._folder is not None:
            self._folder.cleanup()
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["reftracer"] = {"refused": self._refused, "trace": self.trace_path}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        told = getattr(node, "workeroutput", {}).get("reftracer", {})
        self._refused = self._refused or told.get("refused", "")

    # --- settings

    def _settings(self, item: pytest.Item) -> Settings:
        config = self._config
        given: dict[str, Any] = {}
        for mark in reversed(list(item.iter_markers("leaks"))):  # the closest one last
            given.update(mark.kwargs)
            if mark.args:
                given["allowed"] = mark.args[0]
        unknown = set(given) - {"allowed", "types", "ignore", "warmup", "repeat"}
        if unknown:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker leaks has no {', '.join(sorted(unknown))}"
            )

        def number(name: str) -> int:
            value = given.get(name)
            if value is None:
                value = config.getoption(f"--reftracer-{name}", None)
            if value is None:
                value = config.getini(f"reftracer_{name}")
            try:
                return max(0, int(value))
            except ValueError:
                raise pytest.UsageError(f"reftracer_{name}: not a number: {value!r}") from None

        repeat = number("repeat")
        return Settings(
            number("allowed"),
            _patterns(given.get("types") or config.getini("reftracer_types")),
            _patterns(given.get("ignore")) + tuple(config.getini("reftracer_ignore")),
            max(1, number("warmup")),
            repeat if repeat == 0 else max(2, repeat),
        )

    def _concerns(self, item: pytest.Item, settings: Settings) -> Callable[[Leak], bool]:
        own: Any = getattr(item, "cls", None)  # pytest makes an instance for each run
        own_type = None if own is None else f"{own.__module__}.{own.__qualname__}"

        def concerns(leak: Leak) -> bool:
            own_stack(leak)
            if settings.types and not type_matches(leak.type, settings.types):
                return False
            if type_matches(leak.type, settings.ignore):
                return False
            places = [place for place in leak.stack if _is_program(place.file)]
            return (bool(places) or leak.type == own_type) and not any(
                place_matches(place.file, place.function, settings.ignore) for place in places
            )

        return concerns

    # --- running

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        tracer = self._begin()
        settings = self._settings(item) if tracer is not None and tracer.tracing else None
        if tracer is None or settings is None or settings.repeat == 0:
            return (yield)
        self._asked = (item, settings)
        self._known = None
        doctest: Any = getattr(item, "dtest", None)
        self._names = dict(getattr(doctest, "globs", None) or {})
        try:
            with tracer.muted():
                return (yield)
        finally:
            self._asked = None
            self._names = {}

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._agent.counted() if self._agent is not None else nullcontext():
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Iterator[Any]:
        with self._counted():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Iterator[Any]:
        self._calling = True
        try:
            with self._counted():
                return (yield)
        finally:
            self._calling = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Iterator[Any]:
        failed, self._failed_teardown = self._failed_teardown, None
        with self._counted():
            result = yield
        if failed is not None:
            raise failed
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Whoever runs the test, pytest itself or a plugin that runs it again when it fails: a
        test that has passed is measured before this is told, and is set up again after it."""
        report = yield
        asked, tracer = self._asked, self._agent
        # Subtests ask for reports while the test is in its call.
        whole = call.when == "call" and not self._calling
        clean = whole and report.passed and not hasattr(report, "wasxfail")
        if clean and tracer is not None and asked is not None and asked[0] is item:
            if self._known is None:
                self._asked = None  # the reports of its further runs are not told
                try:
                    self._measure(tracer, item, report, asked[1])
                finally:
                    self._asked = asked
            else:  # it leaks, and a plugin gives it another chance
                report.__dict__.update(self._known)
        return report

    def _measure(
        self, tracer: Agent, item: pytest.Item, call: pytest.TestReport, settings: Settings
    ) -> None:
        again = copy.copy(item)  # what comes next has the same parents: their fixtures stay
        # What a test recorded, it recorded once.
        kept, sections = item.user_properties[:], item._report_sections[:]

        doctest: Any = getattr(item, "dtest", None)

        def forget() -> None:
            if self._names:
                doctest.globs.clear()
                doctest.globs.update(self._names)
            item.user_properties[:] = kept
            item._report_sections[:] = sections

        def run() -> None:
            forget()
            _restart_timer(item)
            with warnings.catch_warnings(record=True), _untold(item):
                for report in _run(item, again):
                    if not report.passed:
                        raise _unrepeatable(report)

        try:
            first = CallInfo.from_call(
                lambda: item.ihook.pytest_runtest_teardown(item=item, nextitem=again),
                when="teardown", reraise=(pytest.exit.Exception, KeyboardInterrupt),
            )  # fmt: skip
            _end_request(item)
            if first.excinfo is not None:
                self._failed_teardown = first.excinfo.value
                return
            verdict = measure(
                tracer, run, warmup=settings.warmup - 1, repeat=settings.repeat,
                allowed=settings.allowed, concerns=self._concerns(item, settings),
            )  # fmt: skip
            self._tell(tracer, item, call, verdict, settings)
        except Unrepeatable as error:
            _attach(call, {"note": f"not measured: run again, it {error}"})
        except ReftracerError as error:
            _attach(call, {"note": f"not measured: {error}"})
        finally:
            failed, self._failed_teardown = self._failed_teardown, None
            with warnings.catch_warnings(record=True):
                _renew_instance(item)
                _begin_request(item)
                call_and_report(item, "setup", log=False)
                getattr(item, "instance", None)  # made by the call, but the teardown drops it
            self._failed_teardown = failed
            forget()
            _restart_timer(item)
        if call.failed:
            self._known = {
                name: call.__dict__[name] for name in ("outcome", "longrepr", "reftracer")
            }

    # --- telling

    def _tell(
        self, tracer: Agent, item: pytest.Item, call: pytest.TestReport, verdict: Verdict,
        settings: Settings,
    ) -> None:  # fmt: skip
        told: dict[str, Any] = {"measured": True}
        _attach(call, told)
        if verdict.dismissed:
            told["dismissed"] = sorted({why for _, why in verdict.dismissed})
        if not verdict.leaks:
            return
        _leak_text.find_holders(tracer, verdict.leaks)
        total = sum(leak.per_run for leak in verdict.leaks)
        told["leak"] = {
            "objects": total,
            "types": _leak_text.by_type(verdict.leaks),
        }
        call.outcome = "failed"
        path, line, _ = item.location
        call.longrepr = _leak_text.longrepr(
            item.nodeid, path, line, verdict, settings.allowed, self._root, _is_program
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome: str = report.outcome
        if self._worker or outcome == "rerun":  # pytest-rerunfailures: not the last one
            return
        self._seen.add(report.nodeid)
        told = getattr(report, "reftracer", None)
        if told is None:
            return
        self._measured += bool(told.get("measured"))
        if "leak" in told:
            self._leaking.append({"test": report.nodeid, **told["leak"]})
        elif "note" in told or "dismissed" in told:
            self._notes.append({"test": report.nodeid, **told})

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._worker:
            return
        lines = _leak_text.summary(
            self._refused, len(self._seen), self._measured, self._leaking, self._notes,
            str(Path(self._report).absolute()) if self._report and not self._refused else "",
        )  # fmt: skip
        terminalreporter.section("reftracer")
        for line in lines:
            terminalreporter.write_line(line)

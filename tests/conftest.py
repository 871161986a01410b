"""What tests are given: the CPythons at hand, the command, and a way to trace a program.

Fixtures for a test's arguments:

    python          each CPython 3.13+ at hand that reports every death, one test for each
    debug_python    the same for debug builds
    losing_python   the same for releases that lose deaths (3.13.0-3.13.2, 3.14.0-3.14.7, 3.15.0)
    any_python      each CPython 3.13+ at hand, also those; no debug builds
    old_python      a CPython older than 3.13
    pythons         the list that `python` goes through
    free_threaded_python  each free-threaded CPython at hand, where there is one
    command         the path of the command `reftracer`
    command_for_all a copy of it that other users may run
    trace           trace(python, *arguments, options=[...], ...) -> Traced
    read_report     read_report(*trace files, options=[...]) -> ReportRead
    reftracer       reftracer(*arguments, ...) runs the command: subprocess.CompletedProcess

A test with the mark `free_threaded` goes, for `python`, `any_python`, `each_python` and
`task_python`, through the free-threaded ones as well.

Options of pytest: --pythons 3.14,3.15 for fewer CPythons, --pythons 3.13.15t for that one.
"""

import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ["matrix"]

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("REFTRACER_BUILD", ROOT / "build")).resolve()
COMMAND = BUILD / "reftracer"

# A program that hangs fails its test, well before the test's own time limit. How long one
# that does not hang needs depends on what else the machine does.
TIMEOUT = 300


def leave_the_callers_surroundings():
    """What a program is told by the shell, the terminal or the service that started pytest: it
    is the same for all, or what programs do and say would depend on it."""
    ours = ("REFTRACER_BUILD", "REFTRACER_CACHE", "REFTRACER_PYTHONS", "REFTRACER_STRESS_",
            "REFTRACER_TEST_", "REFTRACER_WRITE_EXPECTED")
    for name in list(os.environ):
        if name.startswith(("PYTHON", "REFTRACER_", "LC_", "MALLOC_", "GLIBC_TUNABLES")):
            if not name.startswith(ours):
                del os.environ[name]
    for name in ("LANG", "LANGUAGE", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR",
                 "CLICOLOR_FORCE", "LD_PRELOAD", "LD_LIBRARY_PATH", "TZ", "DEBUGINFOD_URLS"):  # fmt: skip
        os.environ.pop(name, None)
    os.environ["LC_ALL"] = "C.UTF-8"
    # A network that fails for a moment fails no test; pip's own limits are less than a minute.
    os.environ.setdefault("PIP_RETRIES", "9")
    os.environ.setdefault("PIP_DEFAULT_TIMEOUT", "100")
    # In the background of a script, or under nohup, these are ignored, and programs that are
    # started inherit that; what has a handler here is not ignored there.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


leave_the_callers_surroundings()


class Python(str):
    """The path of a CPython; `version` is (3, 14, 10), `name` is "3.14.10", "3.13.18d" (debug) or
    "3.13.15t" (free-threaded)."""

    def __new__(cls, name, path):
        self = super().__new__(cls, path)
        self.name = name
        self.version = tuple(int(part) for part in name.rstrip("dt").split("."))
        self.debug = name.endswith("d")
        self.free_threaded = "t" in name
        return self

    @property
    def loses_deaths(self):
        """Whether this release does not report every death to a reference tracer:
        gh-130382 up to 3.13.2, gh-156371 in 3.14.0-3.14.7 and 3.15.0."""
        minor, micro = self.version[1:]
        return (minor == 13 and micro < 3) or (minor == 14 and micro < 8) or self.version == (3, 15, 0)


@functools.cache
def pythons_at_hand():
    lines = subprocess.run(
        [ROOT / "tools" / "pythons"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return [Python(*line.split(" ", 1)) for line in lines]


def kinds_of_python(only):
    """{fixture: CPythons}; `only` is None or the versions asked for, such as {"3.14"}."""
    each = pythons_at_hand()
    if only is not None:
        each = [p for p in each if any((p.name + ".").startswith(version + ".") for version in only)]
    new = [p for p in each if p.version >= (3, 13) and not p.free_threaded]
    return {
        "each_python": [p for p in each if not p.free_threaded],
        "task_python": [p for p in new if p.version >= (3, 14)],
        "python": [p for p in new if not p.loses_deaths and not p.debug],
        "debug_python": [p for p in new if not p.loses_deaths and p.debug],
        "any_python": [p for p in new if not p.debug],
        "losing_python": [p for p in new if p.loses_deaths and not p.debug],
        "free_threaded_python": [p for p in each if p.free_threaded and not p.debug],
    }


def pytest_addoption(parser):
    parser.addoption("--pythons", help="versions to test with, such as 3.14,3.15.2")


def use_a_folder_for_temporary_files(config):
    """What programs that are killed leave of theirs is gone at the end. Its path is short, for
    sockets, and other users may use it too."""
    before = tempfile.gettempdir()
    if {" ", ":"} & set(before):
        raise pytest.UsageError(
            f"{before} has a space or colon in it, which LD_PRELOAD can't hold, so that what is "
            "installed there can't trace. Set TMPDIR to another folder."
        )
    os.environ["PYTEST_DEBUG_TEMPROOT"] = before  # pytest's own are kept when a test fails
    folder = tempfile.mkdtemp(prefix="rft-")
    os.chmod(folder, 0o1777)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["TMPDIR"] = tempfile.tempdir = folder


def pytest_configure(config):
    if {" ", ":"} & set(str(BUILD)):
        raise pytest.UsageError(
            f"{BUILD} has a space or colon in it, which LD_PRELOAD can't hold, so that nothing can "
            "be traced from there. Move the checkout, or set REFTRACER_BUILD to a build elsewhere."
        )
    use_a_folder_for_temporary_files(config)
    asked = config.getoption("--pythons")
    config.kinds_of_python = kinds_of_python(set(asked.split(",")) if asked else None)
    config.addinivalue_line("markers", "free_threaded: with the free-threaded CPythons too")
    kinds = config.kinds_of_python
    if not kinds["python"] and not (asked and kinds["free_threaded_python"]):
        raise pytest.UsageError(
            "no CPython 3.13+ to test with is at hand; `tools/get-pythons` fetches some."
        )
    if not asked:
        minors = {p.version[:2] for p in config.kinds_of_python["python"]}
        missing = {(3, 13), (3, 14), (3, 15)} - minors
        if missing:
            names = ", ".join("%d.%d" % version for version in sorted(missing))
            raise pytest.UsageError(
                f"CPython {names} is not at hand; `tools/get-pythons` fetches it, "
                "and --pythons restricts the tests to others."
            )


WITH_FREE_THREADED = {
    "python": (3, 13), "any_python": (3, 13), "each_python": (3, 13), "task_python": (3, 14),
}  # fmt: skip


def pytest_generate_tests(metafunc):
    kinds = metafunc.config.kinds_of_python
    for fixture, pythons in kinds.items():
        if fixture in metafunc.fixturenames:
            if fixture in WITH_FREE_THREADED and metafunc.definition.get_closest_marker(
                "free_threaded"
            ):
                least = WITH_FREE_THREADED[fixture]
                pythons = pythons + [
                    p for p in kinds["free_threaded_python"] if p.version >= least
                ]
            metafunc.parametrize(
                fixture, pythons, ids=[p.name for p in pythons], scope="session"
            )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """What a fixture of a whole module makes is made once: the tests that use it go to the
    same worker of pytest-xdist."""
    for item in items:
        shared = [
            name
            for name, definitions in item._fixtureinfo.name2fixturedefs.items()
            if definitions[-1].scope == "module"
        ]
        if shared:
            python = item.callspec.params.get("python", "") if hasattr(item, "callspec") else ""
            group = f"{item.path.stem}-{getattr(python, 'name', '')}"
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def pythons(request):
    return request.config.kinds_of_python["python"]


@pytest.fixture(scope="session")
def old_python():
    old = [p for p in pythons_at_hand() if p.version < (3, 13)]
    if not old:
        pytest.skip("no CPython older than 3.13 is at hand")
    return old[-1]


@pytest.fixture(scope="session")
def command():
    if not COMMAND.exists():
        pytest.fail(f"{COMMAND} is not there: `make build` first, or set REFTRACER_BUILD")
    return COMMAND


@pytest.fixture(scope="session")
def command_for_all(command):
    """The command where every user may run it; the build may be in a closed home."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in (command.name, *(path.name for path in command.parent.glob("libreftracer-*.so"))):
            os.chmod(shutil.copy(command.parent / name, folder), 0o755)
        yield Path(folder) / command.name


def run_command(arguments, timeout=TIMEOUT, **options):
    """subprocess.run in a session of its own, of which nothing is left at the end."""
    given = options.pop("input", None)
    options.setdefault("stdin", subprocess.DEVNULL if given is None else subprocess.PIPE)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    arguments = [os.fspath(argument) for argument in arguments]
    process = subprocess.Popen(arguments, start_new_session=True, **options)
    try:
        stdout, stderr = process.communicate(given, timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        pytest.fail(f"{arguments} did not end within {timeout} s\n{stdout}\n{stderr}")
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


class ReportRead:
    """What `reftracer report --json` made of some files: `status`, `stderr`, and `report`,
    the parsed JSON."""

    def __init__(self, command, files, options=()):
        done = run_command([command, "report", "--json", *options, *files])
        self.status = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr

    @functools.cached_property
    def report(self):
        assert self.status == 0, self.stderr.decode(errors="replace")
        return json.loads(self.stdout)


class Traced:
    """A traced run: the program's `status`, `stdout`, `stderr` (bytes), the `path` of the
    trace, the `report` on it, and `children`: the reports on its traced children that came so
    far as to write a record (who is killed as it starts does not)."""

    def __init__(self, command, done, path):
        self.command = command
        self.status = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr
        self.path = path

    @functools.cached_property
    def report(self):
        assert self.path.exists(), f"no trace was written; stderr: {self.stderr}"
        return ReportRead(self.command, [self.path]).report

    @property
    def child_paths(self):
        return sorted(self.path.parent.glob(f"{self.path.stem}.*{self.path.suffix}"))

    @functools.cached_property
    def children(self):
        read = [ReportRead(self.command, [path]) for path in self.child_paths]
        return [one.report for one in read
                if one.status != 1 or b"killed before" not in one.stderr]  # fmt: skip


def program_folder(arguments):
    """The folder of the first argument that is a path of a file."""
    for argument in arguments:
        if isinstance(argument, Path):
            return argument.parent
    return None


@pytest.fixture(scope="session")
def trace(command, tmp_path_factory):
    """Runs a program under `reftracer run`.

    trace(python, *arguments, options=[], output=None, **more): `options` go to
    `reftracer run`; `output` is the trace's path (default: in a new folder); `command` is
    another copy of the command; `more` is for
    subprocess.Popen, and `input` and `timeout`. The program runs in the folder of its file
    unless `cwd` says otherwise.
    """

    # Made here: threads that trace at once would each make it, and delete the others'.
    tmp_path_factory.getbasetemp()

    def run(python, *arguments, options=(), output=None, command=command, **more):
        if output is None:
            output = tmp_path_factory.mktemp("trace") / "trace.rft"
            # As another user the program must still get there.
            if more.get("preexec_fn") is not None:
                output.parent.chmod(0o777)
        if more.get("cwd") is None:
            more["cwd"] = program_folder(arguments)
        done = run_command(
            [command, "run", "-o", output, *options, "--", python, *arguments], **more
        )
        return Traced(command, done, Path(output))

    return run


@pytest.fixture(scope="session")
def read_report(command):
    def read(*files, options=()):
        return ReportRead(command, files, options)

    return read


@pytest.fixture(scope="session")
def reftracer(command):
    def run(*arguments, **more):
        return run_command([command, *arguments], **more)

    return run


@pytest.fixture
def growing(reftracer, tmp_path):
    """growing(a trace of rftwrite) → what grows in it, by type."""

    def read(trace):
        path = tmp_path / "hand.rft"
        trace.write(path)
        done = reftracer("report", "--json", path)
        assert done.returncode == 0, done.stderr
        return {site["type"]: site for site in json.loads(done.stdout)["growing"]}

    return read

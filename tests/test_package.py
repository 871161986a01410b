"""The Python package: a wheel of this tree, installed into an empty environment, and used."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from conftest import BUILD, ROOT

# Objects that the command loads, with the libraries that they bring.
LOADED = {
    "libreftracer-elf.so": ("libelf", "libdw", "libzstd"),
    "libreftracer-tables.so": ("libsmartcols",),
}

LEAK = """
import time
class Node: pass
kept, end = [], time.monotonic() + 2
while time.monotonic() < end:
    kept.append(Node())
    time.sleep(0.002)
"""


def needed(file):
    """What the loader loads with a file."""
    dynamic = subprocess.run(["readelf", "-d", file], capture_output=True, text=True, check=True)
    return re.findall(r"NEEDED.*\[(.*)\]", dynamic.stdout)


def build_wheel(folder, **environment):
    """From a copy: the tree stays as it is. Once, whichever worker comes first."""
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("*.whl")):
            source = folder / "source"
            source.mkdir()
            for name in ("meson.build", "meson_options.txt", "pyproject.toml", "README.md",
                         "LICENSE"):  # fmt: skip
                shutil.copy(ROOT / name, source)
            for name in ("src", "include", "python", "man", "tests", "examples"):
                shutil.copytree(ROOT / name, source / name,
                                ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
            # meson-python builds what git knows
            for command in (["init", "-q"], ["add", "-A"],
                            ["-c", "user.name=test", "-c", "user.email=test@localhost",
                             "commit", "-qm", "test"]):  # fmt: skip
                subprocess.run(["git", *command], cwd=source, check=True)
            done = pip_wheel(folder, source, {**os.environ, **environment})
            assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def pip_wheel(folder, source, environment, attempts=3):
    """What builds is fetched first, and pip gives up a download that is cut: a network may fail
    for a moment. What the build itself says is final."""
    while True:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
             "--disable-pip-version-check", "-w", folder, source],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
        attempts -= 1
        fetching = re.search(r"pip subprocess to install (build|backend) dependencies", done.stderr)
        if not fetching or attempts == 0:
            return done
        time.sleep(20)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """The folder of this run, all its workers together. Without workers, what is above pytest's own
    folder is that of all runs, whose wheels are older ones, or half made."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def wheel(wheels):
    """With all libraries that are here."""
    return build_wheel(wheels / "reftracer-wheel")


@pytest.fixture(scope="session")
def small_wheel(wheels):
    """As it is built where a C compiler is all that there is."""
    return build_wheel(wheels / "reftracer-small-wheel", PKG_CONFIG="false", CMAKE="false")


@pytest.fixture(scope="session")
def repaired_wheel(wheel):
    """With the libraries in it, for machines that have none of them."""
    folder = wheel.parent / "repaired"
    with open(wheel.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            tools = str(Path(sys.executable).parent)
            done = subprocess.run(
                [sys.executable, "-m", "auditwheel", "repair", "-w", folder, wheel],
                capture_output=True, text=True,
                env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def installed(python, wheel, folder):
    """The python of an environment that has nothing but the wheel."""
    subprocess.run([str(python), "-m", "venv", folder], check=True)
    subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index",
         "--disable-pip-version-check", wheel],
        check=True,
    )  # fmt: skip
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def package_python(python, repaired_wheel, tmp_path_factory):
    return installed(python, repaired_wheel, tmp_path_factory.mktemp("environment"))


def test_the_wheel_fits_every_python(wheel):
    assert "-py3-none-linux_" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("scripts/reftracer") for name in names)
    assert any(name.endswith("libreftracer-agent.so") for name in names)
    assert any(name.endswith("libreftracer-arrow.so") for name in names)
    assert any(name.endswith("py.typed") for name in names)
    assert not any("tests/" in name for name in names)


def test_a_trace_is_made_and_read_by_the_package(package_python, tmp_path):
    (tmp_path / "leak.py").write_text(LEAK)
    traced = subprocess.run(
        [package_python, "-m", "reftracer", "run", "-o", "leak.rft", "leak.py"],
        cwd=tmp_path, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert traced.returncode == 0, traced.stderr
    read = subprocess.run(
        [package_python, "-c", """
import reftracer
report = reftracer.load("leak.rft")
assert report.exact and report.births - report.deaths == report.live
for growth in report.growing:  # on a machine that has no time for it there may be none
    assert growth.type == "__main__.Node" and growth.stack[0].line == 6, growth
    assert growth.objects_per_second > 0 and growth.never_die_share == 1
    assert "Node" in repr(growth) and growth.row()["sites"] == 1
node, = report.survivors("Node")
site, = (site for site in report.sites if site.type == "__main__.Node")
assert node.row()["live"] == site.births == site.live == node.live
with reftracer.trace() as inside:
    kept = [bytearray(3) for _ in range(33)]
    assert inside.survivors("bytearray")[0].live == 33
assert inside.survivors("bytearray")[0].live == 33
assert inside.survivors().__arrow_c_stream__()
assert "Node" in report.summary()
assert len(repr(report)) < 200
try:
    reftracer.load("missing.rft")
except reftracer.ReftracerError as error:
    print(error)
"""],
        cwd=tmp_path, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert read.returncode == 0, read.stderr
    assert "missing.rft" in read.stdout


def test_the_command_of_the_package_is_the_native_one(package_python, tmp_path):
    done = subprocess.run(
        [package_python.parent / "reftracer", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.split()[0]) == (0, "reftracer")
    assert "built with libelf, libdw, zlib, libzstd, libsmartcols" in done.stdout
    assert "built without" not in done.stdout
    found = subprocess.run(
        [package_python, "-c", "import reftracer; print(reftracer.command())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    assert Path(found).read_bytes()[:4] == b"\x7fELF"
    # What it loads is in the environment, with the libraries, and the command finds it there.
    for file, names in LOADED.items():
        loaded, = package_python.parent.parent.rglob(file)
        libraries = subprocess.run(["ldd", loaded], capture_output=True, text=True, check=True).stdout
        for name in names:
            assert re.search(rf"{name}.*=> {package_python.parent.parent}", libraries), libraries
    assert needed(found) == ["libc.so.6"]
    assert "can't be loaded" not in done.stdout


def test_the_repaired_wheel_keeps_to_a_manylinux_policy(repaired_wheel):
    assert re.search(r"-py3-none-manylinux_2_\d+_x86_64\.whl$", repaired_wheel.name)
    with zipfile.ZipFile(repaired_wheel) as wheel:
        agent, = (name for name in wheel.namelist() if name.endswith("libreftracer-agent.so"))
        extracted = wheel.extract(agent, repaired_wheel.parent)
    assert needed(extracted) == ["libc.so.6"]


def test_a_c_compiler_is_enough_to_install(small_wheel, pythons, command, trace, tmp_path):
    python = installed(pythons[-1], small_wheel, tmp_path / "environment")
    own = python.parent / "reftracer"
    version = subprocess.run([own, "--version"], capture_output=True, text=True, check=True).stdout
    # Meson finds zlib, where it is, without pkg-config.
    assert "built without libelf (no core files), libdw (no C frames)" in version
    libraries = subprocess.run(["ldd", own], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^\t(\S+) =>", libraries, re.MULTILINE)) == {"libc.so.6"}

    # It traces, and its reports are those of the whole command, tables too.
    (tmp_path / "leak.py").write_text(LEAK)
    traced = trace(python, tmp_path / "leak.py", command=own)
    assert traced.status == 0
    for options in ([], ["--view", "types"], ["--view", "sites"], ["--json"]):
        outputs = [
            subprocess.run([which, "report", *options, traced.path], capture_output=True, check=True)
            for which in (own, command)
        ]
        assert outputs[0].stdout == outputs[1].stdout

    # It inspects what lives, and says what it lacks.
    program = "import sys, threading; print('up', flush=True); sys.stdin.readline()"
    with subprocess.Popen(
        [python, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        seen, native = (
            subprocess.run([own, "inspect", *options, str(process.pid)], capture_output=True,
                           text=True)
            for options in ([], ["--native"])
        )  # fmt: skip
        process.stdin.close()
    assert seen.returncode == 0 and "<module>" in seen.stdout, seen
    assert "<module>" in native.stdout and "built without libdw" in native.stdout, native
    core = subprocess.run([own, "inspect", "--core", "/bin/true"], capture_output=True, text=True)
    assert core.returncode != 0


def test_types_and_style_are_clean():
    for tool in (["mypy", "--strict", "python/reftracer"], ["ruff", "check", "python"],
                 ["ruff", "format", "--check", "python"]):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

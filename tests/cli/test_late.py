"""Libraries that the command loads when it needs them: what it does without."""

import gzip
import re
import shutil
import subprocess

import pytest

from conftest import TIMEOUT
from rftwrite import Trace, births

OBJECTS = ("libreftracer-elf.so", "libreftracer-tables.so")


@pytest.fixture
def bare(command, tmp_path):
    """A copy of the command that can't load what it loads: the files are empty."""
    for name in OBJECTS:
        (tmp_path / name).touch()
    return shutil.copy(command, tmp_path / "reftracer")


def run(*arguments, **more):
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True,
                          timeout=TIMEOUT, **more)


def test_the_command_needs_libc_only(command):
    """A look takes a millisecond, each library some tenths. libm: see analyze/profile.h."""
    dynamic = run("readelf", "-d", command).stdout
    assert re.findall(r"NEEDED.*\[(.*)\]", dynamic) == ["libc.so.6"]


def test_a_look_at_a_process_loads_nothing(command, pythons):
    program = "print(flush=True); input()"
    with subprocess.Popen([pythons[-1], "-c", program], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        done = run(command, "inspect", process.pid, env={"LD_DEBUG": "files"})
        process.communicate(b"\n")
    assert "<module>" in done.stdout
    assert set(re.findall(r"calling init: \S*/(\S+)", done.stderr)) <= {
        "libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def test_what_cannot_be_loaded_is_named(bare, pythons, tmp_path):
    (tmp_path / "core").write_bytes(b"\x7fELF" + bytes(1000))
    (tmp_path / "core.gz").write_bytes(gzip.compress(b"\x7fELF" + bytes(1000)))
    for name, doing in (("core", "reading core"), ("core.gz", "unpacking core")):
        done = run(bare, "inspect", tmp_path / name)
        assert done.returncode == 1 and done.stdout == ""
        assert doing in done.stderr and "libreftracer-elf.so can't be loaded" in done.stderr
        assert "install elfutils" in done.stderr
    version = run(bare, "--version")
    assert version.returncode == 0
    for name in OBJECTS:
        assert f"{name} can't be loaded: {tmp_path / name}: " in version.stdout


def test_a_process_is_inspected_without_them(bare, pythons):
    program = "print(flush=True); input()"
    with subprocess.Popen([pythons[-1], "-c", program], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        plain, native = (run(bare, "inspect", *options, process.pid)
                         for options in ([], ["--native"]))  # fmt: skip
        process.communicate(b"\n")
    assert plain.returncode == 0 and "<module>" in plain.stdout
    assert native.returncode == 0 and "<module>" in native.stdout
    assert "there are no C frames" in native.stdout
    assert "libreftracer-elf.so" in native.stdout and "can't be loaded" in " ".join(
        native.stdout.split())


def test_tables_are_the_same_without_them(bare, command, tmp_path):
    trace = Trace()
    sites = [trace.site([("/srv/app.py", f"function_{i}", i)], f"app.Type{i}") for i in range(5)]
    trace.tick(1000, {site: births(100 * i + 1) for i, site in enumerate(sites)})
    trace.write(tmp_path / "app.rft")
    for view in ("types", "sites"):
        one, other = (run(which, "report", "--view", view, tmp_path / "app.rft")
                      for which in (command, bare))  # fmt: skip
        assert "app.Type4" in one.stdout
        assert one.stdout == other.stdout

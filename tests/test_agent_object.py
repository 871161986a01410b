"""The agent's shared object loads into any process: it needs libc only, and not a new one."""

import re
import subprocess

import pytest
from conftest import BUILD

# Debian 12 has 2.36; from 2.34 on libc.so.6 has all of pthreads.
NEWEST_GLIBC = (2, 34)

# The ways out of a process that run no atexit callback: src/agent/leave.c finishes the trace
# there.
INTERPOSED = {"_exit", "_Exit", "execv", "execve", "fexecve"}
# What the Python package calls.
CONTROL = {
    "reftracer_start", "reftracer_stop", "reftracer_mark", "reftracer_is_tracing", "reftracer_flush",
    "reftracer_path", "reftracer_why", "reftracer_holders",
    "reftracer_window_begin", "reftracer_window_end", "reftracer_window_survivors",
    "reftracer_window_objects", "reftracer_window_list", "reftracer_site",
    "reftracer_loses_deaths", "reftracer_mute", "reftracer_name_lookups",
}  # fmt: skip


@pytest.fixture(params=["libreftracer-agent.so", "libreftracer-agent-empty.so"])
def agent(request):
    return BUILD / request.param


def readelf(*arguments):
    return subprocess.run(
        ["readelf", "--wide", *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_the_agent_depends_on_libc_only(agent):
    assert re.findall(r"\(NEEDED\).*\[(.*)\]", readelf("-d", agent)) == ["libc.so.6"]


def test_the_agent_needs_no_newer_glibc(agent):
    needs = readelf("-V", agent).partition("Version needs section")[2]
    versions = {
        tuple(int(part) for part in version.split("."))
        for version in re.findall(r"Name: GLIBC_([\d.]+)", needs)
    }
    assert versions
    assert max(versions) <= NEWEST_GLIBC
    assert not re.search(r"Name: GLIBC_ABI_DT_RELR", needs)


def test_the_agent_leaves_no_symbol_of_python_to_the_linker(agent):
    undefined = re.findall(r" UND (\S+)", readelf("--dyn-syms", agent))
    assert [name for name in undefined if re.match(r"_?Py", name)] == []


# What other copies in the process ask about the tracer's slot: src/tracer/share.h.
ASKED = {"reftracer_sharing"}


def test_the_agent_exports_only_what_it_means_to_stand_in_front_of(agent):
    """What it exported besides could shadow a symbol of the program."""
    exported = re.findall(
        r"(?:FUNC|OBJECT|TLS)\s+(?:GLOBAL|WEAK)\s+DEFAULT\s+\d+ (\S+)", readelf("--dyn-syms", agent)
    )
    assert set(exported) <= INTERPOSED | ASKED | CONTROL


def test_the_agent_is_hardened_and_stays_loaded(agent):
    dynamic = readelf("-d", agent)
    assert "NOW" in dynamic and "NODELETE" in dynamic
    segments = readelf("-l", agent)
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK.* RW ", segments)
    assert not re.search(r"LOAD.* RWE", segments)


def test_the_agents_thread_variables_are_reached_without_a_call(agent):
    """A __tls_get_addr in the tracer's callback would cost every event, and could allocate."""
    undefined = re.findall(r" UND (\S+)", readelf("--dyn-syms", agent))
    assert not any(name.startswith("__tls_get_addr") for name in undefined)

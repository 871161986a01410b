"""The example program for authors of tools: found by pkg-config, compiled, run."""

import os
import subprocess

from conftest import BUILD, ROOT, run_command
from inspect_programs import wait_for
from inspect_targets import PROGRAMS, in_read

EXAMPLE = ROOT / "examples" / "list_threads.c"

PROGRAM = """
import settled, sys, threading
never = threading.Lock()
never.acquire()
def waiting():
    never.acquire()
threading.Thread(target=waiting, name="a waiter", daemon=True).start()
settled.wait_until_inside(futex=1)
print(flush=True); sys.stdin.read()
"""


def test_the_example_for_tool_authors_lists_all_threads(tmp_path, pythons):
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "reftracer"], check=True, capture_output=True,
        text=True, env={**os.environ, "PKG_CONFIG_PATH": str(BUILD / "meson-uninstalled")},
    ).stdout.split()
    built = tmp_path / "list_threads"
    subprocess.run(["cc", "-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", EXAMPLE, "-o",
                    built, *flags, f"-Wl,-rpath,{BUILD}"], check=True)
    with subprocess.Popen([pythons[-1], "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={**os.environ, "PYTHONPATH": str(PROGRAMS)}) as target:
        try:
            target.stdout.readline()
            wait_for(lambda: in_read(target.pid) == 1, "the main thread")
            done = run_command([built, str(target.pid)], text=True)
        finally:
            target.kill()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"CPython {pythons[-1].name}, consistent\ninterpreter 0\n")
    assert "a waiter" in done.stdout
    assert str(target.pid) in done.stdout
    assert "<string>:9 <module>" in done.stdout
    assert "waiting" in done.stdout

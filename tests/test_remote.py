"""A process that runs already, told from outside to trace itself: docs/PYTHON.md."""

import subprocess

import pytest
from conftest import ROOT
from inspect_programs import wait_for
from test_python_api import ENVIRONMENT

SERVICE = """
import sys
class Node: pass
kept = []
def handle():
    kept.append(Node())
for line in sys.stdin:
    for _ in range(int(line)):
        handle()
    print(len(kept), flush=True)
"""

BEGIN = """
import sys
sys.path.append({package!r})
import reftracer
reftracer.service = reftracer.trace({trace!r})
reftracer.service.start()
"""

END = """
import reftracer
reftracer.service.stop()
open({done!r}, "w").close()
"""


@pytest.fixture
def service(task_python):
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
    process = subprocess.Popen([task_python, "-c", SERVICE], text=True, env=environment,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def ask(count):
        print(count, file=process.stdin, flush=True)
        return int(process.stdout.readline())

    process.ask = ask
    yield process
    process.kill()
    process.communicate()


def run_inside(python, pid, script):
    program = "import sys; sys.remote_exec(int(sys.argv[1]), sys.argv[2])"
    done = subprocess.run([python, "-c", program, str(pid), script], capture_output=True, text=True)
    if "PermissionError" in done.stderr:
        pytest.skip("this user may not write to its processes (ptrace_scope)")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_service_is_traced_from_now_on(task_python, service, tmp_path, read_report):
    trace, done = tmp_path / "service.rft", tmp_path / "done"
    begin, end = tmp_path / "begin.py", tmp_path / "end.py"
    begin.write_text(BEGIN.format(package=str(ROOT / "python"), trace=str(trace)))
    end.write_text(END.format(done=str(done)))
    assert service.ask(10) == 10

    run_inside(task_python, service.pid, begin)
    wait_for(lambda: service.ask(0) and trace.exists(), "the trace's begin")
    assert service.ask(1000) == 1010
    assert "still running" in str(read_report(trace).report["exact_reasons"])

    run_inside(task_python, service.pid, end)
    wait_for(lambda: service.ask(0) and done.exists(), "the trace's end")
    assert service.ask(5) == 1015  # it goes on
    report = read_report(trace).report
    assert report["exact"] or task_python.loses_deaths, report["exact_reasons"]
    nodes = [site for site in report["sites"] if site["type"] == "__main__.Node"]
    assert [(site["births"], site["deaths"], site["live"]) for site in nodes] == [(1000, 0, 1000)]
    assert nodes[0]["stack"][0]["function"] == "handle"

"""A Flask and a Django application under 10,000 requests: a planted leak is found, and
without it nothing is accused."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from sites import assert_exact, line_of, passed_by

FOLDER = Path(__file__).parent / "programs" / "webapp"
REQUIREMENTS = FOLDER / "requirements.txt"
CACHE = Path(os.environ.get("REFTRACER_CACHE", "/var/cache/reftracer"))


@pytest.fixture(scope="module")
def web_python(python):
    """A virtual environment's python with Flask and Django; made once and kept in the cache."""
    version = subprocess.run(
        [str(python), "-IBc", "import sys; print('%d.%d.%d' % sys.version_info[:3], end='')"],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    folder = CACHE / f"webapp-{version}"
    stamp = folder / "requirements.txt"
    with open(CACHE / f"webapp-{version}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one makes it
        if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
            subprocess.run([str(python), "-m", "venv", "--clear", folder], check=True)
            subprocess.run(
                [folder / "bin" / "python", "-m", "pip", "install", "--quiet",
                 "--disable-pip-version-check", "-r", REQUIREMENTS],
                check=True,
            )  # fmt: skip
            stamp.write_text(REQUIREMENTS.read_text())
    return folder / "bin" / "python"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("leak", [[], ["--leak"]], ids=["sound", "leaking"])
@pytest.mark.parametrize("name", ["shop.py", "board.py"], ids=["flask", "django"])
def test_verdict_on_a_web_application(web_python, trace, read_report, name, leak):
    program = FOLDER / name
    traced = trace(web_python, program, *leak)
    assert traced.status == 0, traced.stderr
    assert traced.stdout == b"10000 of 10000 requests answered\n"
    report = read_report(traced.path, options=["--top", "100"]).report
    assert_exact(report)
    if not leak:
        assert report["growing"] == []
    else:
        line = line_of(program.read_text(), "leak")
        assert passed_by(report["growing"][0], program, line)
        assert report["growing"][0]["type"] == "__main__.Visit"
        assert [s for s in report["growing"] if not passed_by(s, program, line)] == []

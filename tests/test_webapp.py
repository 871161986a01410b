"""A Flask application under 10,000 requests: a planted leak is found, and without it
nothing is accused."""

import os
import subprocess
from pathlib import Path

import pytest
from sites import assert_exact, line_of, passed_by

PROGRAM = Path(__file__).parent / "programs" / "webapp" / "shop.py"
REQUIREMENTS = PROGRAM.parent / "requirements.txt"
CACHE = Path(os.environ.get("REFTRACER_CACHE", "/var/cache/reftracer"))


@pytest.fixture(scope="module")
def flask_python(python):
    """A virtual environment's python with Flask; made once and kept in the cache."""
    version = subprocess.run(
        [str(python), "-IBc", "import sys; print('%d.%d.%d' % sys.version_info[:3], end='')"],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    folder = CACHE / f"flask-{version}"
    stamp = folder / "requirements.txt"
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
def test_verdict_on_a_flask_application(flask_python, trace, read_report, leak):
    traced = trace(flask_python, PROGRAM, *leak)
    assert traced.status == 0, traced.stderr
    assert traced.stdout == b"10000 of 10000 requests answered\n"
    report = read_report(traced.path, options=["--top", "100"]).report
    assert_exact(report)
    if not leak:
        assert report["growing"] == []
    else:
        line = line_of(PROGRAM.read_text(), "leak")
        assert passed_by(report["growing"][0], PROGRAM, line)
        assert report["growing"][0]["type"] == "__main__.Visit"
        assert [s for s in report["growing"] if not passed_by(s, PROGRAM, line)] == []

"""The scripts of tools/, where the tests do not use them anyway."""

import os
import sys

import pytest

from conftest import ROOT, pythons_at_hand, run_command


def test_cpythons_are_listed_where_there_is_no_home():
    """As in a service, a container or cron: HOME may be unset."""
    kept = {name: os.environ[name] for name in ("PATH", "REFTRACER_CACHE", "REFTRACER_PYTHONS")
            if name in os.environ}  # fmt: skip
    done = run_command([ROOT / "tools" / "pythons"], env=kept)
    assert (done.returncode, done.stderr) == (0, b"")
    listed = {line.split(" ", 1)[0] for line in done.stdout.decode().splitlines()}
    known = {python.name for python in pythons_at_hand()}
    assert listed and listed <= known


def test_a_build_that_cannot_be_preloaded_is_refused_before_the_first_test(tmp_path):
    done = run_command(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", __file__],
        cwd=ROOT, env={**os.environ, "REFTRACER_BUILD": str(tmp_path / "with space")},
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert b"which LD_PRELOAD can't hold" in done.stderr

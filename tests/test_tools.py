"""The scripts of tools/, where the tests do not use them anyway."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

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


def test_a_folder_for_temporary_files_that_nothing_can_be_preloaded_from_is_refused(tmp_path):
    folder = tmp_path / "with space"
    folder.mkdir()
    done = run_command(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", __file__],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert b"Set TMPDIR to another folder" in done.stderr


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def test_a_network_that_fails_for_a_moment_fails_no_setup(tmp_path):
    """Twice apt and pip fail, as where a mirror does not answer or a download is cut."""
    fails_twice = 'echo "$*" >>{0}; [ $(grep -c "install" {0}) -gt 2 ]\n'
    calls = {name: tmp_path / f"{name}-calls" for name in ("apt", "pip")}
    bin_folder = tmp_path / "bin"
    script(bin_folder / "apt-get", fails_twice.format(calls["apt"]))
    script(bin_folder / "dpkg-query", "exit 1\n")
    script(bin_folder / "id", "echo 0\n")
    script(bin_folder / "sleep", "exit 0\n")
    script(tmp_path / ".venv" / "bin" / "python",
           '[ "$2" = pip ] || exit 0\n' + fails_twice.format(calls["pip"]))  # fmt: skip
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "requirements.txt", tmp_path / "tests")
    done = run_command(
        [tmp_path / "tools" / "setup", "lint"],
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"failed; again in 30 s") == 4
    assert "requirements.txt" in calls["pip"].read_text().splitlines()[-1]
    assert "clang-format" in calls["apt"].read_text().splitlines()[-1]


@pytest.mark.skipif(not Path("/usr/share/debootstrap/scripts/sid").exists(), reason="no debootstrap")
def test_a_mirror_that_fails_for_a_moment_fails_no_fetch_of_cpythons(tmp_path):
    """Twice debootstrap fails; the third time it comes to what follows, of which there is nothing."""
    bin_folder, calls = tmp_path / "bin", tmp_path / "calls"
    script(bin_folder / "debootstrap", f"""
for tree; do case $tree in */sid) break ;; esac; done
[ ! -e "$tree" ] || exit 7
mkdir -p "$tree/etc/dpkg/dpkg.cfg.d" "$tree/usr/sbin" "$tree/half made"
echo called >>{calls}; [ $(grep -c called {calls}) -gt 2 ]
""")
    script(bin_folder / "id", "echo 0\n")
    script(bin_folder / "sleep", "exit 0\n")
    script(bin_folder / "mount", "exit 1\n")
    script(bin_folder / "chroot", "echo no apt here; exit 1\n")
    done = run_command([ROOT / "tools" / "get-pythons"],
                       env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}",
                            "REFTRACER_CACHE": str(tmp_path / "cache")})  # fmt: skip
    assert calls.read_text() == "called\n" * 3
    assert done.returncode == 1
    assert done.stderr.count(b"bootstrap failed; again in 30 s") == 2
    assert done.stderr.count(b"install_in failed; again in 30 s") == 2
    assert b"no apt here" in done.stderr and b"apt-get install in " in done.stderr
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    assert left == {".lock"}


def test_a_cache_of_another_user_that_has_all_is_enough():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        shutil.copy(ROOT / "tools" / "get-free-threaded", folder)
        for version in ("3.13", "3.14", "3.15"):
            script(folder / "cache" / "free-threaded" / "bin" / f"python{version}t", "exit 0\n")
        for path in folder.rglob("*"):  # also after umask 077
            path.chmod(0o755)
        for path in (folder, folder / "cache"):
            path.chmod(0o555)
        own = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        done = run_command([folder / "get-free-threaded"], cwd="/", **own,
                           env={**os.environ, "REFTRACER_CACHE": str(folder / "cache")})  # fmt: skip
        folder.chmod(0o755)
        (folder / "cache").chmod(0o755)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

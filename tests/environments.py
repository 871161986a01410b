"""Virtual environments with packages that tests need; made once and kept in the cache."""

import fcntl
import hashlib
import os
import subprocess
import time
from pathlib import Path

from conftest import ROOT

CACHE = Path(os.environ.get("REFTRACER_CACHE", "/var/cache/reftracer"))


def environment(python, name, requirements):
    """The python of the environment `name`, which has what the file `requirements` names. One
    that a killed run has left half made, or whose CPython is gone, is made anew."""
    wanted = requirements.read_text()
    made = made_for(CACHE / name)
    if made is not None and made != wanted:
        # Another checkout, which has other requirements, may be at work in that one.
        name += "-" + hashlib.sha256(wanted.encode()).hexdigest()[:8]

    def ready(folder):
        return made_for(folder) == wanted and version(python_of(folder)) == version(python)

    home = CACHE
    if CACHE.exists() and not os.access(CACHE, os.W_OK):  # another user's
        if ready(CACHE / name):
            return python_of(CACHE / name)
        home = ROOT / "build" / "environments"
    folder = home / name
    home.mkdir(parents=True, exist_ok=True)
    with open(home / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one makes it
        if not ready(folder):
            stamp_of(folder).unlink(missing_ok=True)
            subprocess.run([str(python), "-m", "venv", "--clear", folder], check=True)
            install(python_of(folder), requirements)
            # At once: who looks without the lock must not find half of it.
            half = stamp_of(folder).with_suffix(".new")
            half.write_text(wanted)
            half.rename(stamp_of(folder))
    return python_of(folder)


def install(python, requirements, attempts=3):
    """pip gives up a download that is cut: a network may fail for a moment."""
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
               "-r", requirements]  # fmt: skip
    while subprocess.run(command).returncode != 0:
        attempts -= 1
        assert attempts > 0, f"the packages of {requirements} could not be installed"
        time.sleep(20)


def python_of(folder):
    return folder / "bin" / "python"


def stamp_of(folder):
    return folder / "requirements.txt"


def made_for(folder):
    """The requirements of an environment; None if there is none, or not yet."""
    try:
        return stamp_of(folder).read_text()
    except (FileNotFoundError, PermissionError):
        return None


def version(python):
    """What it says of itself; None if it does not run."""
    try:
        done = subprocess.run([str(python), "-IBSc", "import sys; print(sys.version, sys.base_prefix)"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None

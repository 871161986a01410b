"""Virtual environments with packages that tests need; made once and kept in the cache."""

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("REFTRACER_CACHE", "/var/cache/reftracer"))


def environment(python, name, requirements):
    """The python of the environment `name`, which has what the file `requirements` names. One
    that a killed run has left half made, or whose CPython is gone, is made anew."""
    wanted = requirements.read_text()
    stamp = CACHE / name / "requirements.txt"
    if stamp.exists() and stamp.read_text() != wanted:
        # Another checkout, which has other requirements, may be at work in that one.
        name += "-" + hashlib.sha256(wanted.encode()).hexdigest()[:8]
    folder = CACHE / name
    own, stamp = folder / "bin" / "python", folder / "requirements.txt"

    def ready():
        return stamp.exists() and stamp.read_text() == wanted and version(own) == version(python)

    if not os.access(CACHE, os.W_OK) and ready():
        return own  # another user's, who made it
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one makes it
        if not ready():
            stamp.unlink(missing_ok=True)
            subprocess.run([str(python), "-m", "venv", "--clear", folder], check=True)
            subprocess.run(
                [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                 "-r", requirements],
                check=True,
            )  # fmt: skip
            stamp.write_text(wanted)
    return own


def version(python):
    """What it says of itself; None if it does not run."""
    try:
        done = subprocess.run([str(python), "-IBSc", "import sys; print(sys.version, sys.base_prefix)"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None

"""Where the native command and the agent are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

#: What `reftracer run` sets for the agent.
TRACED_ENVIRONMENT = frozenset(
    f"REFTRACER_{name}" for name in ("OUTPUT", "STATUS", "CHILDREN", "GC", "MAIN_PID")
)


class ReftracerError(Exception):
    """What the native command or the agent said, in one line."""


def command() -> str:
    """Path of the native ``reftracer`` command.

    The one that was installed with this package; else, in a checkout, what
    ``make build`` has left; else the one of ``PATH``. The variable
    ``REFTRACER_COMMAND`` overrides all three.

    Raises ReftracerError if there is none.
    """
    asked = os.environ.get("REFTRACER_COMMAND")
    if asked:
        return asked
    package = Path(__file__).resolve().parent
    # auditwheel moves the command there, and leaves a script in `bin` that executes it
    candidates = [package.parent / "reftracer.scripts" / "reftracer"]
    # PREFIX/lib/python3.x/site-packages/reftracer
    if len(package.parents) > 3:
        candidates.append(package.parents[3] / "bin" / "reftracer")
    candidates += [
        package.parent / "bin" / "reftracer",  # pip install --target
        package.parent.parent / "build" / "reftracer",
        Path(sysconfig.get_path("scripts")) / "reftracer",
    ]
    for candidate in candidates:
        if candidate.is_file():
            return str(candidate)
    found = shutil.which("reftracer")
    if found:
        return found
    raise ReftracerError(
        f"the native reftracer command is neither installed with {package} nor in PATH; "
        "install the package (pip install .) or run make build"
    )


def native_library(name: str) -> str:
    """Path of a native library that was installed or built with the command.

    Raises ReftracerError if it is not there.
    """
    package = Path(__file__).resolve().parent
    native = Path(command()).resolve().parent
    candidates = [
        package.parent / ".reftracer.mesonpy.libs" / "reftracer" / name,
        native / name,
        *sorted(native.parent.glob(f"lib*/reftracer/{name}")),
        *sorted(native.parent.glob(f"lib*/*/reftracer/{name}")),
    ]
    for candidate in candidates:
        if candidate.is_file():
            return str(candidate)
    raise ReftracerError(f"{name} is neither beside {command()} nor in the libraries of {package}")


def agent() -> str:
    """Path of the tracing agent. ``REFTRACER_AGENT`` overrides it.

    Raises ReftracerError if it is not there.
    """
    return os.environ.get("REFTRACER_AGENT") or native_library("libreftracer-agent.so")


def output_of(arguments: Sequence[str]) -> str:
    """Runs the native command and returns what it printed.

    Raises ReftracerError with its message if it fails.
    """
    # The process may be traced itself; the command, which may be started by a Python
    # (auditwheel's wheels do that), is not to be.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in TRACED_ENVIRONMENT and not (name == "LD_PRELOAD" and "reftracer" in value)
    }
    done = subprocess.run(
        [command(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        message = done.stderr.decode("utf-8", "replace").strip()
        raise ReftracerError(message or f"reftracer {arguments[0]} ended with {done.returncode}")
    return done.stdout.decode("utf-8", "replace")

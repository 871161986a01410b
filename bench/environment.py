"""The Python that is measured, with memray and pyperformance in a venv of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ("memray==1.20.0", "pyperformance==1.14.0")


def cache():
    return Path(os.environ.get("REFTRACER_CACHE", "/var/cache/reftracer"))


def default_python():
    fetched = cache() / "cpython" / "bin" / "python3.14"
    if fetched.exists():
        return str(fetched)
    found = shutil.which("python3.14")
    if found:
        return found
    raise SystemExit("bench: no python3.14 here. Fetch it with tools/get-pythons, "
                     "or name another CPython 3.13+ with --python.")


def run(command, doing):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise SystemExit(f"bench: {doing} failed ({' '.join(map(str, command))}):\n{tail}")
    return done.stdout


def describe(python):
    """Version text, base folder and build flavour of a Python."""
    return json.loads(run([python, "-c", """
import json, sys, sysconfig
print(json.dumps({
    "version": sys.version,
    "release": ".".join(map(str, sys.version_info[:3])),
    "base": sys.base_prefix,
    "threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "debug": hasattr(sys, "gettotalrefcount"),
}))"""], f"asking {python} what it is"))


def pip_of(python, base):
    """A pip command for a venv's python. Debian's CPythons take theirs from a
    wheel of the host's, which may be too old for them: their own lies beside."""
    wheels = sorted(Path(base, "share", "python-wheels").glob("pip-*.whl"))
    if wheels:
        return [python, str(wheels[-1] / "pip")]
    run([python, "-m", "ensurepip"], "installing pip")
    return [python, "-m", "pip"]


def prepared(python):
    """Path of a venv's python, made at the first call and reused then."""
    about = describe(python)
    flavour = about["release"] + ("t" if about["threaded"] else "") + ("d" if about["debug"] else "")
    venv = cache() / "bench" / flavour
    inside = venv / "bin" / "python"
    stamp = venv / "requirements"
    wanted = "\n".join((*REQUIREMENTS, about["version"], about["base"]))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return str(inside), about
    print(f"bench: a venv with {', '.join(REQUIREMENTS)} into {venv}", file=sys.stderr)
    shutil.rmtree(venv, ignore_errors=True)
    run([python, "-m", "venv", "--without-pip", str(venv)], "making a venv")
    run([*pip_of(str(inside), about["base"]), "install", "-q", "--no-input", *REQUIREMENTS],
        "installing " + ", ".join(REQUIREMENTS))
    stamp.write_text(wanted, encoding="utf-8")
    return str(inside), about


def machine():
    """One line about the machine: processor, cores, memory, kernel."""
    model, memory = "unknown processor", 0
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    return (f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, "
            f"Linux {os.uname().release.partition('-')[0]}")

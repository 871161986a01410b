"""Compiles what uses the library: with the compiler's own name for it, against the headers
of this checkout and the libreftracer of the build folder."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from conftest import BUILD, ROOT

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def compile_c(source, to, *more, compiler=None, standard="-std=c17"):
    """`source` made into `to`; a name that ends in .so becomes a shared object."""
    compiler = compiler or os.environ.get("CC", "cc")
    shared = ["-shared", "-fPIC"] if str(to).endswith(".so") else []
    done = subprocess.run(
        [*shlex.split(compiler), standard, "-D_GNU_SOURCE", "-g", "-O1", *WARNINGS, *shared,
         "-I", ROOT / "include", source, "-o", to, "-L", BUILD, f"-Wl,-rpath,{BUILD}",
         "-lreftracer", "-lpthread", *more],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return to


def headers_of(python):
    """The folder of a CPython's Python.h; a Python that somebody installed may lack it."""
    show = "import sysconfig; print(sysconfig.get_paths()['include'])"
    done = subprocess.run([python, "-c", show], check=True, capture_output=True, text=True)
    headers = Path(done.stdout.strip())
    if not (headers / "Python.h").exists():
        pytest.skip(f"{python} has no headers to compile an extension with ({headers}/Python.h)")
    return headers


def compile_extension(python, to, *sources):
    """A module of Python written in C, for one CPython. Debian's headers include the
    machine's own pyconfig.h by a path from the folder above theirs, which has the headers of
    another libc too: it is looked at last."""
    headers = headers_of(python)
    done = subprocess.run(
        [*shlex.split(os.environ.get("CC", "cc")), "-std=c17", "-D_GNU_SOURCE", "-g", "-O1",
         "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", ROOT / "src",
         "-I", ROOT / "include", "-I", headers, "-idirafter", headers.parent, *sources, "-o", to],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return to

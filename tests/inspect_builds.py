"""Pythons as they are found in the wild: stripped, without section headers, deleted,
renamed, embedded, linked with a static or a shared libpython, position-independent or not.

Each maker gives a Layout: a command that is a Python of this version, and the environment
that it needs. Those that a version can't have (pyenv's are shared, Debian's static) raise
NotForThis."""

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

from conftest import ROOT
from inspect_targets import PROGRAMS


class NotForThis(Exception):
    pass


class Layout:
    def __init__(self, command, **environment):
        self.command = [str(part) for part in command]
        self.environment = environment


def about(python):
    """base folder, folder and name of the shared libpython ("" if there is none), and whether
    the executable contains libpython."""
    text = subprocess.run(
        [python, "-IBSc", "import sys, sysconfig as s\n"
         "print(sys.base_prefix, s.get_config_var('LIBDIR'), s.get_config_var('INSTSONAME'), sep='\\n')"],
        check=True, capture_output=True, text=True).stdout.splitlines()
    linked = subprocess.run(["readelf", "-d", os.path.realpath(python)], check=True,
                            capture_output=True, text=True).stdout
    return Path(text[0]), Path(text[1]), text[2], "libpython" not in linked


def interpreter_of(executable):
    """The dynamic loader that an executable asks for."""
    text = subprocess.run(["readelf", "-lW", os.path.realpath(executable)], check=True,
                          capture_output=True, text=True).stdout
    return re.search(r"program interpreter: (.*)\]", text).group(1)


def without_section_headers(path):
    """As `strip --strip-section-headers` of newer binutils leaves it."""
    content = bytearray(Path(path).read_bytes())
    assert content[:5] == b"\x7fELF\x02"
    struct.pack_into("<Q", content, 0x28, 0)  # e_shoff
    struct.pack_into("<3H", content, 0x3A, 0, 0, 0)  # e_shentsize, e_shnum, e_shstrndx
    Path(path).write_bytes(content)


def copied(python, folder, name, change=None):
    """A copy of the file that contains the runtime, changed; started so that it is used.
    Also returns the path of that file."""
    base, library_folder, library, static = about(python)
    executable = folder / name
    source = os.path.realpath(python)
    if not static:
        shutil.copy(source, executable)
        changed = folder / library
        shutil.copy(library_folder / library, changed)
        if change:
            change(changed)
    else:
        changed = executable
        loader = interpreter_of(python)
        relocated = not loader.startswith(("/lib", "/usr/lib"))
        if relocated and change:
            # tools/get-pythons has moved its parts in a way that strip can't follow: strip
            # what it was made of, and move that.
            source = root_of(base) / "usr" / "bin" / Path(source).name
        shutil.copy(source, changed)
        if change:
            change(changed)
        if relocated and change:
            headers = changed.read_bytes()[0x28:0x30] != bytes(8)
            subprocess.run([ROOT / "tools" / "relocate-elf", changed, folder / "moved", loader,
                            os.path.dirname(loader)], check=True)
            (folder / "moved").replace(changed)
            if not headers:
                without_section_headers(changed)
    changed.chmod(0o755)
    return Layout([executable], PYTHONHOME=str(base), LD_LIBRARY_PATH=str(folder)), changed


def root_of(base):
    """The Debian tree that tools/get-pythons took a Python from."""
    return Path(os.path.realpath(base / "lib")).parent.parent


def stripped(python, folder):
    def strip(path):
        subprocess.run(["strip", "-s", path], check=True)

    return copied(python, folder, "python", strip)[0]


def headerless(python, folder):
    def strip(path):
        subprocess.run(["strip", "-s", path], check=True)
        without_section_headers(path)

    return copied(python, folder, "python", strip)[0]


def renamed(python, folder):
    """Without "python" in any name."""
    if not about(python)[3]:
        raise NotForThis("its libpython has the name")
    return copied(python, folder, "backend-server", None)[0]


def oddly_named(python, folder):
    odd = folder / "a b\n(deleted)\t\u65e5\u672c"
    odd.mkdir()
    layout, _ = copied(python, odd, "py (deleted)")
    return layout


def compiler(python, folder, source, *options):
    output = folder / "billing"
    loader = interpreter_of(python)
    extra = [f"-Wl,--disable-new-dtags,--dynamic-linker={loader}"]
    if "/cache/" in loader or not loader.startswith("/lib"):
        extra.append(f"-Wl,-rpath={os.path.dirname(loader)}")
    done = subprocess.run(["gcc", "-O1", "-o", output, source, *options, *extra],
                          capture_output=True, text=True)
    return output, done


def shared_library(python):
    base, folder, name, static = about(python)
    candidates = [folder / name] if not static else []
    version = "%d.%d%s" % (*python.version[:2], "d" if python.debug else "")
    if not candidates:
        candidates = sorted(base.glob(f"lib/*/libpython{version}.so.1.0"))
    if not candidates or not candidates[0].exists():
        raise NotForThis("no shared libpython beside it")
    return base, candidates[0]


def embedded_dlopen(python, folder):
    """libpython under another name, loaded with dlopen by a program that is not Python's."""
    base, library = shared_library(python)
    plugin = folder / "engine.so"
    shutil.copy(library, plugin)
    program, done = compiler(python, folder, PROGRAMS / "embed.c", "-ldl")
    assert done.returncode == 0, done.stderr
    return Layout([program, plugin], PYTHONHOME=str(base))


def embedded_shared(python, folder, *options):
    """A program linked with the shared libpython."""
    base, library = shared_library(python)
    program, done = compiler(
        python, folder, PROGRAMS / "embed.c", "-DLINKED", *options, library,
        f"-Wl,-rpath={library.parent}", "-Wl,--allow-shlib-undefined")
    assert done.returncode == 0, done.stderr
    return Layout([program, ""], PYTHONHOME=str(base))


def embedded_shared_not_pie(python, folder):
    return embedded_shared(python, folder, "-no-pie")


def embedded_static(python, folder, pie):
    """A program with libpython in it that exports nothing: stripped and without section
    headers, so that neither a symbol nor a section names the runtime."""
    base, _, _, static = about(python)
    if not static or python.debug or not (base / "lib" / "x86_64-linux-gnu").exists():
        raise NotForThis("no static libpython beside it")
    if pie and python.version >= (3, 14):
        raise NotForThis("Debian's libpython-pic.a, linked so, crashes at its start")
    version = "%d.%d" % python.version[:2]
    archive = base / f"lib/python{version}/config-{version}-x86_64-linux-gnu" / (
        f"libpython{version}-pic.a" if pie else f"libpython{version}.a")
    if not archive.exists():
        raise NotForThis(f"no {archive}")
    options = ["-DLINKED", "-pie" if pie else "-no-pie", "-s", f"--sysroot={root_of(base)}", archive,
               f"-L{base}/lib/x86_64-linux-gnu", "-lexpat", "-lz", "-lm", "-ldl"]
    program, done = compiler(python, folder, PROGRAMS / "embed.c", *options)
    # Debian's archive lacks parts of modules that our target does not use.
    missing = sorted(set(re.findall(r"undefined reference to `(\w+)'", done.stderr)))
    for _ in range(3):
        if done.returncode == 0:
            break
        program, done = compiler(python, folder, PROGRAMS / "embed.c", *options,
                                 *[f"-Wl,--defsym={name}=0" for name in missing])
        missing = sorted(set(missing + re.findall(r"undefined reference to `(\w+)'", done.stderr)))
    assert done.returncode == 0, done.stderr[-2000:]
    without_section_headers(program)
    return Layout([program, ""], PYTHONHOME=str(base))


def embedded_static_pie(python, folder):
    return embedded_static(python, folder, True)


def embedded_static_not_pie(python, folder):
    return embedded_static(python, folder, False)


def through_loader(python, folder):
    """Started as an argument of the dynamic loader: /proc/PID/exe is the loader."""
    base = about(python)[0]
    return Layout([interpreter_of(python), os.path.realpath(python)], PYTHONHOME=str(base))


LAYOUTS = {
    function.__name__: function
    for function in (stripped, headerless, renamed, oddly_named, through_loader, embedded_dlopen,
                     embedded_shared, embedded_shared_not_pie, embedded_static_pie,
                     embedded_static_not_pie)
}

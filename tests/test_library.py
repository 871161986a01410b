"""libreftracer as a library: its headers in C and C++, what it exports, pkg-config after an
installation, and the examples for authors of tools."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import BUILD, ROOT, run_command
from library_build import WARNINGS, compile_c, headers_of

HEADERS = sorted((ROOT / "include" / "reftracer").glob("*.h"))
CACHE = os.environ.get("REFTRACER_CACHE", "/var/cache/reftracer")
DOCUMENTS = [ROOT / "docs" / "LIBRARY.md", ROOT / "docs" / "ABI.md"]


def declared():
    """The functions that the public headers declare."""
    names = set()
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
        names |= set(re.findall(r"\b(rft_\w+)\(", text))
    return names


def exported(library):
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines}


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header.name)
@pytest.mark.parametrize(
    "compiler", [["cc", "-std=c17", "-x", "c"], ["g++", "-std=c++11", "-x", "c++"],
                 ["g++", "-std=c++20", "-x", "c++"]],
    ids=["C17", "C++11", "C++20"],
)  # fmt: skip
def test_each_public_header_stands_alone(header, compiler):
    text = f"#include <reftracer/{header.name}>\n#include <reftracer/{header.name}>\n"
    done = run_command(
        [*compiler, *WARNINGS, "-I", ROOT / "include", "-fsyntax-only", "-"], input=text.encode()
    )
    assert done.returncode == 0, done.stderr.decode()


CALLS = """
#include <reftracer/error.h>
#include <reftracer/runtime.h>
#include <reftracer/trace.h>
#include <reftracer/tracer.h>
#include <reftracer/tss.h>
#include <cstdio>
static rft_tss key = RFT_TSS_NEEDS_INIT;
int main()
{
    rft_tss_create(&key);
    rft_tss_set(&key, &key);
    rft_tracer_id id;
    rft_error *error = nullptr;
    int result = rft_tracer_add([](_object *, int, void *) { return 0; }, nullptr, &id, &error);
    std::printf("%d %d %d\\n", rft_tss_get(&key) == &key, result, error->code);
    rft_error_destroy(error);
}
"""


def test_a_cpp_program_calls_the_library(tmp_path):
    source = tmp_path / "calls.cpp"
    source.write_text(CALLS)
    program = compile_c(source, tmp_path / "calls", compiler="g++", standard="-std=c++17")
    done = run_command([program])
    assert (done.returncode, done.stdout) == (0, b"1 -1 11\n")  # RFT_ERROR_NOT_PYTHON


WITH_PYTHON_H = """
#include <Python.h>
#include <reftracer/tracer.h>
static int count(PyObject *op, int event, void *data)
{
    (void)op;
    return event == PyRefTracer_CREATE ? ++*(int *)data : 0;
}
_Static_assert(RFT_TRACER_CREATE == (int)PyRefTracer_CREATE, "");
_Static_assert(RFT_TRACER_DESTROY == (int)PyRefTracer_DESTROY, "");
#if PY_VERSION_HEX >= 0x030F0000
_Static_assert(RFT_TRACER_REMOVED == (int)PyRefTracer_TRACKER_REMOVED, "");
#endif
rft_tracer_function mine = count;
PyRefTracer theirs = (PyRefTracer)(void (*)(void))count; /* an enum where we have an int */
"""


def python_include(python):
    """Its headers; a part of Debian's is found from /usr/include, which is in the cache."""
    return ["-I", headers_of(python), "-idirafter", f"{CACHE}/sid/usr/include"]


@pytest.mark.free_threaded
def test_TR1_the_header_agrees_with_python_h(any_python, tmp_path):
    (tmp_path / "with.c").write_text(WITH_PYTHON_H)
    compile_c(tmp_path / "with.c", tmp_path / "with.so", *python_include(any_python))


def test_the_library_exports_what_its_headers_declare_and_nothing_else():
    names = exported(BUILD / "libreftracer.so")
    # Asked by other copies of the library in one process (src/tracer/share.h).
    assert names - {"reftracer_sharing"} == declared()


def test_each_public_function_is_in_the_reference():
    text = (ROOT / "docs" / "LIBRARY.md").read_text()
    assert [name for name in sorted(declared()) if f"`{name}`" not in text] == []
    done = run_command([ROOT / "tools" / "library-reference", "--check"])
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An installation of a build of its own, and the environment for pkg-config."""
    prefix = tmp_path_factory.mktemp("installed")
    build = tmp_path_factory.mktemp("build")
    for arguments in (
        ["meson", "setup", build, ROOT, "--prefix", prefix, "--libdir", "lib", "-Dtests=disabled"],
        ["ninja", "-C", build, "--quiet", "install"],
    ):
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
    shutil.rmtree(build)
    return prefix, {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}


def test_pkg_config_knows_an_installed_library(installed, tmp_path):
    prefix, environment = installed
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "reftracer"],
        check=True, capture_output=True, text=True, env=environment,
    ).stdout.split()  # fmt: skip
    assert f"-I{prefix}/include" in flags and "-lreftracer" in flags
    program = tmp_path / "thread_counters"
    subprocess.run(
        ["cc", "-std=gnu17", *WARNINGS, ROOT / "examples" / "thread_counters.c", "-o", program,
         *flags, "-lpthread"],
        check=True,
    )  # fmt: skip
    done = run_command([program], env={"LD_LIBRARY_PATH": str(prefix / "lib")})
    assert (done.returncode, done.stdout) == (0, COUNTED)
    assert sorted(path.name for path in (prefix / "include" / "reftracer").iterdir()) == [
        header.name for header in HEADERS
    ]


COUNTED = b"10 threads have counted 10000\n0 threads are left, ended ones have counted 10000\n"


def test_TS8_TS9_the_example_of_counters(tmp_path):
    program = compile_c(ROOT / "examples" / "thread_counters.c", tmp_path / "counters")
    done = run_command([program])
    assert (done.returncode, done.stdout) == (0, COUNTED)


@pytest.mark.free_threaded
def test_TR7_the_example_of_an_extension_module(any_python, tmp_path):
    compile_c(
        ROOT / "examples" / "births_by_type.c", tmp_path / "births_by_type.so",
        *python_include(any_python),
    )  # fmt: skip
    program = (
        "import births_by_type as b; b.start(); x = [[] for i in range(9)]; "
        "births, more = b.stop(); print(births['list'], more >= 10, b.start(), b.stop()[1] < more)"
    )
    # -W error: without the GIL, CPython warns of a module that needs it.
    done = run_command([any_python, "-W", "error", "-c", program], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"10 True None True\n"), done.stderr.decode()


def test_a_program_of_another_author_reads_a_trace(python, trace, tmp_path):
    read = compile_c(ROOT / "tests" / "library" / "read_trace.c", tmp_path / "read_trace")
    source = tmp_path / "program.py"
    source.write_text("class Thing: pass\nfor i in range(100): Thing()\nkept = [Thing() for i in range(7)]\n")
    path = trace(python, source).path
    done = run_command([read, path, "__main__.Thing"])
    assert done.returncode == 0
    assert sorted(done.stdout.decode().splitlines()) == [
        "0 sites do not add up, end 1",
        "line 2: 100 born, 100 died, 0 alive",
        "line 3: 7 born, 0 died, 7 alive",
    ]
    done = run_command([read, source])
    assert (done.returncode, done.stdout) == (1, b"error 4\n")  # RFT_ERROR_NOT_TRACE


def test_functions_that_lack_what_they_need_say_so(python, trace, tmp_path):
    traced = trace(python, "-c", "kept = [[] for _ in range(50)]", options=["--holders"])
    program = compile_c(ROOT / "tests" / "library" / "arguments.c", tmp_path / "arguments")
    done = run_command([program, traced.path])
    assert (done.returncode, done.stdout) == (0, b"as expected\n")


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.c")), ids=lambda e: e.name)
def test_an_example_has_fewer_than_80_lines(example):
    assert len(example.read_text().splitlines()) < 80


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_documents_name_only_what_is_there(document):
    known = declared() | exported(BUILD / "libreftracer.so")
    text = "".join(header.read_text() for header in HEADERS)
    for name in set(re.findall(r"\b(rft_[a-z]\w+)", document.read_text())):
        assert name in known or re.search(rf"\b{name}\b", text), name

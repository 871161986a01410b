"""The Python package's results in other tools: pandas, polars, pyarrow, IPython, Jupyter. With
one CPython, as these tools have no wheels for the newest, and nothing here depends on it."""

import re
import tempfile
from pathlib import Path

import pytest
from conftest import BUILD, ROOT, run_command
from environments import environment

PROGRAMS = Path(__file__).parent / "programs" / "package"
REQUIREMENTS = PROGRAMS / "requirements.txt"
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT / "python"),
    "REFTRACER_COMMAND": str(BUILD / "reftracer"),
    "HOME": "/nonexistent",
    "TMPDIR": tempfile.gettempdir(),  # IPython makes one there that it leaves
}


@pytest.fixture(scope="session")
def tools_python(pythons):
    """A virtual environment's python with all of them; made once and kept in the cache."""
    python = next((p for p in pythons if p.version[:2] == (3, 14)), None)
    if python is None:
        pytest.skip("needs CPython 3.14, which all these tools have wheels for")
    return environment(python, f"package-{python.name}", REQUIREMENTS)


def run(python, *arguments, **more):
    environment = {**ENVIRONMENT, "PATH": f"{Path(python).parent}:/usr/bin:/bin"}
    done = run_command([python, *arguments], env=environment, text=True, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_tables_go_to_pandas_polars_and_pyarrow(tools_python, pythons, trace):
    traced = trace(pythons[-1], "-c", "import email\nkept = [object() for _ in range(10)]")
    done = run(tools_python, "-X", "dev", PROGRAMS / "consumers.py", traced.path)
    assert (done.stdout, done.stderr) == ("fine\n", "")


MAGIC = """\
--- %load_ext reftracer
--- class Node: pass
--- %%reftrace -n traced
# born, # died, # alive at the end (# bytes)
Alive, born in this cell:
  100 (# bytes)  __main__.Node  line 1 <genexpr>
Died within 1 ms, born in this cell:
  ###  __main__.Node  line 2 <module>
"""


def test_a_cell_is_traced_in_ipython(tools_python, tmp_path):
    done = run(tools_python, PROGRAMS / "magic.py", cwd=tmp_path)
    text = re.sub(r"\b\d[\d,]*(?= (born|died|alive|bytes))", "#", done.stdout)
    died = int(re.search(r"^  (\d+)  __main__.Node  line 2", text, re.MULTILINE)[1])
    # Not all: now and then the clock moves on between a birth and its death.
    assert 150 < died <= 200
    assert text.startswith(MAGIC.replace("###", str(died))), done.stdout
    parts = dict(re.findall(r"^--- (.*?)\n(.*?)(?=^---|\Z)", done.stdout, re.S | re.M))
    assert "Out[0]: 100" in parts["%%reftrace -n traced"]
    with_error = done.stdout.partition("raise KeyError")[0]
    assert "__main__.Node  line 1 <module>" in with_error.rpartition("--- %%reftrace")[2]
    assert "unrecognized arguments: --frobnicate; %%reftrace? shows" in done.stdout
    assert "100 alive" in parts["print(traced.survivors('Node'))"]
    assert re.search(
        r"Part of the trace that goes on: .*\.rft\nAlive, born in this cell:\n"
        r"  1  __main__.Node  line 1 <module>\n",
        parts["import reftracer"],
    )
    assert "Cell magic `%%reftrace` not found" in done.stdout + done.stderr


def test_a_cell_is_traced_in_a_notebook(tools_python, tmp_path):
    environment = {**ENVIRONMENT, "HOME": str(tmp_path)}
    environment["PATH"] = f"{tools_python.parent}:/usr/bin:/bin"
    done = run_command(
        [tools_python, PROGRAMS / "notebook.py"], cwd=tmp_path, env=environment, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1:3] == ["Alive, born in this cell:", lines[2]]
    assert re.fullmatch(r"  100 \([\d,]+ bytes\)  __main__.Node  line 1 <genexpr>", lines[2])
    assert "1 site of survivors:" in lines
    assert re.fullmatch(
        r"  100 alive  [\d,]+ bytes  __main__.Node  .*ipykernel.*:1 <genexpr>", lines[-1]
    )

"""Why is this object alive? The agent's answer, asked from inside of a program."""

import subprocess
from pathlib import Path

import pytest
from conftest import BUILD, ROOT, TIMEOUT

AGENT = BUILD / "libreftracer-agent.so"
PROGRAMS = ROOT / "tests" / "programs" / "heap"


def run(python, program, *path, arguments=()):
    done = subprocess.run(
        [python, PROGRAMS / program, AGENT, *arguments], timeout=TIMEOUT,
        env={"PYTHONPATH": ":".join(path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def objgraph(tmp_path_factory):
    """A folder that has objgraph and nothing else: the programs run in every CPython."""
    import objgraph as module

    folder = tmp_path_factory.mktemp("objgraph")
    (folder / "objgraph.py").write_text(Path(module.__file__).read_text())
    return str(folder)


def test_paths_are_real_and_no_longer_than_those_of_objgraph(python, objgraph):
    lines = run(python, "ask.py", objgraph).splitlines()
    assert len(lines) == 1, "\n".join(lines)
    words = lines[0].split()
    assert words[:2] == ["asked", "80,"]
    assert int(words[2]) >= 40 and int(words[4]) == 3


def test_the_answer_names_the_variables_of_the_program_and_not_the_asker(python):
    assert run(python, "answers.py").splitlines()[-1] == "as expected"

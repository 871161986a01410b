"""numpy's arrays have no tp_traverse: what they hold is known all the same, and is not taken for
leaked by C code."""

from pathlib import Path

import pytest
from environments import environment
from sites import line_of

FOLDER = Path(__file__).parent / "programs" / "arrays"
PROGRAM = FOLDER / "tables.py"


@pytest.fixture(scope="module")
def numpy_python(python):
    return environment(python, f"arrays-{python.name}", FOLDER / "requirements.txt")


def test_objects_in_arrays_have_the_arrays_as_holders(numpy_python, trace):
    traced = trace(numpy_python, PROGRAM, options=["--holders"])
    assert traced.status == 0, traced.stderr
    places = {
        (place["type"], place["stack"][0]["line"]): place
        for place in traced.report["heap"]["places"]
        if place["stack"] and place["stack"][0]["file"].endswith("tables.py")
    }
    text = PROGRAM.read_text()
    for type_name, born, count, path in [
        ("__main__.Row", "rows", 1200, "__main__.columns[*].base[*]"),
        ("numpy.ndarray", "samples", 300, "__main__.windows[*].base"),
        ("__main__.Cell", "cell", 300, "__main__.tables[*].base[*]"),
    ]:
        place = places[type_name, line_of(text, f"born: {born}")]
        assert place["refcounts"]["surpluses"] == [{"surplus": 0, "objects": count}], place
        assert [pattern["path"] for pattern in place["holders"]] == [path]
    for place in traced.report["heap"]["places"]:
        assert place["refcounts"] is None or not place["refcounts"]["leaked"], place

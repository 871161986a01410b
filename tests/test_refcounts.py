"""The refcount audit, from a C extension with known faults to the report: each fault is found,
on the line that made the object, and code without a fault is not accused."""

import os

import pytest
from conftest import ROOT
from library_build import compile_extension

PROGRAM = ROOT / "tests" / "programs" / "refcounts" / "use_faults.py"


@pytest.fixture(scope="module")
def faults(python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    compile_extension(python, folder / "faults.so", PROGRAM.parent / "faults.c")
    return folder


def born_on():
    """{the word behind "# born:": the number of its line}"""
    lines = enumerate(PROGRAM.read_text().splitlines(), 1)
    return {line.split("# born: ")[1]: number for number, line in lines if "# born: " in line}


def test_each_fault_of_an_extension_is_found_and_what_is_correct_is_not_accused(
    python, faults, trace
):
    environment = {**os.environ, "PYTHONPATH": str(faults)}
    traced = trace(python, PROGRAM, options=["--holders"], env=environment)
    assert traced.status == 0, traced.stderr.decode(errors="replace")
    heap = traced.report["heap"]
    assert [look["label"] for look in heap["looks"] if look["kind"] == "request"] == ["early"]
    found = {}
    for place in heap["places"]:
        for at in place["stack"][:1]:
            if at["file"].endswith("use_faults.py"):
                found[at["line"], place["type"]] = place
    line = born_on()

    leaked = {
        (line["argument"], "__main__.Argument"): "C code alone",
        (line["result"], "list"): "C code alone",
        (line["error"], "list"): "C code alone",
        (line["container"], "bytearray"): "__main__.filled[*]",
        (line["type"], "type"): "C code alone",
        (line["exception"], "KeyError"): "C code alone",
        (line["hidden and leaked"], "__main__.Hidden"): "__main__.opaque[*] → unnamed reference",
    }
    for where, holder in leaked.items():
        refcounts = found[where]["refcounts"]
        assert refcounts["surpluses"] == [{"surplus": 1, "objects": 200}], where
        assert refcounts["leaked"] and not refcounts["too_few"], where
        (pattern,) = found[where]["holders"]
        assert (pattern["objects"], pattern["path"]) == (200, holder)

    released = found[line["released"], "__main__.Released"]["refcounts"]
    assert released["surpluses"] == [{"surplus": -1, "objects": 200}]
    assert released["too_few"] and not released["leaked"]

    accused = {
        where
        for where, place in found.items()
        if place["refcounts"] is not None
        and (place["refcounts"]["leaked"] or place["refcounts"]["too_few"])
    }
    assert accused == {*leaked, (line["released"], "__main__.Released")}
    correct = found[line["correct"], "list"]
    assert correct["refcounts"]["surpluses"] == [{"surplus": 0, "objects": 200}]
    # The holder's type has no tp_traverse, and yet it is known, and no leak is made up.
    hidden = found[line["hidden"], "__main__.Hidden"]
    assert hidden["refcounts"]["surpluses"] == [{"surplus": 0, "objects": 200}]
    (pattern,) = hidden["holders"]
    assert (pattern["objects"], pattern["path"]) == (200, "__main__.opaque[*] → unnamed reference")

"""The refcount audit, from a C extension with known faults to the report: each fault is found,
on the line that made the object, and code without a fault is not accused."""

import os

import pytest
from conftest import ROOT
from environments import environment
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
        (line["enclosed and leaked"], "__main__.Enclosed"): "C code alone",
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
    # Nor is what a capsule owns, as its destructor tells.
    for hidden in [(line["hidden"], "__main__.Hidden"), (line["enclosed"], "__main__.Enclosed")]:
        assert found[hidden]["refcounts"]["surpluses"] == [{"surplus": 0, "objects": 200}]
        (pattern,) = found[hidden]["holders"]
        path = "__main__.opaque[*] → unnamed reference"
        assert (pattern["objects"], pattern["path"]) == (200, path)


def test_what_waiting_greenlets_have_in_their_frames_is_theirs(python, trace):
    program = ROOT / "tests" / "programs" / "greenlets" / "waiting.py"
    own = environment(python, f"greenlets-{python.name}", program.parent / "requirements.txt")
    traced = trace(own, program, options=["--holders"])
    assert traced.status == 0, traced.stderr.decode(errors="replace")
    places = {place["type"]: place for place in traced.report["heap"]["places"]
              if place["type"].startswith("__main__.")}  # fmt: skip
    paths = {
        "__main__.Argument": "__main__.waiting[*] → suspended local argument",
        "__main__.Local": "__main__.waiting[*] → suspended local local",
        "__main__.Below": "__main__.waiting[*] → suspended local found",
    }
    assert not any(place["refcounts"] and place["refcounts"]["too_few"]
                   for place in traced.report["heap"]["places"])  # fmt: skip
    # From 3.14 on the frame that was called last only borrows it from the generator.
    assert places["__main__.Yielding"]["refcounts"]["surpluses"] == [{"surplus": 0, "objects": 200}]
    [yielding] = places["__main__.Yielding"]["holders"]
    assert yielding["path"] in (
        "__main__.waiting[*] → suspended local value",
        "__main__.waiting[*] → value stack → its iterators[*] → suspended local own",
    )
    for type_name, path in paths.items():
        assert places[type_name]["refcounts"]["surpluses"] == [{"surplus": 0, "objects": 200}]
        assert [held["path"] for held in places[type_name]["holders"]] == [path], type_name

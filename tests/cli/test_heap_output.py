"""What `report` makes of a heap that was looked through, on traces made by hand. Whole outputs
are compared with the files in tests/cli/expected/, as in test_report_output.py."""

import json
import os
from pathlib import Path

import pytest

import rftwrite as rft
from rftwrite import Trace, births, edge, root

EXPECTED = Path(__file__).parent / "expected"
MAIN = ("/srv/app.py", "main", 10)
MODULE, C = root(rft.ROOT_MODULE, "app"), [root(rft.ROOT_C)]


def attribute(name, holder="module"):
    return edge(rft.ATTRIBUTE, holder, name)


def bus(heap=True):
    """20 s of a service: listeners in a list that a module has, buffers that C code leaks, a
    chain of nodes, prices in a dict by user, one object with a reference too few."""
    trace = Trace()
    listener = trace.site([MAIN, ("/srv/shop/basket.py", "Basket.checkout", 25)], "shop.Listener")
    buffer = trace.site([MAIN, ("/srv/shop/f.py", "load", 8)], "shop.Buffer")
    node = trace.site([MAIN, ("/srv/shop/tree.py", "grow", 30)], "shop.Node")
    price = trace.site([MAIN, ("/srv/shop/prices.py", "Prices.get", 31)], "shop.Price")
    shape = trace.site([MAIN, ("/srv/shop/f.py", "shape", 3)], "shop.Shape")
    survivors = {site: [] for site in (listener, buffer, node, price, shape)}
    for tick in range(1, 201):
        happened = {listener: 5, buffer: 60, node: 4}
        if tick <= 5:
            happened[price] = 40
        if tick == 1:
            happened[shape] = 1
        for site, count in happened.items():
            survivors[site].append((tick * 100 - 100, 100, count, 48 * count))
        trace.tick(tick * 100, {site: births(count) for site, count in happened.items()})
    trace.census(20_000, survivors)
    if not heap:
        trace.end(20_000)
        return trace

    in_list = [MODULE, attribute("bus"), attribute("__dict__", "shop.Bus"),
               edge(rft.DICT_VALUE, "dict", "_listeners"), edge(rft.ITEM, "list", index=17)]
    local = [root(rft.ROOT_LOCAL, "pending", "checkout in thread worker-1"),
             edge(rft.ITEM, "list", index=3)]
    closure = [root(rft.ROOT_MODULE, "shop.signals"), edge(rft.DICT_VALUE, "dict", "handlers"),
               edge(rft.DICT_VALUE, "dict", "paid"), edge(rft.CLOSURE, "function", "self"),
               edge(rft.ITEM, "tuple", index=0), edge(rft.CELL, "cell")]

    def session(user):
        return [MODULE, attribute("sessions"), edge(rft.DICT_VALUE, "dict", user),
                attribute("last", "shop.Session")]

    def chain(length):
        return [root(rft.ROOT_MODULE, "__main__"), attribute("head"),
                *[attribute("next", "shop.Node")] * length]

    trace.heap(20_000, objects=120_345, references=431_022, size=31 << 20, pause=412,
               garbage=(24, 1900), collector=(310, 2))
    trace.holders(20_000, {
        listener: (1000, 2 << 20, 1000, 2, [(960, in_list), (20, local), (18, closure)]),
        buffer: (12_000, 576_000, 200, 0, [(200, C)]),
        node: (800, 44_800, 60, 0, [(1, chain(length)) for length in range(1, 61)]),
        price: (200, 12_800, 200, 0, [(20, session(f"user-{n}")) for n in range(10)]),
    })
    trace.refcounts(20_000, {listener: {0: 1000}, buffer: {1: 12_000}, node: {-1: 3, 0: 797},
                             price: {0: 160, 1: 40}, shape: {12_003: 1}})
    trace.garbage(20_000, {listener: (2, 96), node: (22, 1804)}, [
        (node, 11, 22, [attribute("children", "shop.Node"), edge(rft.ITEM, "list", index=0),
                        attribute("parent", "shop.Node")])])
    trace.retainers(20_000, [
        (0, "dict", 640, 20 << 20, 80_123, session("-")[:2]),
        (listener, "shop.Listener", 48, 3 << 20, 1200, in_list)])
    trace.end(20_000)
    return trace


@pytest.fixture
def report(reftracer, tmp_path):
    """report(trace, *arguments) -> stdout, on a page of 80 columns."""

    def report(trace, *arguments, locale="C.UTF-8"):
        trace.write(tmp_path / "app.rft")
        done = reftracer("report", "app.rft", *arguments, cwd=tmp_path, env={
            "PATH": os.environ["PATH"], "LC_ALL": locale, "TZ": "UTC", "COLUMNS": "80"})
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    return report


def heap_of(report, trace):
    return json.loads(report(trace, "--json"))["heap"]


@pytest.mark.parametrize("view", ["holders", "retained", "refcounts", "garbage", "summary"])
def test_views_of_the_heap(report, view):
    output = report(bus(), "--view", view)
    file = EXPECTED / f"heap-{view}.txt"
    if os.environ.get("REFTRACER_WRITE_EXPECTED"):
        file.write_text(output)
    assert output == file.read_text()


def test_without_a_heap_the_summary_says_how_to_get_one_and_the_views_do(report):
    assert "Who holds them: trace with 'reftracer run --holders'." in report(bus(heap=False))
    for view in ("holders", "retained", "refcounts", "garbage"):
        output = report(bus(heap=False), "--view", view)
        assert "run the program again with 'reftracer run --holders'" in output.replace("\n", " ")
    assert heap_of(report, bus(heap=False)) is None


def test_arrows_are_ascii_where_the_locale_is(report):
    output = report(bus(), "--view", "holders", locale="C")
    assert "shop.signals.handlers['paid'] -> variable self (18 of 1,000)" in output


def test_a_filter_leaves_out_other_sites(report):
    output = report(bus(), "--view", "holders", "--filter", "basket.py")
    assert "_listeners[*]" in output and "shop.Buffer" not in output
    output = report(bus(), "--view", "garbage", "--filter", "basket.py")
    assert "shop.Listener" in output and "children" not in output


def one_site(looks, size=50):
    """A site without growth and what each look says of it: a function each."""
    trace = Trace()
    site = trace.site([MAIN], "shop.Thing")
    trace.tick(100, {site: births(size)})
    for number, look in enumerate(looks):
        trace.heap(200 + number, kind=rft.HEAP_REQUEST, label=f"mark {number}")
        look(trace, site, 200 + number)
    trace.census(900, {site: [(0, 100, size, 48 * size)]})
    trace.end(900)
    return trace


def verdicts(report, trace):
    refcounts = heap_of(report, trace)["places"][0]["refcounts"]
    return {name for name in ("leaked", "suspected", "piled", "too_few") if refcounts[name]}


def audit(pairs):
    return lambda trace, site, at: trace.refcounts(at, {site: pairs})


@pytest.mark.parametrize("looks, expected", [
    ([{0: 1000}], set()),
    ([{0: 10, 1: 40}], set()),  # C code holds some, and no growth is seen
    ([{1: 5000}], {"suspected"}),  # a table of C code, perhaps
    ([{0: 1, 1: 19}], set()),
    ([{0: 2, 1: 20}], {"suspected"}),
    ([{0: 3, 1: 20}], set()),
    ([{1: 40}, {1: 40}], set()),  # constant
    ([{1: 40}, {1: 45}], set()),
    ([{1: 40}, {1: 60}], {"leaked"}),
    ([{0: 40}, {0: 40, 1: 12}], {"leaked"}),
    ([{1: 400}, {1: 450}], set()),  # a table that gets a few more
    ([{999: 1}], set()),
    ([{1000: 1}], {"piled"}),
    ([{1000: 1}, {1000: 1}], set()),
    ([{1000: 1}, {1250: 1}], {"piled"}),
    ([{-1: 1, 0: 1000}], {"too_few"}),
    ([{-1: 1, 0: 9}, {-1: 1, 0: 9, 2: 100}], {"too_few", "leaked"}),
])
def test_refcounts_accuse_what_becomes_more_and_what_has_too_few(report, looks, expected):
    assert verdicts(report, one_site([audit(pairs) for pairs in looks])) == expected


def test_the_last_look_counts_and_sites_that_it_lacks_are_gone(report):
    def hold(name):
        return lambda trace, site, at: trace.holders(at, {
            site: (1, 48, 1, 0, [(1, [MODULE, attribute(name)])])})

    heap = heap_of(report, one_site([hold("first"), hold("second")]))
    assert [look["last"] for look in heap["looks"]] == [False, True]
    assert [look["label"] for look in heap["looks"]] == ["mark 0", "mark 1"]
    assert [held["path"] for held in heap["places"][0]["holders"]] == ["app.second"]
    assert heap_of(report, one_site([hold("first"), lambda *_: None]))["places"] == []


@pytest.mark.parametrize("frames", [
    [MAIN, ("<frozen importlib._bootstrap>", "_call_with_frames_removed", 488)],
    [("/usr/lib/python3.14/json/decoder.py", "JSONDecoder.decode", 345)],
    [],
])
def test_what_imports_and_the_library_make_is_not_suspected(report, frames):
    trace = Trace()
    site = trace.site(frames, "shop.Thing")
    trace.tick(100, {site: births(50)})
    trace.heap(200)
    trace.refcounts(200, {site: {1: 50}})
    trace.end(300)
    assert verdicts(report, trace) == set()


def held_by(report, *paths):
    """The paths as they are shown, the first one's with its objects: each path is of one."""
    def look(trace, site, at):
        trace.holders(at, {site: (len(paths), 1, len(paths), 0, [(1, path) for path in paths])})

    holders = heap_of(report, one_site([look]))["places"][0]["holders"]
    return [(held["objects"], held["path"]) for held in holders]


@pytest.mark.parametrize("steps, text", [
    ([MODULE], "app"),
    ([MODULE, edge(rft.DICT_VALUE, "dict", "cache")], "app.cache"),
    ([MODULE, attribute("__dict__"), edge(rft.DICT_VALUE, "dict", "cache")], "app.cache"),
    ([MODULE, attribute("a"), edge(rft.DICT_VALUE, "dict", "x y")], "app.a['x y']"),
    ([MODULE, attribute("a"), edge(rft.DICT_VALUE, "dict", "-12")], "app.a[-12]"),
    ([MODULE, attribute("a"), edge(rft.DICT_VALUE, "dict", index=3)], "app.a[*]"),
    ([MODULE, attribute("a"), edge(rft.DICT_KEY, "dict", "k")], "app.a → key"),
    ([MODULE, attribute("a"), edge(rft.ITEM, "list", index=3)], "app.a[3]"),
    ([MODULE, attribute("a"), edge(rft.MEMBER, "set")], "app.a → member"),
    ([MODULE, attribute("A"), edge(rft.TYPE_SLOT, "type", "__dict__"),
      edge(rft.DICT_VALUE, "dict", "registry")], "app.A.registry"),
    ([MODULE, attribute("f"), edge(rft.CLOSURE, "function", "rows"), edge(rft.CELL, "cell", "rows")],
     "app.f → variable rows"),
    ([MODULE, attribute("f"), edge(rft.CLOSURE, "function"), edge(rft.CLOSURE, "tuple", "rows"),
      edge(rft.CELL, "cell", "rows")], "app.f → variable rows"),
    ([MODULE, attribute("f"), edge(rft.CODE, "code", "co_consts")], "app.f.co_consts"),
    ([MODULE, attribute("f"), edge(rft.DEFAULT, "function", "__defaults__")], "app.f.__defaults__"),
    ([MODULE, attribute("A"), edge(rft.TYPE_SLOT, "type", "names of attributes")],
     "app.A → names of attributes"),
    ([MODULE, attribute("__dict__"), edge(rft.DICT_VALUE, "dict")], "app.*"),
    ([MODULE, attribute("m"), edge(rft.SELF, "method")], "app.m.__self__"),
    ([MODULE, attribute("g"), edge(rft.FRAME, "generator", "row")], "app.g → suspended local row"),
    ([MODULE, attribute("e"), edge(rft.EXCEPTION, "ValueError", "traceback")], "app.e.__traceback__"),
    ([MODULE, attribute("e"), edge(rft.EXCEPTION, "ValueError", "args")], "app.e.args"),
    ([MODULE, attribute("p"), edge(rft.REFERENCE, "c.Pool")],
     "app.p → unnamed reference"),
    ([MODULE, attribute("f"), edge(rft.REFERENCE, "functools._lru_cache_wrapper"),
      edge(rft.DICT_VALUE, "dict", "<tuple>")], "app.f → unnamed dict[<tuple>]"),
    ([MODULE, attribute("c"), edge(rft.DESCRIPTOR, "_contextvars.Context", "its tree of variables"),
      edge(rft.DESCRIPTOR, "hamt", "its tree of variables"),
      edge(rft.DICT_VALUE, "hamt_bitmap_node", "request")], "app.c['request']"),
    ([root(rft.ROOT_THREAD, "context", "T"),
      edge(rft.DESCRIPTOR, "_contextvars.Context", "its tree of variables"),
      edge(rft.DICT_VALUE, "hamt_bitmap_node", "request")],
     "thread T: context → _contextvars.Context['request']"),
    ([MODULE, attribute("z"), edge(rft.DESCRIPTOR, "zip", "its iterators"),
      edge(rft.ITEM, "tuple", index=0)], "app.z → its iterators[0]"),
    ([MODULE, edge(rft.MODULE_STATE, "module")], "app → C state of the module"),
    ([root(rft.ROOT_LOCAL, "rows", "f in thread T"), edge(rft.ITEM, "list", index=0)],
     "local of f in thread T: rows[0]"),
    ([root(rft.ROOT_LOCAL, "rows", "f in thread T"), edge(rft.CELL, "cell", "rows"),
      edge(rft.ITEM, "list", index=0)], "local of f in thread T: rows[0]"),
    ([root(rft.ROOT_C)], "C code alone"),
    ([root(rft.ROOT_C), attribute("items", "c.Pool")], "C code → c.Pool.items"),
    ([root(rft.ROOT_THREAD, "exc_info", "T"), edge(rft.EXCEPTION, "KeyError", "context")],
     "thread T: exc_info → KeyError.__context__"),
    ([root(rft.ROOT_ATEXIT), edge(rft.SELF, "method")], "atexit → method.__self__"),
    ([root(rft.ROOT_GARBAGE)], "garbage that is not collected yet"),
    ([MODULE, attribute("x" * 100)], "app." + "x" * 57 + "..."),
    ([MODULE, attribute("\x1b[31m")], "app.\\x1b[31m"),
    ([MODULE, *[attribute("next", "N")] * 9, attribute("data", "N")], "app(.next)*.data"),
    ([MODULE, *[attribute("kids", "N"), edge(rft.ITEM, "list", index=1)] * 5], "app(.kids[*])*"),
    ([MODULE, attribute("t"), *[edge(rft.ITEM, "list", index=1)] * 2], "app.t[1][1]"),
    ([MODULE, *[attribute("next", "N")] * 9, edge(rft.LEFT_OUT, None, index=99),
      *[attribute("next", "N")] * 9], "app(.next)*"),
    ([MODULE, attribute("a", "A"), edge(rft.LEFT_OUT, None, index=99), attribute("z", "Z")],
     "app.a → ... 99 steps ... → Z.z"),
])
def test_a_path_reads_as_the_program_would_write_it(report, steps, text):
    assert held_by(report, steps) == [(1, text)]


def test_what_differs_in_indexes_is_one_pattern(report):
    paths = [[MODULE, attribute("a"), edge(rft.ITEM, "list", index=n)] for n in range(3)]
    assert held_by(report, *paths) == [(3, "app.a[*]")]


def test_a_few_keys_are_told_apart_and_many_are_any(report):
    def key(name):
        return [MODULE, attribute("a"), edge(rft.DICT_VALUE, "dict", name)]

    assert held_by(report, key("x"), key("y"), key("x")) == [(2, "app.a['x']"), (1, "app.a['y']")]
    assert held_by(report, *map(key, "abcdefg")) == [(7, "app.a[*]")]


def test_trees_and_chains_of_any_depth_are_one_pattern(report):
    def tree(turns):
        return [MODULE, attribute("root"), *(attribute(turn, "Node") for turn in turns)]

    left, right = "left", "right"
    assert held_by(report, tree([left] * 3), tree([left] * 40)) == [(2, "app.root(.left)*")]
    assert held_by(report, tree([left, right, left]), tree([left, right, right, left])) == [
        (2, "app.root(.*)*")]


def test_threads_are_told_apart_while_they_are_few(report):
    def local(thread):
        return [root(rft.ROOT_LOCAL, "rows", f"f in thread {thread}")]

    assert len(held_by(report, *map(local, "abc"))) == 3
    assert held_by(report, *map(local, "abcdefg")) == [(7, "local of running functions: rows")]


def test_a_heap_that_was_refused_or_cut_says_so(report):
    trace = Trace()
    site = trace.site([MAIN], "shop.Thing")
    trace.tick(100, {site: births(5)})
    trace.heap(200, flags=32, label="this CPython is free-threaded")
    trace.end(300)
    assert "not looked through, this CPython is free-threaded" in report(trace, "--view", "holders")
    trace = Trace()
    site = trace.site([MAIN], "shop.Thing")
    trace.tick(100, {site: births(5)})
    trace.heap(200, flags=2 | 4 | 8)
    trace.end(300)
    output = report(trace, "--view", "retained").replace("\n", " ")
    assert "only part of the heap was looked through; retained bytes were not computed" in output


def test_processes_add_up_and_have_their_own_heaps(reftracer, tmp_path):
    for pid in (1, 2):
        trace = Trace(pid=pid)
        site = trace.site([MAIN], "shop.Thing")
        trace.tick(100, {site: births(10)})
        trace.heap(200)
        trace.holders(200, {site: (10, 480, 10, 0, [(10, [MODULE, attribute("a")])])})
        trace.end(300)
        trace.write(tmp_path / f"{pid}.rft")
    done = reftracer("report", "--json", "1.rft", "2.rft", cwd=tmp_path)
    heap = json.loads(done.stdout)["heap"]
    assert sorted(look["pid"] for look in heap["looks"]) == [1, 2]
    assert all(look["last"] for look in heap["looks"])
    [place] = heap["places"]
    assert (place["heap_objects"], place["retained_bytes"]) == (20, 960)
    assert [(held["objects"], held["path"]) for held in place["holders"]] == [(20, "app.a")]


def keys_documented():
    text = (Path(__file__).parents[2] / "docs" / "JSON-SCHEMA.md").read_text()
    return text[text.index("### heap"):text.index("## `reftracer diff --json`")]


def test_every_key_of_the_heap_is_documented(report):
    def keys(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from keys(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from keys(inner)

    text = keys_documented()
    document = json.loads(report(bus(), "--json"))
    assert {key for key in keys(document["heap"]) if f"`{key}`" not in text} <= {
        "file", "line", "function"}
    kinds = {step["kind"] for place in document["heap"]["places"] for held in place["holders"]
             for step in held["steps"]}
    assert len(kinds) > 5 and all(f"`{kind}`" in text for kind in kinds)


def test_a_long_look_is_no_time_in_which_the_program_did_not_grow(read_report, tmp_path):
    """It stands still then, and the agent's ticks come as ever."""
    for pause in (0, 12_000):
        trace = Trace()
        site = trace.site([MAIN, ("/srv/shop/basket.py", "Basket.checkout", 25)], "shop.Listener")
        survivors = []

        def grow(begin, end):
            for time in range(begin, end, 100):
                trace.tick(time + 100, {site: births(5)})
                survivors.append((time, 100, 5, 240))

        grow(0, 10_000)
        for time in range(10_000, 10_000 + pause, 100):
            trace.tick(time + 100, {})
        trace.heap(10_000, kind=rft.HEAP_REQUEST, pause=pause)
        end = 12_000 + pause
        grow(end - 2000, end)
        trace.census(end, {site: survivors})
        trace.end(end)
        trace.write(tmp_path / f"{pause}.rft")
        [growing] = read_report(tmp_path / f"{pause}.rft").report["growing"]
        assert growing["type"] == "shop.Listener"
        assert growing["objects_per_second"] == pytest.approx(50, rel=0.05)

"""What reports look like, on traces made by hand. Whole outputs are compared with the files
in tests/cli/expected/; after a wanted change, run with REFTRACER_WRITE_EXPECTED=1 and look at
the difference."""

import itertools
import json
import os
import pty
import re
import resource
import subprocess
from pathlib import Path

import pytest

from rftwrite import Trace, births, deaths

EXPECTED = Path(__file__).parent / "expected"
SECONDS = 20


def service(pid=4711, leaks=True):
    """20 s of a service: a leak with what it holds, a cache that fills, modules that are
    imported, garbage of a hot path, and names that want to steer a terminal."""
    trace = Trace(pid=pid, arguments=("python3", "app.py", "--name", "a b"))
    main = ("/srv/app.py", "main", 10)
    library = ("/usr/lib/python3.14/json/decoder.py", "JSONDecoder.decode", 345)
    frozen = ("<frozen importlib._bootstrap>", "_call_with_frames_removed", 488)
    package = ("/srv/venv/lib/python3.14/site-packages/flask/app.py", "Flask.dispatch", 99)
    handler = ("/srv/shop/basket.py", "Basket.checkout", 25)

    listener = trace.site([main, package, handler], "shop.Listener")
    holder = trace.site([main, package, handler, ("/srv/shop/basket.py", "Listener.__init__", 7)],
                        "dict", kind=3)
    cache = trace.site([main, ("/srv/shop/prices.py", "Prices.get", 31)], "shop.Price")
    module = trace.site([main, frozen], "code", kind=11)
    parsed = trace.site([main, library], "str", kind=5)
    row = trace.site([main, ("/srv/shop/pages.py", "page", 47)], "shop.Row", thread="worker-1")
    evil = trace.site([("/srv/\x1b[31mred\n.py", "steer\u202ethe\x07terminal", 1)], "evil\x1b]0;x\x07")

    survivors = {site: [] for site in (listener, holder, cache, module, evil)}
    for tick in range(1, SECONDS * 10 + 1):
        at = tick * 100
        happened = {
            parsed: births(2000) | deaths(2000, size=120_000),
            row: births(500) | deaths(500, bucket=5, size=32_000),
        }
        if tick <= 3:
            happened[module] = births(1000)
            survivors[module].append((at - 100, 100, 1000, 400_000))
        if leaks:
            happened[listener] = births(10)
            happened[holder] = births(10)
            survivors[listener].append((at - 100, 100, 10, 480))
            survivors[holder].append((at - 100, 100, 10, 1840))
        if tick <= 120:
            happened[cache] = births(20)
            survivors[cache].append((at - 100, 100, 20, 960))
        if tick == 5:
            happened[evil] = births(1)
            survivors[evil].append((at - 100, 100, 1, 48))
        trace.tick(at, happened)
    trace.census(SECONDS * 1000, {site: found for site, found in survivors.items() if found})
    trace.end(SECONDS * 1000)
    return trace


@pytest.mark.parametrize(
    "stay, late, growing", [(4, 0, False), (20, 20, False), (20, 5, True), (60, 60, True)]
)
def test_strings_in_the_method_cache_are_no_growth(show, tmp_path, stay, late, growing):
    """200 strings each second: `stay` never die, `late` die after seconds, the rest at once."""
    trace = Trace()
    name = trace.site([("/srv/app.py", "stamp", 10)], "str", kind=5)
    for second in range(1, 21):
        happened = births(200) | deaths(200 - stay - late, size=52)
        if late:
            happened["aged"] = [(12, late)]
        trace.tick(second * 1000, {name: happened})
    trace.census(20_000, {name: [(s * 1000, 1000, stay, 52 * stay) for s in range(20)]})
    trace.end(20_000)
    trace.write(tmp_path / "app.rft")
    report = json.loads(show("report", "--json", "app.rft"))
    assert [site["growth"] for site in report["sites"]] == ["growing" if growing else "saturated"]


@pytest.fixture
def app(tmp_path):
    service().write(tmp_path / "app.rft")
    return "app.rft"


@pytest.fixture
def show(reftracer, tmp_path):
    """show(*arguments, width=100) -> stdout of the command, in a UTF-8 locale."""

    def show(*arguments, width=100, locale="C.UTF-8"):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": locale, "TZ": "UTC"}
        if width is not None:
            environment["COLUMNS"] = str(width)
        done = reftracer(*arguments, cwd=tmp_path, env=environment)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    return show


def as_expected(name, output):
    file = EXPECTED / f"{name}.txt"
    if os.environ.get("REFTRACER_WRITE_EXPECTED"):
        file.write_text(output)
    assert output == file.read_text()
    return True


@pytest.mark.parametrize("view", ["summary", "leaks", "churn", "types", "sites", "ages"])
@pytest.mark.parametrize("width", [80, 120])
def test_views(show, app, view, width):
    output = show("report", app, "--view", view, width=width)
    assert as_expected(f"{view}-{width}", output)
    assert max(map(len, output.splitlines())) <= width


@pytest.mark.parametrize(
    "key", ["type", "site", "stack", "line", "file", "thread", "interpreter"]
)
def test_grouping(show, app, key):
    grouped = show("report", app, "--view", "types", "--group-by", key)
    assert as_expected(f"by-{key}", grouped)
    assert show("report", app, "--group-by", key) == grouped  # and not a summary without such rows


def test_full_stacks(show, app):
    output = show("report", app, "--view", "leaks", "--full-stacks")
    assert "flask/app.py:99 Flask.dispatch" in output
    assert "Flask.dispatch" not in show("report", app, "--view", "leaks")


def test_nothing_grows(show, app, tmp_path):
    service(leaks=False).write(tmp_path / "app.rft")
    output = show("report", app)
    assert "Nothing keeps growing." in output
    assert as_expected("nothing-grows", output)


def test_diff(show, app, tmp_path):
    service(leaks=False).write(tmp_path / "before.rft")
    assert as_expected("diff", show("diff", "before.rft", app))
    assert "only in B  shop.Listener" in show("diff", "before.rft", app)
    assert "only in A  shop.Listener" in show("diff", app, "before.rft")
    assert "1 in both" in show("diff", app, app)


def test_garbage_of_an_import_names_the_library_that_imports(show, tmp_path):
    """A library that tries an import at each call, and a module that imports another one."""
    trace = Trace()
    main = ("/srv/app.py", "main", 13)
    find = ("<frozen importlib._bootstrap>", "_find_and_load", 1371)
    library = ("/srv/venv/lib/python3.14/site-packages/httpx/asgi.py", "is_trio", 34)
    module = ("/srv/venv/lib/python3.14/site-packages/httpx/__init__.py", "<module>", 1)
    at_each_call = trace.site([main, library, find, module, find], "str", kind=5)
    once = trace.site([main, find, module, find], "int", kind=6)
    trace.tick(1000, {at_each_call: births(200) | deaths(200, size=52),
                      once: births(100) | deaths(100, size=28)})
    trace.census(1000, {})
    trace.end(1000)
    trace.write(tmp_path / "app.rft")
    rows = show("report", "--view", "churn", "app.rft").splitlines()[-2:]
    assert rows[0].endswith("str   app.py:13 main, importing in httpx/asgi.py is_trio")
    assert rows[1].endswith("int   app.py:13 main, importing")


def test_nothing_in_a_trace_steers_the_terminal(show, app):
    for view in ["summary", "leaks", "churn", "types", "sites", "ages"]:
        for options in ([], ["--full-stacks"]):
            output = show("report", app, "--view", view, "--top", "100", *options)
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", output)
    assert r"evil\x1b]0;x\x07" in show("report", app, "--view", "types")


def test_top_limits_rows_and_says_how_to_get_the_rest(show, app):
    output = show("report", app, "--view", "types", "--top", "2")
    assert "5 more: --top 7" in output
    assert "more: --top" not in show("report", app, "--view", "types", "--top", "7")


@pytest.mark.parametrize("text", ["shop/prices", "prices.GET", "Shop.Price", "WORKER"])
def test_filter_looks_at_types_files_functions_and_threads(show, app, text):
    report = json.loads(show("report", app, "--json", "--filter", text))
    assert [site["type"] for site in report["sites"]] == [
        "shop.Row" if text == "WORKER" else "shop.Price"
    ]
    assert f'only what has "{text}" in it, 1 of 7 sites' in show("report", app, "--filter", text)


def test_a_locale_without_utf8_gets_ascii(show, app):
    for view in ["summary", "leaks", "ages"]:
        assert show("report", app, "--view", view, locale="C").isascii()


def test_the_width_without_a_terminal_is_100(show, app):
    assert show("report", app, width=None) == show("report", app, width=100)


def on_terminal(command, *arguments, cwd, **environment):
    """What the command writes to a terminal."""
    master, slave = pty.openpty()
    base = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm", "COLUMNS": "90"}
    with subprocess.Popen(
        [command, *arguments], stdout=slave, stderr=slave, cwd=cwd, env={**base, **environment}
    ) as process:
        os.close(slave)
        output = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            output += piece
    os.close(master)
    assert process.returncode == 0
    return output.decode()


def test_colours_are_for_terminals_that_want_them(command, app, tmp_path):
    assert "\x1b[" in on_terminal(command, "report", app, cwd=tmp_path)
    assert "\x1b" not in on_terminal(command, "report", app, cwd=tmp_path, NO_COLOR="1")
    assert "\x1b" not in on_terminal(command, "report", app, cwd=tmp_path, TERM="dumb")
    assert "\x1b" not in on_terminal(command, "report", "--no-color", app, cwd=tmp_path)


def test_colours_change_nothing_else(command, app, tmp_path):
    plain = on_terminal(command, "report", "--no-color", app, cwd=tmp_path)
    coloured = on_terminal(command, "report", app, cwd=tmp_path)
    without = re.sub("\x1b\\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in without.splitlines()] == plain.splitlines()


# ---- JSON ----

SITE = {
    "type", "stack_depth", "stack", "thread", "interpreter", "births", "deaths", "live", "live_bytes",
    "live_bytes_estimated", "dead_bytes", "died_at_once", "peak_live", "growth", "ages",
}  # fmt: skip


def test_json_of_a_site(show, app):
    report = json.loads(show("report", app, "--json"))
    (row,) = [site for site in report["sites"] if site["type"] == "shop.Row"]
    assert row == {
        "type": "shop.Row",
        "stack_depth": 2,
        "stack": [
            {"file": "/srv/shop/pages.py", "line": 47, "function": "page"},
            {"file": "/srv/app.py", "line": 10, "function": "main"},
        ],
        "thread": "worker-1",
        "interpreter": 0,
        "births": 100_000,
        "deaths": 100_000,
        "live": 0,
        "live_bytes": 0,
        "live_bytes_estimated": False,
        "dead_bytes": 6_400_000,
        "died_at_once": 0,
        "peak_live": row["peak_live"],
        "growth": row["growth"],
        "ages": [{"from": 0.016, "to": 0.032, "deaths": 100_000}],
    }


def test_json_of_the_whole(show, app):
    report = json.loads(show("report", app, "--json"))
    assert report["schema"] == "reftracer-report/1"
    assert report["program"]["command"] == ["python3", "app.py", "--name", "a b"]
    assert report["program"]["python"] == "3.14.10"
    assert report["program"]["start"] == "2023-11-14T22:13:20.000Z"
    assert report["program"]["duration"] == 20
    assert report["programs"] == [report["program"]]
    assert (report["exact"], report["exact_reasons"]) == (True, [])
    assert report["losses"]["slot_gaps"] == {"count": 0, "seconds": 0}
    assert all(not count for key, count in report["losses"].items() if key != "slot_gaps")
    assert report["totals"]["births"] == 509_401
    assert report["totals"]["births"] - report["totals"]["deaths"] == report["totals"]["live"]
    assert sum(site["live_bytes"] for site in report["sites"]) == report["totals"]["live_bytes"]
    assert all(set(site) == SITE for site in report["sites"])


def test_json_of_what_grows(show, app):
    report = json.loads(show("report", app, "--json"))
    (leak,) = report["growing"]
    assert SITE < set(leak)
    assert "shop.Listener" in [leak["type"], *(held["type"] for held in leak["companions"])]
    assert leak["objects_per_second"] == pytest.approx(100, rel=0.05)
    assert leak["total_bytes_per_second"] == pytest.approx(23_200, rel=0.05)
    assert leak["never_die_share"] == 1
    assert leak["since"] < 1


def test_each_key_of_the_json_is_documented(show, app, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "JSON-SCHEMA.md").read_text()
    named = set(re.findall(r"`([a-z_0-9]+)`", text))

    def keys(value):
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    report = json.loads(show("report", app, "--json"))
    assert keys(report) <= named
    assert keys(json.loads(show("diff", app, app, "--json"))) <= named


def test_json_of_a_diff(show, app, tmp_path):
    service(leaks=False).write(tmp_path / "before.rft")
    diff = json.loads(show("diff", "--json", "before.rft", app))
    assert diff["schema"] == "reftracer-diff/1"
    (row,) = [site for site in diff["sites"] if site["type"] == "shop.Listener"]
    assert (row["a"]["live"], row["b"]["live"], row["a_growth"]) == (0, 2000, None)
    assert row["b_growth"] == "growing"
    by_type = {row["type"]: row for row in diff["types"]}
    assert by_type["shop.Price"]["a"] == by_type["shop.Price"]["b"]


def test_several_traces_are_added_up(show, app, tmp_path):
    service(pid=4712).write(tmp_path / "app.4712.rft")
    one = json.loads(show("report", app, "--json"))
    two = json.loads(show("report", app, "app.4712.rft", "--json"))
    assert [program["pid"] for program in two["programs"]] == [4711, 4712]
    assert two["totals"]["births"] == 2 * one["totals"]["births"]
    assert len(two["sites"]) == len(one["sites"])
    assert "pid 4711 and 1 process more" in show("report", app, "app.4712.rft")


def test_what_was_lost_stands_in_the_first_lines(show, app, tmp_path):
    trace = Trace(version=0x030D00F0)
    site = trace.site([("/srv/app.py", "main", 10)], "app.Node")
    trace.tick(100, {site: births(10) | deaths(4)}, inferred=3, unseen=2)
    trace.loss(1, time=50, duration=1500, count=1, why="tracemalloc.start()")
    trace.end(100)
    trace.write(tmp_path / "lossy.rft")
    head = show("report", "lossy.rft").splitlines()[:8]
    assert any(line.startswith("Not exact") for line in head)
    report = json.loads(show("report", "lossy.rft", "--json"))
    assert report["exact"] is False and report["exact_reasons"]
    assert report["losses"]["slot_gaps"] == {"count": 1, "seconds": 1.5}
    assert (report["losses"]["inferred_deaths"], report["losses"]["unseen_births"]) == (3, 2)


def test_an_empty_program_has_a_report(show, tmp_path):
    trace = Trace()
    trace.end(10)
    trace.write(tmp_path / "empty.rft")
    assert "Nothing keeps growing." in show("report", "empty.rft")
    report = json.loads(show("report", "empty.rft", "--json"))
    assert (report["sites"], report["growing"]) == ([], [])


@pytest.mark.parametrize("view", ["summary", "leaks", "churn", "types", "sites", "ages"])
def test_a_process_that_was_killed_before_its_first_tick_is_said_to_be_that(show, tmp_path, view):
    Trace().write(tmp_path / "killed.rft")
    text = show("report", "killed.rft", "--view", view)
    assert "killed, or still" in text
    assert "Nothing was counted" in text
    assert "Nothing keeps growing" not in text


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20])
def test_an_object_that_has_become_large_is_named_though_nothing_was_born(
    show, tmp_path, size, ended
):
    trace = Trace()
    buffer = trace.site([("/srv/app.py", "collect", 7)], "bytearray")
    for tick in range(1, 31):
        trace.tick(tick * 100, {buffer: births(1)} if tick == 1 else {})
    if ended:  # else nobody has seen its size
        trace.census(3000, {buffer: [(0, 100, 1, size)]})
        trace.end(3000)
    trace.write(tmp_path / "app.rft")
    lines = show("report", "app.rft").splitlines()
    headings = [n for n, line in enumerate(lines) if line.startswith("Large objects")]
    assert len(headings) == (ended and size >= 1 << 20)
    for n in headings:
        assert lines[n + 2].split() == ["1", "1.00", "MiB", "bytearray", "app.py:7", "collect"]


def deep_trace(path, depth, step=1):
    """Births at every `step`th level of a recursion."""
    trace = Trace()
    inside, sites = trace.stack([("/srv/deep.py", "main", 1)]), []
    for _ in range(depth // step):
        inside = trace.stack([("/srv/deep.py", "down", 2)] * step, inside)
        sites.append(trace.site([], "deep.Node", inside=inside))
    trace.tick(100, {site: births(1) for site in sites})
    trace.census(200, {site: [(0, 100, 1, 48)] for site in sites})
    trace.end(200)
    trace.write(path)


def test_json_stacks_are_whole_up_to_a_bound_and_tell_their_depth(show, tmp_path):
    deep_trace(tmp_path / "deep.rft", 1500, step=500)

    def stacks(*options):
        document = json.loads(show("report", "deep.rft", "--json", *options))
        return sorted((site["stack_depth"], len(site["stack"])) for site in document["sites"])

    assert stacks() == [(501, 501), (1001, 1000), (1501, 1000)]
    assert stacks("--stack-limit", "0") == [(501, 501), (1001, 1001), (1501, 1501)]
    assert stacks("--stack-limit", "3") == [(501, 3), (1001, 3), (1501, 3)]
    same = json.loads(show("diff", "deep.rft", "deep.rft", "--json", "--stack-limit", "2"))
    assert {(site["stack_depth"], len(site["stack"])) for site in same["sites"]} == {
        (501, 2),
        (1001, 2),
        (1501, 2),
    }


def test_shared_stacks_say_the_same(show, tmp_path):
    deep_trace(tmp_path / "deep.rft", 1500, step=500)
    whole = json.loads(show("report", "deep.rft", "--json", "--stack-limit", "0"))
    text = show("report", "deep.rft", "--json", "--shared-stacks")
    shared = json.loads(text)
    frames, stacks = shared.pop("frames"), shared.pop("stacks")

    def written_out(number):
        while number:
            frame, number = stacks[number]
            yield frames[frame]

    for site in shared["sites"]:
        site["stack"] = list(written_out(site["stack"]))
    assert shared == whole
    assert len(text) < 60_000 < len(json.dumps(whole))


def test_json_of_sites_at_each_level_of_a_deep_recursion_is_bounded(reftracer, tmp_path):
    deep_trace(tmp_path / "deep.rft", 8000)
    limit = 200 << 20
    done = reftracer(
        "report",
        "--json",
        tmp_path / "deep.rft",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    frames = [len(site["stack"]) for site in document["sites"]]
    # 32 million without a bound.
    assert len(frames) == 8000 and sum(frames) < 4_600_000
    assert set(frames[-1000:]) == {100}
    assert done.stdout.count(b"\n") >= 8000


def test_the_process_that_started_first_is_named_whatever_the_order_of_the_files(show, tmp_path):
    second = 10**9
    for number, name in enumerate(["first", "second", "third"]):
        trace = Trace(
            start_ns=1_700_000_000 * second + number * second,
            pid=100 + number,
            arguments=("python3", f"{name}.py"),
        )
        site = trace.site([("/srv/app.py", "main", 3)], "app.Node")
        trace.tick(100, {site: births(10 + number)})
        trace.census(200, {site: [(0, 100, 10 + number, 480)]})
        trace.end(200)
        trace.write(tmp_path / f"{name}.rft")
    for order in itertools.permutations(["first.rft", "second.rft", "third.rft"]):
        document = json.loads(show("report", *order, "--json"))
        assert document["program"]["pid"] == 100
        assert [(p["pid"], p["births"]) for p in document["programs"]] == [
            (100, 10),
            (101, 11),
            (102, 12),
        ]
        # They ran one after the other: 33 at their ends, never more than 12 at one time.
        totals = document["totals"]
        assert (totals["live"], totals["peak_live"]) == (33, 12)
        assert document["sites"][0]["peak_live"] == 12
        text = show("report", *order)
        assert text.startswith("python3 first.py\n")
        assert "33 alive at the ends of their processes" in text
        assert "peak 12 at one time" in text.replace("\n", " ")

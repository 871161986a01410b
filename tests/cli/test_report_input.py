"""What `reftracer report` and `diff` do with traces and options that are wrong."""

import os
import struct
import subprocess

import pytest

from rftwrite import Trace, births, crc32c, deaths

UNREADABLE, USAGE = 1, 2


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def report(reftracer, tmp_path):
    def run(*arguments, **more):
        more.setdefault("cwd", tmp_path)
        return reftracer("report", *arguments, text=True, **more)

    return run


def small_trace():
    trace = Trace()
    site = trace.site([("/srv/app.py", "main", 3), ("/srv/app.py", "Node.make", 9)], "app.Node")
    for number in range(1, 51):
        trace.tick(100 * number, {site: births(10) | deaths(4, size=192)})
    trace.census(5000, {site: [(0, 5000, 300, 14400)]})
    trace.end(5000)
    return trace


@pytest.fixture
def app(tmp_path):
    small_trace().write(tmp_path / "app.rft")
    return tmp_path / "app.rft"


def refused(done, code, *words):
    assert done.returncode == code, done
    assert done.stdout == ""
    assert done.stderr.startswith("reftracer: ")
    for word in words:
        assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1
    return True


@pytest.mark.parametrize("name", ["report", "diff"])
def test_no_trace_named(reftracer, name):
    assert refused(reftracer(name, text=True), USAGE, f"reftracer {name} --help")


def test_diff_of_one_or_three_traces(reftracer, app):
    for traces in ([app], [app, app, app]):
        assert refused(reftracer("diff", *traces, text=True), USAGE, "two traces")


@pytest.mark.parametrize(
    "options, words",
    [
        (["--view", "nonsense"], ["nonsense", "summary, leaks"]),
        (["--group-by", "colour"], ["colour", "interpreter"]),
        (["--top", "0"], ["--top"]),
        (["--top", "many"], ["--top", "many"]),
        (["--unknown"], ["--unknown"]),
        (["-z"], ["-z"]),
        (["--view"], ["--view needs a value"]),
        (["--json=yes"], ["--json"]),
    ],
)
def test_options_that_make_no_sense(report, app, options, words):
    assert refused(report(app, *options), USAGE, *words)


def test_a_trace_that_is_not_there(report):
    assert refused(report("no.rft"), UNREADABLE, "no.rft", "No such file")


def test_a_trace_that_may_not_be_read(command, report, app):
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    app.chmod(0)
    assert refused(report(app), UNREADABLE, "Permission denied")


def test_a_folder(report, folder):
    assert refused(report(folder), UNREADABLE, str(folder), "folder")


def test_an_empty_file(report, folder):
    (folder / "empty.rft").write_bytes(b"")
    assert refused(report("empty.rft"), UNREADABLE, "empty.rft", "empty")


def test_a_file_that_is_no_trace(report, folder):
    (folder / "text.rft").write_text("hello, this is no trace\n" * 100)
    assert refused(report("text.rft"), UNREADABLE, "text.rft", "not a trace")


def test_a_trace_of_a_newer_version(report, folder):
    Trace(format_version=9, min_reader=8).write(folder / "new.rft")
    assert refused(report("new.rft"), UNREADABLE, "new.rft", "newer")


def test_a_trace_with_features_of_a_newer_version(report, folder):
    Trace(features=1 << 5).write(folder / "new.rft")
    assert refused(report("new.rft"), UNREADABLE, "new.rft", "newer")


def test_a_damaged_file_header(report, folder):
    damaged = bytearray(small_trace().bytes())
    damaged[25] ^= 1
    (folder / "bad.rft").write_bytes(damaged)
    assert refused(report("bad.rft"), UNREADABLE, "bad.rft")


def test_a_trace_without_an_end_is_reported_up_to_its_last_tick(report, folder):
    trace = small_trace()
    trace.chunks = trace.chunks[:-2]
    trace.write(folder / "cut.rft")
    done = report("cut.rft")
    assert done.returncode == 0
    assert "killed" in done.stdout and "500 born, 200 died" in done.stdout


def test_a_trace_that_ends_in_the_middle_of_a_record_is_reported(report, folder):
    (folder / "cut.rft").write_bytes(small_trace().bytes()[:-90])
    done = report("cut.rft")
    assert done.returncode == 0
    assert "reftracer: warning: cut.rft" in done.stderr
    assert "app.Node" in done.stdout


def test_a_trace_with_a_damaged_record_is_reported_without_it(report, folder):
    trace = small_trace()
    damaged = bytearray(trace.chunks[20])
    damaged[-1] ^= 1
    trace.chunks[20] = bytes(damaged)
    trace.write(folder / "bad.rft")
    done = report("bad.rft")
    assert done.returncode == 0
    assert "reftracer: warning: bad.rft" in done.stderr
    assert "Not exact" in done.stdout


def test_every_cut_gives_a_report_or_a_message(reftracer, folder):
    """Cut at each chunk's borders and in its middle."""
    trace = small_trace()
    at, cuts = 32, []
    for chunk in trace.chunks:
        cuts += [at, at + 1, at + 20, at + len(chunk) // 2]
        at += len(chunk)
    whole = trace.bytes()
    for cut in sorted(set(cuts))[::5] + [1, 31]:
        (folder / "cut.rft").write_bytes(whole[:cut])
        done = reftracer("report", folder / "cut.rft", text=True)
        assert done.returncode in (0, UNREADABLE), (cut, done)
        assert done.returncode == 0 or done.stderr.startswith("reftracer: report: ")


def test_an_empty_trace_among_others_is_left_out_and_named(report, app, folder):
    (folder / "empty.rft").write_bytes(b"")
    done = report("empty.rft", app)
    assert done.returncode == 0
    assert "left out" in done.stderr and "empty.rft" in done.stderr
    assert "app.Node" in done.stdout


def test_a_missing_trace_among_others_is_an_error(report, app):
    assert refused(report(app, "no.rft"), UNREADABLE, "no.rft")


def test_an_unreadable_side_of_a_diff(reftracer, app, folder):
    for traces in ([app, folder / "no.rft"], [folder / "no.rft", app]):
        assert refused(reftracer("diff", *traces, text=True), UNREADABLE, "no.rft")


def test_a_report_that_cannot_be_written_is_an_error(reftracer, app):
    with open("/dev/full", "w") as full:
        done = reftracer("report", app, stdout=full, text=True)
    assert done.returncode == UNREADABLE
    assert "standard output" in done.stderr


def test_closed_stdout_is_an_error(command, app):
    done = subprocess.run(
        ["sh", "-c", f"{command} report {app} >&-"], stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == UNREADABLE
    assert "standard output" in done.stderr


def test_a_chunk_that_claims_to_be_huge(report, folder):
    trace = small_trace()
    head = b"\x89rft" + struct.pack("<B3xII", 9, 0xFFFFFFF0, trace.sequence)
    trace.chunks.insert(5, head + struct.pack("<I", crc32c(head)))
    trace.write(folder / "huge.rft")
    done = report("huge.rft")
    assert done.returncode == 0
    assert "warning: huge.rft" in done.stderr

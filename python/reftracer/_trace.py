"""Tracing from inside the program, without launching it anew.

The agent is the same shared object that ``reftracer run`` preloads; here it is loaded into
the running process and told to begin and to end. Where it is at work already, trace() is a
window of the trace that runs.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
import warnings
import weakref
from pathlib import Path as FilePath
from types import TracebackType

from reftracer import _living
from reftracer._agent import check, is_tracing, library, muted
from reftracer._command import ReftracerError
from reftracer._report import Growth, Path, Report, Survivors, load, survivors_table
from reftracer._table import Table
from reftracer._why import Why, ask


def _remove(folder: str, pid: int) -> None:
    if os.getpid() == pid:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)


class Trace:
    """A trace of this process, or a window of one; see trace().

    While it runs, mark() names moments. It can be asked at any time; what is alive is told
    by the agent itself, the rest is read from the file, by another process. It keeps no
    object of the program alive.
    """

    path: str  #: of the trace file; of a window: the file of the trace that runs
    running: bool
    window: bool  #: somebody else had begun to trace this process, and goes on
    duration: float  #: seconds from start to stop

    def __init__(self, path: Path | None, gc: bool, overwrite: bool) -> None:
        self._asked = None if path is None else os.path.abspath(os.fspath(path))
        self.path = self._asked or ""
        self._gc = gc
        self._overwrite = overwrite
        self._report: Report | None = None
        self._marks: dict[str, int] = {}
        self._begin = 0  # number of the window; 0 of a trace
        self._found: dict[str | None, Table[Survivors]] = {}  # of a window that has ended
        self._started = 0.0
        self._pid = 0
        self.duration = 0.0
        self.running = False
        self.window = False

    def start(self) -> None:
        """Begins. Objects that live already are older than the trace and not in it.

        Raises ReftracerError if this CPython can't be traced, or if the file exists or can't
        be made. Warns (RuntimeWarning) if a file was asked for and there is a trace already.
        """
        if self.running:
            raise ReftracerError("beginning a trace: it has begun already")
        agent = library()
        self._report = None
        self._found = {}
        self._marks = {}
        self._pid = os.getpid()
        self._started = time.monotonic()
        if is_tracing():
            self.window = True
            self.path = _living.path()
            if self._asked is not None:
                warnings.warn(
                    f"this process is traced already, into {self.path}: reftracer.trace() is a "
                    f"window of that trace, and {self._asked} is not written",
                    RuntimeWarning,
                    stacklevel=3,
                )
            before = agent.reftracer_mute(1)
            try:
                self._begin = _living.window()
            finally:
                agent.reftracer_mute(before)
        else:
            self.window = False
            self.path = self._new_file()
            _living.forget_marks()
            self._begin = 0
            doing = f"beginning a trace in {self.path}"
            check(doing, agent.reftracer_start(os.fsencode(self.path), self._gc))
        self.running = True

    def _new_file(self) -> str:
        if self._asked is None:
            folder = tempfile.mkdtemp(prefix="reftracer-")
            weakref.finalize(self, _remove, folder, os.getpid())
            return os.path.join(folder, f"{os.getpid()}.rft")
        file = FilePath(self._asked)
        if file.is_dir():
            raise ReftracerError(f"beginning a trace: {file} is a folder")
        if file.exists():
            if not self._overwrite:
                raise ReftracerError(
                    f"beginning a trace: {file} exists; overwrite=True replaces it"
                )
            file.unlink()
        if not file.parent.is_dir():
            raise ReftracerError(f"beginning a trace: there is no folder {file.parent}")
        return self._asked

    def mark(self, label: str) -> None:
        """Names this moment in the trace, for survivors(since=label). Takes up to 1 ms.

        Raises ReftracerError if the trace does not run.
        """
        if not self.running:
            raise ReftracerError(f"marking {label!r}: the trace does not run")
        before = library().reftracer_mute(1)
        try:
            self._marks[label] = _living.mark(label)
        finally:
            library().reftracer_mute(before)

    def stop(self) -> None:
        """Ends the trace, with a census of all that is alive. Does nothing after an end, or in
        a forked child, which is not traced.

        Raises ReftracerError if tracing had to stop before, for want of memory or disk.
        """
        if not self.running:
            return
        self.running = False
        if os.getpid() != self._pid:
            return
        if not self.window:
            error = library().reftracer_stop()
            self.duration = time.monotonic() - self._started
            check("ending the trace", error)
            return
        if self._gc:
            gc.collect()
        before = library().reftracer_mute(1)
        try:
            self.duration = time.monotonic() - self._started
            begins: list[tuple[str | None, int]] = [(None, self._begin), *self._marks.items()]
            for label, since in begins:
                self._found[label] = _living.survivors(since, label)
        finally:
            library().reftracer_mute(before)

    def __enter__(self) -> Trace:  # noqa: PYI034  (typing.Self came with 3.11)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def report(self) -> Report:
        """The trace as plain objects. While it runs: what has happened so far. Of a window: the
        whole trace that it is a window of.

        Raises ReftracerError if nothing was traced.
        """
        if not self.running and not self._pid:
            raise ReftracerError("the trace has not begun; start() or a with statement does that")
        if (self.running or self.window) and is_tracing():
            return _living.report()
        if self._report is None:
            self._report = load(self.path)
        return self._report

    def summary(self) -> str:
        """The terminal report, as text. Of a window: what was born within and is alive.

        Raises ReftracerError if nothing was traced.
        """
        if not self.window:
            return self.report().summary()
        found = self.survivors()
        live = sum(site.live for site in found)
        lines = [
            f"{live:,} objects were born in this window and are alive, from {len(found):,} sites",
            f"It is {self.duration:.3f} s of a trace that goes on: {self.path}",
            *(f"  {site}" for site in found[:10]),
        ]
        if len(found) > 10:
            lines.append(f"  and {len(found) - 10:,} sites more: survivors() has them")
        return "\n".join(lines) + "\n"

    def growing(self) -> Table[Growth]:
        """What keeps growing, worst first. Of a window: in the whole trace, since growth shows
        over time only.

        Raises ReftracerError if nothing was traced.
        """
        return self.report().growing

    def survivors(self, type: str | None = None, since: str | None = None) -> Table[Survivors]:
        """What was born in the trace and is alive: now, or at its end if it has ended. By site,
        most objects first.

        type: only of this type, by its full name (``app.Node``) or its last part (``Node``).
        since: only what was born after this mark, exactly; of several marks with this label,
            the last one.

        Raises ReftracerError if there is no such mark, or nothing was traced.
        """
        if not self.running and not self.window:
            return self.report().survivors(type, since)
        if since is not None and since not in self._marks:
            known = ", ".join(map(repr, self._marks)) or "none"
            raise ReftracerError(f"the trace has no mark {since!r}; it has: {known}")
        if self.running:
            begin = self._begin if since is None else self._marks[since]
            with muted():
                return _living.of_type(_living.survivors(begin, since), type, since)
        return _living.of_type(self._found.get(since, survivors_table([], since)), type, since)

    def why(self, obj: object) -> Why:
        """Who holds an object of this process; see reftracer.why()."""
        return ask(obj)

    def __repr__(self) -> str:
        state = "running" if self.running else "ended" if self._pid else "new"
        of = "window of " if self.window else ""
        return f"<Trace {state} {of}{self.path or '(temporary file)'}>"


def trace(path: Path | None = None, *, gc: bool = True, overwrite: bool = False) -> Trace:
    """A trace of this process, for a ``with`` statement.

    path: the file; None: a temporary one, gone with the Trace.
    gc: run ``gc.collect()`` before the last census, so that it shows what is held and not
        what waits for the collector.
    overwrite: replace an existing file.

    All threads are traced, and sub-interpreters that share the GIL. Forked children are not
    traced (``reftracer run`` does that). If this process is traced already, by
    ``reftracer run`` or another trace(), the result is a window of that trace: marks,
    survivors and summary are of what happens within, no file is written, the trace goes on.
    """
    return Trace(path, gc, overwrite)

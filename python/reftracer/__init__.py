"""reftracer: every Python object's birth, life and death.

::

    python -m reftracer run -o app.rft app.py      # trace a program
    python -m reftracer report app.rft             # what keeps growing, and where

    import reftracer
    report = reftracer.load("app.rft")             # the same, as plain objects
    for growth in report.growing:
        print(growth, *growth.stack, sep="\\n  ")

    with reftracer.trace("request.rft") as trace:  # this process, from here on
        handle()
        trace.mark("after first")
        handle()
    print(trace.summary())
    trace.survivors("Node", since="after first")

    reftracer.why(obj)                             # who holds it, with or without a trace

In a program that is being traced, mark(), summary(), growing() and survivors() are about
that trace, up to now.
"""

from reftracer._command import ReftracerError, command
from reftracer._diff import Counts, Diff, SiteChange, TypeChange, diff
from reftracer._ipython import load_ipython_extension, unload_ipython_extension
from reftracer._now import growing, mark, summary, survivors
from reftracer._report import Frame, Growth, Mark, Report, Site, Survivors, load
from reftracer._table import Row, Table
from reftracer._trace import Trace, trace
from reftracer._why import HolderPath, Step, Why, why

__all__ = [
    "Counts",
    "Diff",
    "Frame",
    "Growth",
    "HolderPath",
    "Mark",
    "ReftracerError",
    "Report",
    "Row",
    "Site",
    "SiteChange",
    "Step",
    "Survivors",
    "Table",
    "Trace",
    "TypeChange",
    "Why",
    "command",
    "diff",
    "growing",
    "load",
    "load_ipython_extension",
    "mark",
    "summary",
    "survivors",
    "trace",
    "unload_ipython_extension",
    "why",
]

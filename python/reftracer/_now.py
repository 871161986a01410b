"""What the package offers about the trace of this process, up to now, whoever began it."""

from __future__ import annotations

from reftracer import _living
from reftracer._agent import library
from reftracer._report import Growth, Survivors
from reftracer._table import Table


def mark(label: str) -> None:
    """Names this moment in the trace of this process, for ``survivors(since=label)``. Takes up
    to 1 ms.

    Raises ReftracerError if this process is not being traced.
    """
    before = library().reftracer_mute(1)
    try:
        _living.mark(label)
    finally:
        library().reftracer_mute(before)


def summary() -> str:
    """The terminal report on the trace of this process up to now, as text.

    Raises ReftracerError if this process is not being traced.
    """
    return _living.report().summary()


def growing() -> Table[Growth]:
    """What keeps growing in this process up to now, worst first; empty: nothing does.

    Raises ReftracerError if this process is not being traced.
    """
    return _living.report().growing


def survivors(type: str | None = None, since: str | None = None) -> Table[Survivors]:
    """What was born since the trace began and is alive now, by site, most objects first.

    type: only of this type, by its full name (``app.Node``) or its last part (``Node``).
    since: only what was born after this mark of mark(), exactly; of several marks with this
        label, the last one.

    Raises ReftracerError if this process is not being traced, or has set no such mark.
    """
    _living.need_trace("asking what is alive")
    begin = 0 if since is None else _living.number_of(since)
    return _living.of_type(_living.survivors(begin, since), type, since)

"""The pytest plugin: ``pytest --reftracer`` fails tests that leak, and says what, and from where.

This module has the options and the marker, and imports the rest if it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from reftracer._pytest_session import Session

NAME = "reftracer-session"

_MARKER = (
    "leaks(allowed=0, *, types=(), ignore=(), warmup=None, repeat=None): with --reftracer, how "
    "many objects each run of the test may leave behind; types and ignore are patterns such as "
    "'app.Node', 'Node*', 'cache.py', 'cache.py:fill'; repeat=0: the test is not repeated."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("reftracer", "reftracer: tests that leak objects")
    group.addoption(
        "--reftracer",
        action="store_true",
        help="run each test several times, and fail it if each run leaves objects behind",
    )
    group.addoption(
        "--reftracer-repeat",
        type=int,
        metavar="N",
        help="measured runs of each test (default: ini reftracer_repeat, or 3; 0: trace only)",
    )
    group.addoption(
        "--reftracer-warmup",
        type=int,
        metavar="N",
        help="runs before them, the first included (default: ini reftracer_warmup, or 2)",
    )
    group.addoption(
        "--reftracer-report",
        metavar="DIR",
        help="keep the traces there, for `reftracer report`",
    )
    parser.addini("reftracer_repeat", "measured runs of each test", default="3")
    parser.addini("reftracer_warmup", "runs of each test before the measure", default="2")
    parser.addini("reftracer_allowed", "objects that each run may leave behind", default="0")
    parser.addini("reftracer_types", "only these types are leaks", type="linelist")
    parser.addini("reftracer_ignore", "these types and places are no leaks", type="linelist")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    if config.getoption("--reftracer") and not config.option.collectonly:
        from reftracer._pytest_session import Session

        config.pluginmanager.register(Session(config), NAME)


def session_of(config: pytest.Config) -> Session | None:
    """What measures in this pytest session; None without --reftracer."""
    found: Session | None = config.pluginmanager.get_plugin(NAME)
    return found

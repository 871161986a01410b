"""Caches that fill up, or that belong to Python itself: what they hold is no leak.

Nothing is cleared to find out: a program may rely on what its caches hold. It is looked at
what they refer to.
"""

from __future__ import annotations

import functools
import gc
import sys
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

_LruCache: Any = type(functools.lru_cache(maxsize=1)(int))
_MAXLEN: Any = deque.maxlen

#: Dictionaries of the standard library that are bounded, or that grow with the program's text.
_DICTIONARIES = (
    ("re", "_cache", "the cache of re"),
    ("re", "_cache2", "the cache of re"),
    ("linecache", "cache", "linecache"),
    ("linecache", "_interactive_cache", "linecache"),
    ("warnings", "onceregistry", "the registry of warnings"),
    ("encodings", "_cache", "the cache of codecs"),
    ("_strptime", "_regex_cache", "the cache of strptime"),
    ("mimetypes", "_db", "mimetypes"),
    ("sys", "path_importer_cache", "importlib"),
)


def _caches() -> Iterator[tuple[list[Any], str]]:
    """Entries of caches, with the caches' names."""
    for module, attribute, name in _DICTIONARIES:
        cache = getattr(sys.modules.get(module), attribute, None)
        if cache is not None:
            yield _entries(cache), name
    for hook in sys.meta_path:
        if _home(type(hook)) == "_pytest.assertion.rewrite":  # each module that was asked for
            for attribute in ("_marked_for_rewrite_cache", "_rewritten_names"):
                yield _entries(getattr(hook, attribute, None)), "pytest's import hook"
    for module_object in list(sys.modules.values()):
        if issubclass(type(module_object), ModuleType):
            namespace = _own(ModuleType, "__dict__")["__dict__"].__get__(module_object)
            registry = (namespace or {}).get("__warningregistry__")
            if registry is not None:
                yield _entries(registry), "the registry of warnings"
    # What the finders of folders know of them, also finders that are older.
    for finder in list(sys.path_importer_cache.values()):
        yield gc.get_referents(finder, getattr(finder, "__dict__", None)), "importlib"
    struct = sys.modules.get("_struct")  # its module state has a cache of 100 formats
    if struct is not None:
        for part in gc.get_referents(struct):
            if type(part) is dict and part is not struct.__dict__:
                yield _entries(part), "the cache of struct"
    kinds: dict[int, str] = {}
    for one in gc.get_objects():
        kind = kinds.get(id(type(one)))
        if kind is None:
            kind = kinds[id(type(one))] = _kind(type(one))
        if kind == "lru_cache":
            yield from _lru_cache(one)
        elif kind == "deque":
            bound = _MAXLEN.__get__(one)
            if bound is not None:
                yield gc.get_referents(one), f"a deque (maxlen={bound})"
        elif kind == "hook":
            # Plugins that come later are told of each call (pluggy's call_historic).
            yield gc.get_referents(getattr(one, "_call_history", None)), "pytest's plugins"


def _kind(kind: type) -> str:
    """What objects of a class are to us; "" if nothing."""
    if kind is _LruCache:
        return "lru_cache"
    if issubclass(kind, deque):
        return "deque"
    if _own(kind, "__name__") == "HookCaller" and _home(kind).startswith("pluggy"):
        return "hook"
    return ""


def _own(kind: type, name: str) -> Any:
    """An attribute that each class has, not the metaclass's idea of it, which may be code of the
    program, or none."""
    return type.__dict__[name].__get__(kind)


def _home(kind: type) -> str:
    """The module of a class."""
    home = _own(kind, "__dict__").get("__module__")
    return home if isinstance(home, str) else ""


def _entries(cache: Any) -> list[Any]:
    """What a cache refers to. The traverse function of a dict passes over keys that are str."""
    return gc.get_referents(cache) + (list(cache) if type(cache) is dict else [])


def _lru_cache(cache: Any) -> Iterator[tuple[list[Any], str]]:
    """The entries of an lru_cache, if it has a bound or is the standard library's own."""
    bound = cache.cache_info().maxsize
    module = str(getattr(cache, "__module__", ""))
    if bound is None and module.partition(".")[0] not in sys.stdlib_module_names:
        return
    name = getattr(cache, "__qualname__", "?")
    label = f"the lru_cache of {module}.{name}" + (f" (maxsize={bound})" if bound else "")
    apart = {id(getattr(cache, "__dict__", None)), id(getattr(cache, "__wrapped__", None))}
    parts = [part for part in gc.get_referents(cache) if id(part) not in apart]
    # Its traverse function visits keys and results of a bounded one itself
    # (Modules/_functoolsmodule.c, lru_cache_tp_traverse); those of others are in the dict.
    yield parts + [entry for part in parts if type(part) is dict for entry in
                   gc.get_referents(part)], label  # fmt: skip


def held_by_caches(groups: Sequence[list[Any]]) -> dict[int, str]:
    """Which of some new objects are in a cache, or are held by others of them that are:
    {id: the cache's name}."""
    suspects = {id(one): one for group in groups for one in group}
    found: dict[int, str] = {}
    for ahead, name in _caches():
        while ahead:
            one = ahead.pop()
            if id(one) in suspects and id(one) not in found:
                found[id(one)] = name
                ahead += gc.get_referents(one)
                ahead += _beside(one)
    always: Any = lambda _: True  # 3.13 does not tell of immortals
    immortal = getattr(sys, "_is_immortal", always)
    interned: Any = getattr(sys, "_is_interned", always)
    for number, one in suspects.items():
        if type(one) is int and one in found:  # the key of that: type.tp_subclasses
            found[number] = found[one]
        elif type(one) is str and interned(one) and immortal(one):
            found.setdefault(number, "names that are interned for ever")
    return found


def _beside(one: Any) -> list[Any]:
    """What an object holds, or is held by, that gc.get_referents does not tell."""
    if type(one) is dict:
        return list(one)  # the traverse function of a dict passes over keys that are str
    if issubclass(type(one), type):
        return [
            _own(one, "__name__"), _own(one, "__qualname__"), *_own(one, "__dict__"),
            *weakref.getweakrefs(one),  # its bases have some
        ]  # fmt: skip
    if _home(type(one)) == "typing":
        return [getattr(one, "__name__", None)]
    return []

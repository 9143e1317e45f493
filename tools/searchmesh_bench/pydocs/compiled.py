"""Docstrings of names implemented in C, which have no source to read.

Only modules are imported here whose import does nothing but define names. Objects written in Python are left to
`sources`.
"""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from types import ModuleType

from searchmesh_bench.pydocs.entry import Entry, Kind

_MODULES = (
    "array", "asyncio", "atexit", "binascii", "bisect", "builtins", "bz2", "cmath", "codecs", "collections",
    "contextvars", "csv", "ctypes", "datetime", "decimal", "errno", "faulthandler", "fcntl", "functools", "gc", "grp",
    "hashlib", "heapq", "hmac", "io", "itertools", "json", "locale", "lzma", "marshal", "math", "mmap", "operator",
    "os", "pickle", "pwd", "queue", "random", "re", "readline", "resource", "select", "signal", "socket", "sqlite3",
    "ssl", "stat", "string", "struct", "sys", "syslog", "termios", "threading", "time", "tracemalloc", "types",
    "unicodedata", "uuid", "warnings", "weakref", "xml.etree.ElementTree", "zipimport", "zlib",
)  # fmt: skip

_BEHIND = {"os": "posix", "threading": "_thread"}
"""The C module behind a module where it is not called like it, with an underscore in front."""


def from_compiled() -> Iterator[Entry]:
    """Entries of the C-implemented public names of common modules. Modules that this Python lacks are left out."""
    for name in _MODULES:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = importlib.import_module(name)
        except ImportError:
            continue
        yield from _module(name, module)


def _module(name: str, module: ModuleType) -> Iterator[Entry]:
    if not hasattr(module, "__file__"):
        yield from _entry(name, name, "module", module)
    for attribute, value in sorted(vars(module).items()):
        if not attribute.startswith("_"):
            qualified = attribute if name == "builtins" else f"{name}.{attribute}"
            if inspect.isclass(value):
                yield from _class(qualified, name, value)
            elif inspect.isbuiltin(value) and _at_home(value, name):
                yield from _entry(qualified, name, "function", value)


def _class(qualified: str, module: str, kind: type) -> Iterator[Entry]:
    """The class and its methods. Of a class written in Python, the methods of the C class of that name behind it."""
    for layer in kind.__mro__:
        if layer.__name__ == kind.__name__ and _compiled(layer) and _at_home(layer, module):
            if layer is kind:
                yield from _entry(qualified, module, "class", layer)
            for attribute, member in sorted(vars(layer).items()):
                if not attribute.startswith("_") and (inspect.isroutine(member) or inspect.isdatadescriptor(member)):
                    routine = inspect.isroutine(member)
                    yield from _entry(f"{qualified}.{attribute}", module, "method" if routine else "property", member)


def _entry(qualified: str, module: str, kind: Kind, value: object) -> Iterator[Entry]:
    if value.__doc__ and (text := inspect.cleandoc(value.__doc__)):
        yield Entry(qualified, module, kind, "" if kind == "property" else _signature(value), text)


def _signature(value: object) -> str:
    """As help() shows it: without the ``$self`` or ``$module`` that the C source has."""
    text = " ".join((getattr(value, "__text_signature__", None) or "").split())
    return re.sub(r"^\(\$\w+(, )?(/(, )?)?", "(", text)


def _compiled(kind: type) -> bool:
    return not any(inspect.isfunction(member) for member in vars(kind).values())


def _at_home(value: object, module: str) -> bool:
    """Whether `module` is where users find it: it is defined there or in the C module behind it."""
    home = getattr(value, "__module__", None)
    return home in (None, module, _BEHIND.get(module, f"_{module}"))

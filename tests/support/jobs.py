"""Jobs for tests of the sandbox: one for each way in which parsing strangers' documents can go wrong."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from collections.abc import Iterator

from searchmesh.runtime.errors import NotFound


def count(most: int) -> Iterator[int]:
    yield from range(most)


def pid() -> int:
    return os.getpid()


def add(left: int, right: int) -> int:
    return left + right


def fail() -> None:
    raise NotFound("no such thing")


def fail_late() -> Iterator[int]:
    yield 1
    raise NotFound("no such thing")


def bug() -> None:
    raise ZeroDivisionError("a secret")


def recurse() -> None:
    recurse()


def hang_in_c() -> None:
    """No handler of the interpreter runs while this does, and no other thread."""
    re.match(r"(a+)+$", "a" * 40 + "b")


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return 1


def take(megabytes: int) -> int:
    return len(bytearray(megabytes * 1024 * 1024))


def crash() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(3)


def talk() -> str:
    print("a library that prints")
    os.write(1, b"and one that does it below Python")
    sys.stdout.flush()
    return "done"
